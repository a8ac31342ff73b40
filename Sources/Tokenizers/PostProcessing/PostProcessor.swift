// What is done to the tokens of a text or a pair: the parts that `post_processor` of a tokenizer.json may name.

/// A rule for finished tokens, or several in turn.
indirect enum PostProcessor: Sendable, Equatable {
    case sequence([PostProcessor])
    case template(Template)
    /// `[CLS] A [SEP] B [SEP]`
    case bert(separator: SpecialToken, classifier: SpecialToken)
    /// `<s> A </s></s> B </s>`
    case roberta(separator: SpecialToken, classifier: SpecialToken, SpaceTrimming?)
    /// Offsets of byte-level tokens without the spaces in them.
    case byteLevel(SpaceTrimming?)

    struct SpecialToken: Sendable, Equatable {
        let text: [UInt8]
        let identifier: Int32
    }

    /// Takes spaces out of offsets.
    struct SpaceTrimming: Sendable, Equatable {
        let hasPrefixSpace: Bool
    }

    var trimsSpaces: Bool {
        switch self {
        case .sequence(let parts): parts.contains(where: \.trimsSpaces)
        case .roberta(_, _, let trimming), .byteLevel(let trimming): trimming != nil
        case .template, .bert: false
        }
    }

    /// Tokens that are added to a text, or to a pair.
    func addedCount(isPair: Bool) -> Int {
        switch self {
        case .sequence(let parts): parts.reduce(0) { $0 + $1.addedCount(isPair: isPair) }
        case .template(let template): template.addedCount(isPair: isPair)
        case .bert: isPair ? 3 : 2
        case .roberta: isPair ? 4 : 2
        case .byteLevel: 0
        }
    }

    /// Processes one encoding or a pair; what comes out is joined in the end.
    func apply(to encodings: [Encoding], addsSpecials: Bool) -> [Encoding] {
        switch self {
        case .sequence(let parts):
            return parts.reduce(encodings) { $1.apply(to: $0, addsSpecials: addsSpecials) }
        case .template(let template):
            return [template.apply(to: encodings, addsSpecials: addsSpecials)]
        case .bert(let separator, let classifier):
            guard addsSpecials else { return encodings }
            return [
                PostProcessor.join(
                    encodings, [classifier], [separator], beforeSecond: [], secondType: 1)
            ]
        case .roberta(let separator, let classifier, let trimming):
            var result = encodings
            trimming?.apply(to: &result)
            guard addsSpecials else { return result }
            return [
                PostProcessor.join(
                    result, [classifier], [separator], beforeSecond: [separator], secondType: 0)
            ]
        case .byteLevel(let trimming):
            var result = encodings
            trimming?.apply(to: &result)
            return result
        }
    }

    private static func join(
        _ encodings: [Encoding], _ before: [SpecialToken], _ behind: [SpecialToken],
        beforeSecond: [SpecialToken], secondType: Int32
    ) -> Encoding {
        var result = Encoding()
        let isAligned = encodings.allSatisfy { $0.offsets.count == $0.count }
        for (index, encoding) in encodings.enumerated() {
            let type = index == 0 ? 0 : secondType
            let head = index == 0 ? before : beforeSecond
            result.append(special: head.map(\.identifier), type: type, isAligned: isAligned)
            result.append(encoding, type: type)
            result.append(special: behind.map(\.identifier), type: type, isAligned: isAligned)
        }
        return result
    }
}

extension PostProcessor.SpaceTrimming {
    /// Moves offsets past the spaces at the ends of tokens.
    func apply(to encodings: inout [Encoding]) {
        for index in encodings.indices {
            for token in encodings[index].offsets.indices {
                let spaces = encodings[index].spaces[token]
                var leading = Int(spaces.leading)
                let trailing = Int(spaces.trailing)
                var (start, end) = (
                    encodings[index].offsets[token].lowerBound,
                    encodings[index].offsets[token].upperBound
                )
                if leading > 0 {
                    // The space that was put before the first word is none of the text.
                    if hasPrefixSpace, leading == 1, token == 0 || start == 0 { leading = 0 }
                    start = min(start + leading, end)
                }
                if trailing > 0, end >= trailing { end = max(end - trailing, start) }
                encodings[index].offsets[token] = start..<max(start, end)
            }
        }
    }
}

/// A sequence of texts and special tokens, one for single texts and one for pairs.
struct Template: Sendable, Equatable {
    enum Piece: Sendable, Equatable {
        /// The first text, or the second.
        case sequence(isSecond: Bool, type: Int32)
        case special(name: [UInt8], type: Int32)
    }

    struct Special: Sendable, Equatable {
        let name: [UInt8]
        let identifiers: [Int32]
        let texts: [[UInt8]]
    }

    let single: [Piece]
    let pair: [Piece]
    let specials: [Special]

    private func identifiers(_ name: [UInt8]) -> [Int32] {
        specials.last { $0.name == name }?.identifiers ?? []
    }

    func addedCount(isPair: Bool) -> Int {
        (isPair ? pair : single).reduce(0) { count, piece in
            if case .special(let name, _) = piece { return count + identifiers(name).count }
            return count
        }
    }

    func apply(to encodings: [Encoding], addsSpecials: Bool) -> Encoding {
        let isAligned = encodings.allSatisfy { $0.offsets.count == $0.count }
        var result = Encoding()
        for piece in encodings.count == 2 ? pair : single {
            switch piece {
            case .sequence(let isSecond, let type):
                // A template for single texts that names the second was refused when it was read.
                result.append(encodings[isSecond ? 1 : 0], type: type)
            case .special(let name, let type):
                guard addsSpecials else { continue }
                result.append(special: identifiers(name), type: type, isAligned: isAligned)
            }
        }
        return result
    }
}
