// What cleaning did, in numbers. They are sums, so those of several cleaners add up to those of one.

/// Whether a document stays.
package enum Verdict: Sendable, Equatable {
    case keep
    case drop(DropReason)
}

/// The rule that a document fell to. Raw values are names of the report and stay.
package enum DropReason: String, CaseIterable, Sendable, Codable {
    case empty
    /// Of more bytes than a text may have, once it was cleaned.
    case tooLong = "too_long"
    case blockedDomain = "blocked_domain"
    case blockedWord = "blocked_word"
    case languageNotAllowed = "language_not_allowed"
    case languageUncertain = "language_uncertain"

    case gopherFewWords = "gopher_few_words"
    case gopherManyWords = "gopher_many_words"
    case gopherShortWords = "gopher_short_words"
    case gopherLongWords = "gopher_long_words"
    case gopherHashes = "gopher_hashes"
    case gopherEllipses = "gopher_ellipses"
    case gopherBulletLines = "gopher_bullet_lines"
    case gopherEllipsisLines = "gopher_ellipsis_lines"
    case gopherLetteredWords = "gopher_lettered_words"
    case gopherStopWords = "gopher_stop_words"

    case gopherDuplicateParagraphs = "gopher_duplicate_paragraphs"
    case gopherDuplicateParagraphCharacters = "gopher_duplicate_paragraph_characters"
    case gopherDuplicateLines = "gopher_duplicate_lines"
    case gopherDuplicateLineCharacters = "gopher_duplicate_line_characters"
    case gopherTop2Grams = "gopher_top_2_grams"
    case gopherTop3Grams = "gopher_top_3_grams"
    case gopherTop4Grams = "gopher_top_4_grams"
    case gopherDuplicate5Grams = "gopher_duplicate_5_grams"
    case gopherDuplicate6Grams = "gopher_duplicate_6_grams"
    case gopherDuplicate7Grams = "gopher_duplicate_7_grams"
    case gopherDuplicate8Grams = "gopher_duplicate_8_grams"
    case gopherDuplicate9Grams = "gopher_duplicate_9_grams"
    case gopherDuplicate10Grams = "gopher_duplicate_10_grams"

    case c4LoremIpsum = "c4_lorem_ipsum"
    case c4CurlyBracket = "c4_curly_bracket"
    case c4FewSentences = "c4_few_sentences"

    case emailAddress = "email_address"
    case ipAddress = "ip_address"
    case paymentCard = "payment_card"
    case secret
    case phoneNumber = "phone_number"
}

/// The rule that a line fell to.
package enum LineRule: String, CaseIterable, Sendable, Codable {
    case c4LongWord = "c4_long_word"
    case c4NoTerminalPunctuation = "c4_no_terminal_punctuation"
    case c4FewWords = "c4_few_words"
    case c4JavaScript = "c4_javascript"
    case c4Policy = "c4_policy"
    case blankLines = "blank_lines"
}

/// Data that is nobody's business.
package enum PrivateDataKind: String, CaseIterable, Sendable, Codable {
    case emailAddress = "email_address"
    case ipAddress = "ip_address"
    case paymentCard = "payment_card"
    case secret
    case phoneNumber = "phone_number"

    /// What takes its place.
    package var placeholder: String {
        switch self {
        case .emailAddress: "<email>"
        case .ipAddress: "<ip>"
        case .paymentCard: "<card>"
        case .secret: "<secret>"
        case .phoneNumber: "<phone>"
        }
    }

    var dropReason: DropReason {
        switch self {
        case .emailAddress: .emailAddress
        case .ipAddress: .ipAddress
        case .paymentCard: .paymentCard
        case .secret: .secret
        case .phoneNumber: .phoneNumber
        }
    }
}

/// A number for each case of a closed set, encoded as an object of those that are not zero.
package struct Tally<Key>: Sendable, Equatable, Codable
where Key: CaseIterable & RawRepresentable & Sendable & Equatable, Key.RawValue == String {
    private var numbers = [Int](repeating: 0, count: Key.allCases.count)

    package init() {}

    package subscript(_ key: Key) -> Int {
        get { numbers[Tally.index(of: key)] }
        set { numbers[Tally.index(of: key)] = newValue }
    }

    package var total: Int { numbers.reduce(0, +) }

    /// What is not zero, in the order of the cases.
    package var all: [(key: Key, count: Int)] {
        zip(Key.allCases, numbers).filter { $0.1 != 0 }.map { (key: $0.0, count: $0.1) }
    }

    package static func += (left: inout Tally, right: Tally) {
        for index in left.numbers.indices { left.numbers[index] += right.numbers[index] }
    }

    private static func index(of key: Key) -> Int {
        var index = 0
        for other in Key.allCases {
            if other == key { return index }
            index += 1
        }
        preconditionFailure("Tally: expected a case of \(Key.self), got \(key)")
    }

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Name.self)
        for name in container.allKeys {
            guard let key = Key(rawValue: name.stringValue) else {
                throw DecodingError.dataCorruptedError(
                    forKey: name, in: container,
                    debugDescription: "expected a rule's name, found \(name.stringValue)")
            }
            self[key] = try container.decode(Int.self, forKey: name)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Name.self)
        for (key, count) in all {
            try container.encode(count, forKey: Name(stringValue: key.rawValue))
        }
    }
}

/// What cleaning did.
package struct CleaningCounts: Sendable, Equatable, Codable {
    package var documentsIn = 0
    package var documentsOut = 0
    /// Of the texts, in UTF-8.
    package var bytesIn = 0
    package var bytesOut = 0
    /// Texts that were no UTF-8 and have U+FFFD now.
    package var textsRepaired = 0
    /// Characters removed, and line ends rewritten.
    package var controlCharacters = 0
    /// Texts that normalization changed.
    package var textsNormalized = 0
    package var dropped = Tally<DropReason>()
    package var linesRemoved = Tally<LineRule>()
    /// Of documents that stayed.
    package var redactions = Tally<PrivateDataKind>()

    package init() {}

    package static func += (left: inout CleaningCounts, right: CleaningCounts) {
        left.documentsIn += right.documentsIn
        left.documentsOut += right.documentsOut
        left.bytesIn += right.bytesIn
        left.bytesOut += right.bytesOut
        left.textsRepaired += right.textsRepaired
        left.controlCharacters += right.controlCharacters
        left.textsNormalized += right.textsNormalized
        left.dropped += right.dropped
        left.linesRemoved += right.linesRemoved
        left.redactions += right.redactions
    }

    private enum CodingKeys: String, CodingKey {
        case documentsIn = "documents_in"
        case documentsOut = "documents_out"
        case bytesIn = "bytes_in"
        case bytesOut = "bytes_out"
        case textsRepaired = "texts_repaired"
        case controlCharacters = "control_characters"
        case textsNormalized = "texts_normalized"
        case dropped
        case linesRemoved = "lines_removed"
        case redactions
    }
}
