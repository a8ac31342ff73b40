// What the documents of a shard are, and how a record of several parts lies in it as one document.

/// What a document of a shard is.
public enum SampleKind: UInt32, CaseIterable, Sendable, Codable {
    /// A text, of which windows are samples.
    case text = 0
    /// A text with a class.
    case labelled = 1
    /// A source and a target.
    case pairs = 2
    /// Prompts and responses in turns.
    case conversations = 3
    /// A prompt, the better and the worse of two answers.
    case preferences = 4

    /// For messages.
    public var name: String {
        switch self {
        case .text: "texts"
        case .labelled: "labelled texts"
        case .pairs: "pairs"
        case .conversations: "conversations"
        case .preferences: "preferences"
        }
    }
}

/// Ids from the vocabulary's size on that stand before the parts of a record in a shard: mark r before a part of
/// the role of that number, and behind the roles one for each class, which stands last.
enum RecordMark {
    static let roleCount = RecordRole.allCases.count

    /// Marks that a shard of this kind needs.
    static func count(of kind: SampleKind, classes: Int) -> Int {
        switch kind {
        case .text: 0
        case .labelled: roleCount + classes
        case .pairs, .conversations, .preferences: roleCount
        }
    }
}

extension Record {
    /// Ids behind the vocabulary that a shard of this kind needs.
    package static func markCount(of kind: SampleKind, classes: Int) -> Int {
        RecordMark.count(of: kind, classes: classes)
    }

    /// The record as the ids of one document.
    package func ids(vocabularySize: Int) -> [Int32] {
        var ids: [Int32] = []
        ids.reserveCapacity(parts.reduce(parts.count + 1) { $0 + $1.tokens.count })
        for part in parts {
            ids.append(Int32(vocabularySize) + part.role.rawValue)
            ids += part.tokens
        }
        if let label { ids.append(Int32(vocabularySize + RecordMark.roleCount) + label) }
        return ids
    }

    /// Reads the ids of one document; nil where they are no record.
    package init?(ids: ArraySlice<Int32>, vocabularySize: Int) {
        let first = Int32(vocabularySize)
        self.init(parts: [])
        for id in ids {
            let mark = id - first
            if mark < 0 {
                guard label == nil, !parts.isEmpty else { return nil }
                parts[parts.count - 1].tokens.append(id)
            } else if let role = RecordRole(rawValue: mark) {
                guard label == nil else { return nil }
                parts.append(Part(role, []))
            } else {
                guard label == nil else { return nil }
                label = mark - Int32(RecordMark.roleCount)
            }
        }
        if parts.isEmpty { return nil }
    }
}
