// The parts of a tokenizer.json that concern finished tokens: templates, truncation, padding, decoders.

import Files

extension PostProcessor {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        func special(_ key: String) throws(TokenizerError) -> SpecialToken {
            let pair = try part.member(key).elements
            guard pair.count == 2 else { throw try part.member(key).failure("a text and a number") }
            return SpecialToken(text: try pair[0].text, identifier: try pair[1].identifier)
        }
        func trimming() throws(TokenizerError) -> SpaceTrimming? {
            let hasPrefixSpace = try part.bool("add_prefix_space")
            return try part.bool("trim_offsets")
                ? SpaceTrimming(hasPrefixSpace: hasPrefixSpace) : nil
        }
        switch try part.type {
        case "Sequence":
            var parts: [PostProcessor] = []
            for element in try part.member("processors").elements {
                parts.append(try PostProcessor(element))
            }
            self = .sequence(parts)
        case "TemplateProcessing": self = .template(try Template(part))
        case "BertProcessing":
            self = .bert(separator: try special("sep"), classifier: try special("cls"))
        case "RobertaProcessing":
            self = .roberta(
                separator: try special("sep"), classifier: try special("cls"), try trimming())
        case "ByteLevel": self = .byteLevel(try trimming())
        case let type: throw part.unsupported(type, known: "post-processor")
        }
    }
}

extension Template {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        var specials: [Special] = []
        let list = try part.member("special_tokens")
        guard case .object(let members) = list.node else { throw list.failure("an object") }
        for member in members {
            let element = TokenizerPart(
                node: member.value,
                place: "\(list.place).\(String(decoding: member.key, as: UTF8.self).printable)",
                file: part.file)
            var (identifiers, texts) = ([Int32](), [[UInt8]]())
            for part in try element.member("ids").elements {
                identifiers.append(try part.identifier)
            }
            for part in try element.member("tokens").elements { texts.append(try part.text) }
            guard identifiers.count == texts.count else {
                throw element.failure("as many tokens as ids", found: "\(texts.count)")
            }
            specials.append(Special(name: member.key, identifiers: identifiers, texts: texts))
        }
        func pieces(_ key: String) throws(TokenizerError) -> [Piece] {
            var pieces: [Piece] = []
            for element in try part.member(key).elements {
                if let sequence = element.optional("Sequence") {
                    let isSecond = try sequence.member("id").choice(SequenceName.self) == .second
                    guard !isSecond || key == "pair" else {
                        throw sequence.failure("the first text in a template for one")
                    }
                    pieces.append(
                        .sequence(
                            isSecond: isSecond, type: try sequence.member("type_id").identifier))
                    continue
                }
                let special = try element.member("SpecialToken")
                let name = try special.member("id").text
                guard specials.contains(where: { $0.name == name }) else {
                    throw special.failure(
                        "one of special_tokens", found: JSONNode.string(name).summary)
                }
                pieces.append(.special(name: name, type: try special.member("type_id").identifier))
            }
            return pieces
        }
        self.init(single: try pieces("single"), pair: try pieces("pair"), specials: specials)
    }

    private enum SequenceName: String, CaseIterable {
        case first = "A"
        case second = "B"
    }
}

extension TokenDecoder {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        switch try part.type {
        case "Sequence":
            var parts: [TokenDecoder] = []
            for element in try part.member("decoders").elements {
                parts.append(try TokenDecoder(element))
            }
            self = .sequence(parts)
        case "ByteLevel":
            _ = (
                try part.bool("add_prefix_space"), try part.bool("trim_offsets"),
                try part.bool("use_regex", default: true)
            )
            self = .byteLevel
        case "WordPiece":
            self = .wordPiece(
                prefix: try part.member("prefix").text, cleansUp: try part.bool("cleanup"))
        case "Metaspace":
            let metaspace = try Metaspace(part)
            self = .metaspace(
                replacement: metaspace.replacement, prepends: metaspace.prepending != .never)
        case "BPEDecoder":
            let suffix = try part.member("suffix")
            guard try !suffix.text.isEmpty else { throw suffix.failure("at least one character") }
            self = .wordEnds(try suffix.text)
        case "ByteFallback": self = .byteFallback
        case "Fuse": self = .fuse
        case "Strip":
            self = .strip(
                try part.member("content").character,
                start: try part.member("start").integer(in: 0...Int(Int32.max)),
                stop: try part.member("stop").integer(in: 0...Int(Int32.max)))
        case "Replace":
            self = .replace(
                try TextPattern(part.member("pattern")), with: try part.member("content").text)
        case let type: throw part.unsupported(type, known: "decoder")
        }
    }
}

extension Truncation {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        let longest = try part.member("max_length").integer(in: 0...Int(Int32.max))
        // Parts that were cut off would overlap so far; there are none here, but the library stops at it.
        if let stride = part.optional("stride"), longest > 0 {
            _ = try stride.integer(in: 0...longest - 1)
        }
        self.init(
            side: try part.optional("direction").map { (part) throws(TokenizerError) in
                try part.choice(SequenceSide.self)
            } ?? .right,
            longest: longest,
            strategy: try part.member("strategy").choice(Strategy.self))
    }
}

extension Padding {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        let strategy = try part.member("strategy")
        var length: Int?
        if let fixed = strategy.optional("Fixed") {
            length = try fixed.integer(in: 0...Padding.longest)
        } else if try strategy.string != "BatchLongest" {
            throw strategy.failure("\"BatchLongest\" or {\"Fixed\": …}")
        }
        self.init(
            side: try part.member("direction").choice(SequenceSide.self), length: length,
            multiple: try part.optional("pad_to_multiple_of").map { (part) throws(TokenizerError) in
                try part.integer(in: 0...Padding.longest)
            },
            identifier: try part.member("pad_id").identifier,
            type: try part.member("pad_type_id").identifier,
            text: try part.member("pad_token").text)
    }
}
