/// Why something in a file became no document.
package enum UnreadReason: Int, CaseIterable, Sendable {
    /// No byte of text; in a pair, on either side.
    case empty
    /// More than `ReadingLimits.documentBytes`.
    case tooLong
    /// Bytes that are no UTF-8.
    case invalidText
    /// No record of the file's format.
    case malformed
    /// A conversation in which nobody answers.
    case unanswered
    /// A catalogue's header, and messages without a translation that somebody has approved.
    case untranslated

    /// In reports.
    package var name: String {
        switch self {
        case .empty: "empty"
        case .tooLong: "too_long"
        case .invalidText: "invalid_text"
        case .malformed: "malformed"
        case .unanswered: "unanswered"
        case .untranslated: "untranslated"
        }
    }
}

/// What a reading has met.
package struct ReadingCounts: Sendable, Equatable {
    /// As they lie on the disk.
    package var readBytes = 0
    package var unpackedBytes = 0
    package var documents = 0
    /// Files of no byte.
    package var emptyFiles = 0
    /// By the raw value of the reason.
    private var dropped = [Int](repeating: 0, count: UnreadReason.allCases.count)

    package init() {}

    package subscript(reason: UnreadReason) -> Int {
        get { dropped[reason.rawValue] }
        set { dropped[reason.rawValue] = newValue }
    }

    package static func += (left: inout ReadingCounts, right: ReadingCounts) {
        left.readBytes += right.readBytes
        left.unpackedBytes += right.unpackedBytes
        left.documents += right.documents
        left.emptyFiles += right.emptyFiles
        for reason in UnreadReason.allCases { left[reason] += right[reason] }
    }
}
