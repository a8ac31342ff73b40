/// The tokens of a text, or of a pair, with what a model may want to know of each.
package struct Encoding: Sendable, Equatable {
    /// Where a token stands in the text that it was made of, in characters.
    package typealias Offsets = Range<Int>

    package var identifiers: [Int32] = []
    // The other columns are empty where nobody asked for them.
    package var offsets: [Offsets] = []
    /// 0 or 1: which text of a pair.
    package var types: [Int32] = []
    /// 1 for tokens of templates and padding.
    package var specials: [UInt8] = []
    /// 0 for padding.
    package var attention: [UInt8] = []
    /// White space at the ends of each token's text; as many as offsets.
    var spaces: [SpaceCount] = []

    struct SpaceCount: Sendable, Equatable {
        var leading: Int32 = 0
        var trailing: Int32 = 0
    }

    package init() {}

    var count: Int { identifiers.count }

    /// Adds tokens of a template.
    mutating func append(special identifiers: [Int32], type: Int32, isAligned: Bool) {
        self.identifiers += identifiers
        guard isAligned else { return }
        let count = identifiers.count
        offsets += repeatElement(0..<0, count: count)
        spaces += repeatElement(SpaceCount(), count: count)
        types += repeatElement(type, count: count)
        specials += repeatElement(1, count: count)
        attention += repeatElement(1, count: count)
    }

    mutating func append(_ other: Encoding, type: Int32) {
        identifiers += other.identifiers
        offsets += other.offsets
        spaces += other.spaces
        types += repeatElement(type, count: other.types.count)
        specials += other.specials
        attention += other.attention
    }

    /// Keeps `range` of the tokens.
    mutating func keep(_ range: Range<Int>) {
        identifiers = Array(identifiers[range])
        guard !offsets.isEmpty else { return }
        offsets = Array(offsets[range])
        spaces = Array(spaces[range])
        types = Array(types[range])
        specials = Array(specials[range])
        attention = Array(attention[range])
    }
}

/// The end of a sequence at which tokens are cut off or added.
enum SequenceSide: String, Sendable, CaseIterable {
    case left = "Left"
    case right = "Right"
}

/// `truncation` of a tokenizer.json.
struct Truncation: Sendable, Equatable {
    enum Strategy: String, Sendable, CaseIterable {
        case longestFirst = "LongestFirst"
        case onlyFirst = "OnlyFirst"
        case onlySecond = "OnlySecond"
    }

    let side: SequenceSide
    /// Tokens of a text or a pair, with those of the template.
    let longest: Int
    let strategy: Strategy

    /// Cuts `encodings`, one or a pair, down to `longest` − `added` tokens.
    func apply(to encodings: inout [Encoding], added: Int) throws(TokenizerError) {
        let most = longest - added
        // A length that the template alone exceeds cuts nothing there: the difference wraps.
        guard most >= 0 else { return }
        let total = encodings.reduce(0) { $0 + $1.count }
        guard most > 0 else {
            for index in encodings.indices { cut(&encodings[index], to: 0) }
            return
        }
        guard total > most else { return }
        switch strategy {
        case .longestFirst:
            guard encodings.count == 2 else { return cut(&encodings[0], to: most) }
            let isSwapped = encodings[0].count > encodings[1].count
            var shorter = min(encodings[0].count, encodings[1].count)
            var longer = shorter > most ? shorter : max(shorter, most - shorter)
            if shorter + longer > most {
                shorter = most / 2
                longer = shorter + most % 2
            }
            cut(&encodings[0], to: isSwapped ? longer : shorter)
            cut(&encodings[1], to: isSwapped ? shorter : longer)
        case .onlyFirst, .onlySecond:
            let index = strategy == .onlyFirst ? 0 : 1
            guard encodings.indices.contains(index) else {
                throw TokenizerError(
                    .unencodable, "truncation: OnlySecond: expected a pair of texts, found one")
            }
            let rest = encodings[index].count - (total - most)
            guard rest > 0 else {
                throw TokenizerError(
                    .unencodable,
                    "truncation: \(strategy.rawValue): expected that text to have more than "
                        + "\(total - most) tokens, found \(encodings[index].count)")
            }
            cut(&encodings[index], to: rest)
        }
    }

    private func cut(_ encoding: inout Encoding, to count: Int) {
        guard encoding.count > count else { return }
        switch side {
        case .right: encoding.keep(0..<count)
        case .left: encoding.keep(encoding.count - count..<encoding.count)
        }
    }
}

/// `padding` of a tokenizer.json.
package struct Padding: Sendable, Equatable {
    let side: SequenceSide
    /// nil: the longest of a batch.
    let length: Int?
    let multiple: Int?
    let identifier: Int32
    let type: Int32
    let text: [UInt8]

    /// Longest that a text is filled up to.
    static let longest = 1 << 20

    /// Fills up all `encodings` to one length.
    package func apply(to encodings: inout [Encoding]) {
        var length = length ?? encodings.map(\.count).max() ?? 0
        if let multiple, multiple > 0, length % multiple > 0 {
            length += multiple - length % multiple
        }
        for index in encodings.indices { pad(&encodings[index], to: length) }
    }

    private func pad(_ encoding: inout Encoding, to length: Int) {
        let count = length - encoding.count
        guard count > 0 else { return }
        let isAligned = !encoding.offsets.isEmpty || encoding.count == 0
        var padding = Encoding()
        padding.append(
            special: [Int32](repeating: identifier, count: count), type: type, isAligned: isAligned)
        padding.attention = [UInt8](repeating: 0, count: isAligned ? count : 0)
        var result = Encoding()
        for part in side == .right ? [encoding, padding] : [padding, encoding] {
            let types = result.types + part.types
            result.append(part, type: 0)
            result.types = types
        }
        encoding = result
    }
}
