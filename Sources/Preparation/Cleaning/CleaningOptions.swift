// What is done to a document before it is tokenised. Each rule has its own switch and its own threshold; the defaults do
// what harms no text: control characters go, and each character has one spelling (NFC).

/// What cleaning does, all together.
package struct CleaningOptions: Sendable, Equatable {
    package enum Normalization: String, Sendable, CaseIterable {
        case none, nfc, nfkc
    }

    package enum ControlCharacters: String, Sendable, CaseIterable {
        case keep, remove
    }

    /// A set of rules that judge a plain text as a whole.
    package enum RuleSet: String, Sendable, CaseIterable {
        case gopherQuality = "gopher_quality"
        case gopherRepetition = "gopher_repetition"
        case c4
    }

    /// What is done about data that is nobody's business.
    package enum Treatment: String, Sendable, CaseIterable {
        /// It is not looked for.
        case keep
        /// A placeholder takes its place.
        case redact
        /// The document goes.
        case drop
    }

    package var normalization = Normalization.nfc
    package var controlCharacters = ControlCharacters.remove
    /// Whether white space at the ends of lines goes.
    package var trimsLineEnds = false
    /// Whether of more than two blank lines that follow each other two are kept.
    package var collapsesBlankLines = false

    /// In the order in which they are asked.
    package var rules: [RuleSet] = []
    package var gopherQuality = GopherQuality()
    package var gopherRepetition = GopherRepetition()
    package var c4 = C4()

    package var emailAddresses = Treatment.keep
    package var ipAddresses = Treatment.keep
    /// Whether private, local and documentation addresses are treated as public ones are.
    package var includesReservedAddresses = false
    package var paymentCards = Treatment.keep
    package var secrets = Treatment.keep
    package var phoneNumbers = Treatment.keep

    /// Paths of files with a word or phrase a line; a text that has one goes.
    package var blockedWords: [String] = []
    /// Paths of files with a domain a line; a document whose `address` lies in one goes.
    package var blockedDomains: [String] = []

    /// Path of a `LanguageModel`; without one no language is looked at.
    package var languageModel: String?
    /// Languages as the model names them that may stay; empty: all that it knows.
    package var languages: [String] = []
    /// Below it a language counts as unknown; 0 to 1.
    package var minimumLanguageConfidence = 0.65

    /// Bytes of a text beyond which its document goes when it is cleaned: what the file of cleaned texts can tell. A normal
    /// form may have eleven times as many as the text.
    package var mostBytes = Int(UInt32.max)

    package init() {}

    func treatment(of kind: PrivateDataKind) -> Treatment {
        switch kind {
        case .emailAddress: emailAddresses
        case .ipAddress: ipAddresses
        case .paymentCard: paymentCards
        case .secret: secrets
        case .phoneNumber: phoneNumbers
        }
    }
}

extension CleaningOptions {
    /// Rae et al. 2021 (Gopher), appendix A.1.1, "quality filtering". What is at a threshold stays.
    package struct GopherQuality: Sendable, Equatable {
        package var fewestWords = 50
        package var mostWords = 100_000
        /// Characters.
        package var shortestMeanWord = 3.0
        package var longestMeanWord = 10.0
        /// `#` per word, and ellipses per word.
        package var mostSymbolsPerWord = 0.1
        /// Share of lines that start with a bullet.
        package var mostBulletLines = 0.9
        /// Share of lines that end with an ellipsis.
        package var mostEllipsisLines = 0.3
        /// Share of words with a letter.
        package var fewestLetteredWords = 0.8
        /// Different ones of the be to of and that have with.
        package var fewestStopWords = 2

        package init() {}
    }

    /// Rae et al. 2021 (Gopher), table A1, "repetition removal". Shares above which a text goes.
    package struct GopherRepetition: Sendable, Equatable {
        package var duplicateParagraphs = 0.30
        package var duplicateParagraphCharacters = 0.20
        package var duplicateLines = 0.30
        package var duplicateLineCharacters = 0.20
        /// Characters of the most frequent n-gram, for n = 2, 3, 4.
        package var topNGramCharacters = [0.20, 0.18, 0.16]
        /// Characters of repeated n-grams, for n = 5 … 10.
        package var duplicateNGramCharacters = [0.15, 0.14, 0.13, 0.12, 0.11, 0.10]

        package init() {}
    }

    /// Raffel et al. 2020 (T5), section 2.2, in the version of its authors' code.
    package struct C4: Sendable, Equatable {
        /// Whether lines must end with `.`, `?`, `!` or a closing quotation mark.
        package var requiresTerminalPunctuation = true
        /// Lines with fewer go. The paper's first version had 3.
        package var fewestWordsPerLine = 5
        /// Texts with fewer go. The paper's first version had 5.
        package var fewestSentences = 3
        /// Characters of a word beyond which its line goes.
        package var longestWord = 1_000
        /// Whether `[1]`, `[edit]` and `[citation needed]` are taken out.
        package var removesCitations = true
        package var removesJavaScriptLines = true
        package var removesPolicyLines = true
        package var dropsLoremIpsum = true
        package var dropsCurlyBrackets = true

        package init() {}
    }
}
