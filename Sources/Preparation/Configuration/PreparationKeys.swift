// The keys of a preparation's file: all that reading it, documenting it and comparing it know.

import Configuration
import Datasets

extension Key<PreparationConfiguration> {
    /// Every key, in the order of the documentation.
    package static let all: [Key<PreparationConfiguration>] =
        inputKeys + cleaningKeys + qualityKeys + privacyKeys + languageKeys + duplicateKeys
        + contaminationKeys + outputKeys

    private typealias K = Key<PreparationConfiguration>

    private static let inputKeys = [
        K(
            "input.files", \.input.files, .paths, .required, resume: .never,
            "Files or globs: plain, or packed by gzip, zstd or xz."),
        K(
            "input.targets", \.input.targets, .paths, resume: .never,
            "Files whose lines are the translations of the lines of `input.files`, which are as many and in the same order."
        ),
        K(
            "input.format", \.input.format, .choice, resume: .never,
            "How files are laid out; `auto`: by their names."),
        K(
            "input.kind", \.input.kind, .choice, resume: .never,
            "What a document is: a text, or a record of several with keys or columns."),
        K(
            "input.documents", \.input.documents, .choice, resume: .never,
            "What one document of a plain text is."),
        K(
            "input.fields", \.input.fields, .fields, resume: .never,
            "What keys or columns are called, where they are not called what they are: `[\"text=content\", \"url=link\"]`."
        ),
        K(
            "input.classes", \.input.classes, .texts, resume: .never,
            "Names of the classes of labelled texts, in their order; without them labels are whole numbers from 0."
        ),
        K(
            "input.template", \.input.template, .choice, resume: .never,
            "How the turns of a conversation are laid out."),
        K(
            "input.invalid", \.input.invalid, .choice, resume: .never,
            "What becomes of a document that is no UTF-8."),
        K(
            "input.malformed", \.input.malformed, .choice, resume: .never,
            "What becomes of a record that is none."),
        K(
            "input.long", \.input.long, .choice, resume: .never,
            "What becomes of a document of more than `input.longest` bytes."),
        K(
            "input.longest", \.input.longest, .integer(1...2_000_000_000), resume: .never,
            "Bytes that a document may have."),
        K(
            "input.unpacked", \.input.unpacked, .integer(1...(1 << 50)), resume: .never,
            "Bytes that a packed file may unpack to."),
    ]

    private static let cleaningKeys = [
        K(
            "clean.normalization", \.cleaning.normalization, .choice, resume: .never,
            "Unicode normalisation form."),
        K(
            "clean.control_characters", \.cleaning.controlCharacters, .choice, resume: .never,
            "What becomes of control characters and characters without width."),
        K(
            "clean.trim_lines", \.cleaning.trimsLineEnds, .boolean, resume: .never,
            "Whether white space at the ends of lines goes."),
        K(
            "clean.collapse_blank_lines", \.cleaning.collapsesBlankLines, .boolean,
            resume: .never, "Whether of more than two blank lines two are kept."),
    ]

    private static let qualityKeys = [
        K(
            "quality.rules", \.cleaning.rules, .choices, resume: .never,
            "Rules that judge a text, in this order: of Rae et al. 2021 and Raffel et al. 2020."),
        K(
            "quality.fewest_words", \.cleaning.gopherQuality.fewestWords, .integer(0...1_000_000),
            resume: .never, "Of `gopher_quality`: words that a text has at least."),
        K(
            "quality.most_words", \.cleaning.gopherQuality.mostWords,
            .integer(1...1_000_000_000), resume: .never,
            "Of `gopher_quality`: words that a text has at most."),
        K(
            "quality.fewest_stop_words", \.cleaning.gopherQuality.fewestStopWords,
            .integer(0...8), resume: .never,
            "Of `gopher_quality`: different ones of eight English words that a text has."),
        K(
            "quality.terminal_punctuation", \.cleaning.c4.requiresTerminalPunctuation, .boolean,
            resume: .never, "Of `c4`: whether lines that end otherwise go."),
        K(
            "quality.fewest_sentences", \.cleaning.c4.fewestSentences, .integer(0...1_000_000),
            resume: .never, "Of `c4`: sentences that a text has at least."),
        K(
            "quality.fewest_words_per_line", \.cleaning.c4.fewestWordsPerLine,
            .integer(0...1_000_000), resume: .never,
            "Of `c4`: words that a line has at least."),
        K(
            "quality.curly_brackets", \.cleaning.c4.dropsCurlyBrackets, .boolean, resume: .never,
            "Of `c4`: whether a text with a curly bracket goes."),
        K(
            "quality.blocked_words", \.cleaning.blockedWords, .paths, resume: .never,
            "Files with a word or phrase on each line; a text that has one goes."),
    ]

    private static let privacyKeys = [
        K(
            "privacy.email_addresses", \.cleaning.emailAddresses, .choice, resume: .never,
            "What becomes of e-mail addresses."),
        K(
            "privacy.ip_addresses", \.cleaning.ipAddresses, .choice, resume: .never,
            "What becomes of IPv4 and IPv6 addresses that are public."),
        K(
            "privacy.payment_cards", \.cleaning.paymentCards, .choice, resume: .never,
            "What becomes of card numbers, by issuer and checksum."),
        K(
            "privacy.secrets", \.cleaning.secrets, .choice, resume: .never,
            "What becomes of keys and tokens."),
        K(
            "privacy.phone_numbers", \.cleaning.phoneNumbers, .choice, resume: .never,
            "What becomes of telephone numbers."),
        K(
            "privacy.blocked_domains", \.cleaning.blockedDomains, .paths, resume: .never,
            "Files with a domain on each line; a document from there goes."),
    ]

    private static let languageKeys = [
        K(
            "language.model", \.cleaning.languageModel, .automatic(.path), resume: .never,
            "A model that `murmur language train` made; `auto`: languages are not looked at."),
        K(
            "language.allowed", \.cleaning.languages, .texts, resume: .never,
            "Languages that stay, as the model names them; none: all that it knows."),
        K(
            "language.confidence", \.cleaning.minimumLanguageConfidence,
            .number(from: .including(0), to: .including(1)), resume: .never,
            "Below it a language counts as unknown."),
    ]

    private static let duplicateKeys = [
        K(
            "duplicates.exact", \.duplicates.exact, .boolean, resume: .never,
            "Whether of documents of the same bytes the first is kept."),
        K(
            "duplicates.near", \.duplicates.near, .boolean, resume: .never,
            "Whether of documents of nearly the same words the first is kept."),
        K(
            "duplicates.threshold", \.duplicates.threshold,
            .number(from: .excluding(0), to: .including(1)), resume: .never,
            "Jaccard similarity of shingles from which on documents are near duplicates."),
        K(
            "duplicates.shingle", \.duplicates.shingle, .integer(1...64), resume: .never,
            "Words of a shingle."),
        K(
            "duplicates.permutations", \.duplicates.permutations, .integer(1...4096),
            resume: .never, "Minima of a document's signature."),
    ]

    private static let contaminationKeys = [
        K(
            "contamination.texts", \.contamination.texts, .paths, resume: .never,
            "Files of tests; a document that shares `contamination.words` words in a row with one goes."
        ),
        K(
            "contamination.words", \.contamination.words, .integer(1...64), resume: .never,
            "Words in a row."),
    ]

    private static let outputKeys = [
        K(
            "output.directory", \.output.directory, .path, .required, resume: .never,
            "The folder to make; a run names it in `data.sources`."),
        K(
            "output.tokenizer", \.output.tokenizer, .preparedTokenizer, resume: .never,
            "How texts become tokens: `byte`, or the path of a tokenizer."),
        K(
            "output.validation_fraction", \.output.validationFraction,
            .number(from: .including(0), to: .excluding(1)), resume: .never,
            "Part of the documents, by their hashes, that validates."),
        K(
            "output.test_fraction", \.output.testFraction,
            .number(from: .including(0), to: .excluding(1)), resume: .never,
            "Part of the documents, by their hashes, that is put aside as `test-….tokens`."),
        K(
            "output.shard_tokens", \.output.shardTokens, .integer(1...(1 << 47)), resume: .never,
            "Tokens of a shard, at most."),
        K(
            "output.work", \.output.work, .automatic(.path), resume: .never,
            "Where results are kept, so that the next run does only what changed; `auto`: `output.directory` with `.work`. May be removed at any time."
        ),
    ]
}

extension KeyCheck<PreparationConfiguration> {
    package static let all = [
        KeyCheck(["input.files"]) { configuration in
            configuration.input.files.isEmpty
                ? "expected at least one file or pattern, found none" : nil
        },
        KeyCheck(["output.directory"]) { configuration in
            let folder = configuration.output.directory
            let name = folder.withoutSlashes.split(separator: "/").last ?? "/"
            return [".", "..", "/"].contains(name)
                ? "expected the name of a folder to make, found \(folder)" : nil
        },
        KeyCheck(["output.test_fraction", "output.validation_fraction"]) { configuration in
            let output = configuration.output
            guard output.validationFraction + output.testFraction >= 1 else { return nil }
            return "expected less than 1 together with output.validation_fraction "
                + "(\(output.validationFraction)), found \(output.testFraction)"
        },
        KeyCheck(["output.work", "output.directory"]) { configuration in
            let folder = configuration.output.directory.withoutSlashes
            let work = configuration.workFolder.withoutSlashes
            guard work == folder || work.hasPrefix(folder + "/") else { return nil }
            return "expected a folder beside output.directory (\(folder)), found \(work)"
        },
        KeyCheck(["input.targets", "input.kind"]) { configuration in
            guard !configuration.input.targets.isEmpty, configuration.input.kind != .pairs else {
                return nil
            }
            return
                "expected input.kind: pairs beside it, found \(configuration.input.kind.rawValue)"
        },
        KeyCheck(["input.classes", "input.kind"]) { configuration in
            guard !configuration.input.classes.isEmpty, configuration.input.kind != .labelled
            else { return nil }
            return
                "expected input.kind: labelled beside it, found \(configuration.input.kind.rawValue)"
        },
        KeyCheck(["language.allowed", "language.model"]) { configuration in
            guard !configuration.cleaning.languages.isEmpty,
                configuration.cleaning.languageModel == nil
            else { return nil }
            return "expected language.model beside it, found none"
        },
    ]
}

extension ValueFormat where Value == [String] {
    /// Texts in a list.
    fileprivate static var texts: Self {
        let one = ValueFormat<String>.text
        return Self(
            expected: "a list of texts",
            parse: { value in
                guard case .list(let elements) = value else { return nil }
                let texts = elements.compactMap(one.parse)
                return texts.count == elements.count && Set(texts).count == texts.count
                    ? texts : nil
            },
            text: { "[\($0.map(one.text).joined(separator: ", "))]" },
            remark: { $0.remark { one.parse($0) == nil } ?? $0.repetition })
    }

    /// `ROLE=NAME` in a list.
    fileprivate static var fields: Self {
        let texts = texts
        let roles = RecordFields.roles.keys.sorted().joined(separator: ", ")
        return Self(
            expected: "a list of texts ROLE=NAME with a role of \(roles)",
            parse: { value in
                guard let names = texts.parse(value) else { return nil }
                var fields = RecordFields()
                for name in names where !fields.rename(name) { return nil }
                return names
            }, text: texts.text,
            remark: { value in
                texts.remark(value)
                    ?? value.remark { element in
                        var fields = RecordFields()
                        return texts.parse(.list([element]))?.contains { !fields.rename($0) }
                            ?? true
                    }
            })
    }
}

extension ConfigurationValue {
    /// Names the first element of a list that is there before.
    fileprivate var repetition: String? {
        guard case .list(let elements) = self else { return nil }
        let texts = elements.map(\.found)
        let index = texts.indices.first { texts[..<$0].contains(texts[$0]) }
        return index.map { "of which element \($0 + 1), \(texts[$0]), is there twice" }
    }
}

extension ValueFormat where Value == [CleaningOptions.RuleSet] {
    /// Some of a closed set, each once, in the order of the file.
    fileprivate static var choices: Self {
        let one = ValueFormat<CleaningOptions.RuleSet>.choice
        return Self(
            expected: "a list of \(one.expected)",
            parse: { value in
                guard case .list(let elements) = value else { return nil }
                let rules = elements.compactMap(one.parse)
                return rules.count == elements.count && Set(rules).count == rules.count
                    ? rules : nil
            },
            text: { "[\($0.map(one.text).joined(separator: ", "))]" },
            remark: { $0.remark { one.parse($0) == nil } ?? $0.repetition })
    }
}

extension ValueFormat where Value == TokenizerChoice {
    /// A kind that needs no survey of the texts, or the path of a tokenizer.
    fileprivate static var preparedTokenizer: Self {
        let path = ValueFormat<String>.path
        return Self(
            expected: "byte, or the path of a tokenizer",
            parse: { value in
                guard let text = path.parse(value) else { return nil }
                let choice = TokenizerChoice(text)
                return choice == .character ? nil : choice
            },
            text: { path.text($0.text) })
    }
}
