// Cleaning of one document after another. What needs little comes first, so that a document that goes goes early:
//
//     domain → UTF-8, controls, normal form, lines → blocked words → language → rules → private data
//
// Language and rules judge plain texts; parts of records are short by nature and have their own measure.

import Datasets
import Tokenizers

/// Cleans documents and decides which stay. A pure function of document and options; a cleaner keeps its counts and the memory
/// that it uses again, so each thread has its own copy.
package struct Cleaner: Sendable {
    package let options: CleaningOptions
    package var counts = CleaningCounts()

    private let normalizer: UnicodeNormalizer?
    private let privateData: PrivateData
    private let blockedWords: BlockedWords
    private let blockedDomains: BlockedDomains
    private let language: LanguageModel?
    private let isAllowed: [Bool]
    private var shape = TextShape()
    private var repetition = GopherRepetition()

    /// Reads what the options name.
    /// - Throws: what is missing, damaged or no list; a language that the model does not know.
    package init(_ options: CleaningOptions) throws(DatasetError) {
        precondition(
            options.gopherRepetition.topNGramCharacters.count == 3
                && options.gopherRepetition.duplicateNGramCharacters.count == 6,
            "Cleaner: expected thresholds of 2- to 4-grams and of 5- to 10-grams")
        self.options = options
        normalizer =
            switch options.normalization {
            case .none: nil
            case .nfc: UnicodeNormalizer(isCompatible: false)
            case .nfkc: UnicodeNormalizer(isCompatible: true)
            }
        privateData = PrivateData(options)
        blockedWords = try BlockedWords(files: options.blockedWords)
        blockedDomains = try BlockedDomains(files: options.blockedDomains)
        guard let path = options.languageModel else {
            (language, isAllowed) = (nil, [])
            return
        }
        let model = try LanguageModel(path: path)
        let unknown = options.languages.filter { !model.languages.contains($0) }
        guard unknown.isEmpty else {
            throw DatasetError(
                .mismatch,
                "\(path): expected languages of this model (\(model.languages.joined(separator: ", "))), "
                    + "found \(unknown.joined(separator: ", "))")
        }
        let allowed = options.languages.isEmpty ? model.languages : options.languages
        language = model
        isAllowed = model.languages.map(allowed.contains)
    }

    /// Cleans `document` in place. One that goes is left as far as it got.
    package mutating func clean(_ document: inout Document) -> Verdict {
        counts.documentsIn += 1
        for part in document.parts { counts.bytesIn += part.text.count }
        if let reason = fault(&document) {
            counts.dropped[reason] += 1
            return .drop(reason)
        }
        counts.documentsOut += 1
        for part in document.parts { counts.bytesOut += part.text.count }
        return .keep
    }

    private mutating func fault(_ document: inout Document) -> DropReason? {
        if !blockedDomains.isEmpty, let address = document.address,
            blockedDomains.contains(address)
        {
            return .blockedDomain
        }
        for index in document.parts.indices {
            let wasEmpty = document.parts[index].text.isEmpty
            tidy(&document.parts[index].text)
            // A part that somebody left empty is meant so; a text is nothing then.
            if document.parts[index].text.isEmpty, !wasEmpty || document.parts.count == 1 {
                return .empty
            }
        }
        if document.parts.isEmpty { return .empty }
        if !blockedWords.isEmpty {
            for part in document.parts where blockedWords.isFound(in: part.text.span) {
                return .blockedWord
            }
        }
        let isPlain =
            document.parts.count == 1 && document.parts[0].role == .text && document.label == nil
        if isPlain, let reason = judge(&document.parts[0].text) { return reason }
        if privateData.looksForAnything { return redact(&document) }
        return isTooLong(document) ? .tooLong : nil
    }

    private func isTooLong(_ document: Document) -> Bool {
        document.parts.contains { $0.text.count > options.mostBytes }
    }

    /// Makes valid UTF-8 of `text`, without controls, in its normal form, with the lines that are asked for.
    private mutating func tidy(_ text: inout [UInt8]) {
        if !UTF8Text.isValid(text) {
            text = UTF8Text.repaired(text)
            counts.textsRepaired += 1
        }
        if options.controlCharacters == .remove,
            let cleaned = CharacterCleaning.cleaned(text, count: &counts.controlCharacters)
        {
            text = cleaned
        }
        if let normalized = normalizer?.normalized(text) {
            text = normalized
            counts.textsNormalized += 1
        }
        if options.trimsLineEnds || options.collapsesBlankLines {
            text = CharacterCleaning.withTidyLines(
                text, trimsLineEnds: options.trimsLineEnds,
                collapsesBlankLines: options.collapsesBlankLines,
                removed: &counts.linesRemoved[.blankLines])
        }
    }

    private mutating func judge(_ text: inout [UInt8]) -> DropReason? {
        if let language {
            guard let guess = language.identify(text.span),
                guess.confidence >= options.minimumLanguageConfidence
            else { return .languageUncertain }
            if !isAllowed[guess.number] { return .languageNotAllowed }
        }
        var isCut = false
        for rules in options.rules {
            if !isCut, rules != .c4 {
                shape.cut(text.span)
                isCut = true
            }
            switch rules {
            case .gopherQuality:
                let reason = GopherQuality.fault(text.span, shape, options.gopherQuality)
                if let reason { return reason }
            case .gopherRepetition:
                let reason = repetition.fault(text.span, shape, options.gopherRepetition)
                if let reason { return reason }
            case .c4:
                let (kept, reason) = C4Rules.apply(
                    text, options.c4, removed: &counts.linesRemoved)
                if let reason { return reason }
                text = kept
                isCut = false
            }
        }
        return nil
    }

    private mutating func redact(_ document: inout Document) -> DropReason? {
        var redactions = Tally<PrivateDataKind>()
        for index in document.parts.indices {
            let text = document.parts[index].text
            let finds = privateData.finds(in: text.span)
            if finds.isEmpty { continue }
            if let kind = privateData.fault(finds) { return kind.dropReason }
            document.parts[index].text = PrivateData.redacted(text, finds)
            for find in finds { redactions[find.kind] += 1 }
        }
        if isTooLong(document) { return .tooLong }
        counts.redactions += redactions
        return nil
    }
}
