// What a new tokenizer does to the text that it was trained on, for a person who must say whether it is a good one.

import Files

/// Compression, tokens a word by script, and the longest tokens.
package struct TrainingReport: Sendable {
    /// Tokens a word of one script.
    struct Fertility: Sendable {
        let script: Script
        let words: Int
        let tokens: Int

        var tokensPerWord: Double { Double(tokens) / Double(words) }
    }

    let vocabularySize: Int
    let corpusByteCount: Int
    let sampleByteCount: Int
    let sampleTokenCount: Int
    let fertility: [Fertility]
    let longest: [String]

    private static let mostListed = 10

    /// - Parameter sample: some of the text, valid or not.
    package init(
        _ pipeline: TokenizerPipeline, sample: [UInt8], corpusByteCount: Int
    ) throws(TokenizerError) {
        let encoder = TextEncoder(pipeline)
        var (words, tokens) = ([Script: Int](), [Script: Int]())
        var (total, ids) = (0, [Int32]())
        let text = UTF8Text.repaired(sample)
        for line in text.split(separator: 0x0A) {
            ids.removeAll(keepingCapacity: true)
            try encoder.encode(Array(line), into: &ids)
            total += ids.count
            for (index, word) in line.split(separator: 0x20).enumerated() {
                guard let script = Script(of: word) else { continue }
                ids.removeAll(keepingCapacity: true)
                try encoder.encode((index == 0 ? [] : [0x20]) + word, into: &ids)
                words[script, default: 0] += 1
                tokens[script, default: 0] += ids.count
            }
        }
        vocabularySize = pipeline.vocabularySize
        self.corpusByteCount = corpusByteCount
        (sampleByteCount, sampleTokenCount) = (text.count, total)
        fertility = words.map { Fertility(script: $0, words: $1, tokens: tokens[$0] ?? 0) }
            .sorted { ($0.words, $1.script.rawValue) > ($1.words, $0.script.rawValue) }
        let texts = (0..<Int32(pipeline.vocabularySize)).compactMap { pipeline.text(of: $0) }
        longest = texts.sorted {
            $0.count != $1.count ? $0.count > $1.count : $0.lexicographicallyPrecedes($1)
        }.prefix(TrainingReport.mostListed).map { String(decoding: $0, as: UTF8.self) }
    }

    private var bytesPerToken: Double {
        sampleTokenCount == 0 ? 0 : Double(sampleByteCount) / Double(sampleTokenCount)
    }

    package var lines: [String] {
        [
            "vocabulary      \(vocabularySize)",
            "text            \(corpusByteCount) bytes",
            "bytes a token   \(TrainingReport.rounded(bytesPerToken)), in a sample of \(sampleByteCount) bytes",
        ]
            + fertility.prefix(TrainingReport.mostListed).map {
                "tokens a word   \(TrainingReport.rounded($0.tokensPerWord)) \($0.script.rawValue), of \($0.words) words"
            } + longest.map { "long token      \($0.printable)" }
    }

    package var json: String {
        JSONValue.object([
            "vocabulary": .integer(vocabularySize), "text_bytes": .integer(corpusByteCount),
            "sample_bytes": .integer(sampleByteCount), "sample_tokens": .integer(sampleTokenCount),
            "fertility": .array(
                fertility.map {
                    .object([
                        "script": .string($0.script.rawValue), "words": .integer($0.words),
                        "tokens": .integer($0.tokens),
                    ])
                }),
            "longest_tokens": .array(longest.map { .string($0) }),
        ]).json
    }

    /// Two digits behind the point.
    private static func rounded(_ value: Double) -> String {
        let hundredths = Int((100 * value).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}

/// A script of the world, as far as blocks of Unicode tell it.
enum Script: String, Sendable {
    case latin = "Latin"
    case greek = "Greek"
    case cyrillic = "Cyrillic"
    case hebrew = "Hebrew"
    case arabic = "Arabic"
    case indic = "Indic"
    case thai = "Thai"
    case japanese = "Japanese"
    case han = "Han"
    case hangul = "Hangul"
    case other = "other"

    /// The script of a word's first letter; nil where it has none.
    init?(of word: ArraySlice<UInt8>) {
        let classes = CharacterClasses.shared
        guard
            let letter = UTF8Text.scalars(of: Array(word)).first(where: {
                classes[$0].contains(.letter)
            })
        else { return nil }
        switch letter {
        case 0x41..<0x250, 0x1E00..<0x1F00: self = .latin
        case 0x370..<0x400, 0x1F00..<0x2000: self = .greek
        case 0x400..<0x530: self = .cyrillic
        case 0x590..<0x600: self = .hebrew
        case 0x600..<0x780, 0x8A0..<0x900, 0xFB50..<0xFE00, 0xFE70..<0xFF00: self = .arabic
        case 0x900..<0xE00: self = .indic
        case 0xE00..<0xE80: self = .thai
        case 0x3040..<0x3100, 0x31F0..<0x3200: self = .japanese
        case 0x3400..<0xA000, 0xF900..<0xFB00, 0x20000..<0x32000: self = .han
        case 0x1100..<0x1200, 0xAC00..<0xD7B0: self = .hangul
        default: self = .other
        }
    }
}
