// Encodings as lines of text, for programs that read them.

import Files

/// A text, or two, as a line of JSON gives it: a string, or an object with `text` and maybe `pair`.
package struct TextPair: Sendable {
    package let text: [UInt8]
    package let pair: [UInt8]?

    package init(text: [UInt8], pair: [UInt8]?) { (self.text, self.pair) = (text, pair) }

    package init(json line: [UInt8], name: String) throws(TokenizerError) {
        let node = try JSONNode(parsing: line, name: name)
        if case .string(let text) = node {
            self.init(text: text, pair: nil)
            return
        }
        let part = TokenizerPart(node: node, place: "", file: name)
        try part.requireMembers(among: ["text", "pair"])
        self.init(
            text: try part.member("text").text, pair: try part.optional("pair")?.text)
    }
}

extension Encoding {
    /// Appends a line of JSON, with the members' names of the Hugging Face library.
    func appendJSON(to line: inout [UInt8]) {
        line += "{\"ids\": [".utf8
        Encoding.append(identifiers, to: &line)
        line += "], \"offsets\": [".utf8
        for (index, range) in offsets.enumerated() {
            if index > 0 { line.append(0x2C) }
            line.append(0x5B)
            Encoding.append([range.lowerBound, range.upperBound], to: &line)
            line.append(0x5D)
        }
        line += "], \"type_ids\": [".utf8
        Encoding.append(types, to: &line)
        line += "], \"special_tokens_mask\": [".utf8
        Encoding.append(specials, to: &line)
        line += "], \"attention_mask\": [".utf8
        Encoding.append(attention, to: &line)
        line += "]}\n".utf8
    }

    /// Numbers with spaces between, and a line end.
    fileprivate static func appendLine(_ numbers: [Int32], to line: inout [UInt8]) {
        append(numbers, separator: 0x20, to: &line)
        line.append(0x0A)
    }

    private static func append(
        _ numbers: [some BinaryInteger], separator: UInt8 = 0x2C, to line: inout [UInt8]
    ) {
        for (index, number) in numbers.enumerated() {
            if index > 0 { line.append(separator) }
            append(Int(number), to: &line)
        }
    }

    /// The digits of a number that is not negative.
    private static func append(_ number: Int, to line: inout [UInt8]) {
        var (digits, count, rest) = (InlineArray<20, UInt8>(repeating: 0), 0, UInt(number))
        repeat {
            digits[count] = UInt8(0x30 + rest % 10)
            (rest, count) = (rest / 10, count + 1)
        } while rest > 0
        while count > 0 {
            count -= 1
            line.append(digits[count])
        }
    }

    /// The numbers of a line.
    package static func identifiers(
        of line: [UInt8], name: String
    ) throws(TokenizerError) -> [Int32] {
        var identifiers: [Int32] = []
        for word in line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) {
            let text = String(decoding: word, as: UTF8.self)
            guard word.allSatisfy({ 0x30...0x39 ~= $0 }), let identifier = Int32(text) else {
                throw TokenizerError(
                    .corrupt,
                    "\(name): expected numbers of tokens, found \(text.printable.debugDescription)")
            }
            identifiers.append(identifier)
        }
        return identifiers
    }
}

extension TextEncoder {
    /// How encodings are written.
    package enum LineForm: Sendable {
        /// Numbers with spaces between.
        case numbers
        /// Every column, as an object of JSON.
        case json
    }

    /// Appends the tokens of a text, or of a pair, as a line.
    package func appendLine(
        of text: Span<UInt8>, addsSpecials: Bool, as form: LineForm, to line: inout [UInt8]
    ) throws(TokenizerError) {
        guard form == .numbers, pipeline.truncation == nil, pipeline.padding == nil,
            let around = pipeline.surroundings
        else {
            let pair = TextPair(text: Array(copying: text), pair: nil)
            return try appendLine(of: pair, addsSpecials: addsSpecials, as: form, to: &line)
        }
        try withNumbers { (numbers) throws(TokenizerError) in
            if addsSpecials { numbers += around.before }
            try encode(text, into: &numbers)
            if addsSpecials { numbers += around.behind }
            Encoding.appendLine(numbers, to: &line)
        }
    }

    /// How many tokens a text has, which are made and forgotten; with offsets where `isAligned`.
    package func tokenCount(
        of text: Span<UInt8>, isAligned: Bool
    ) throws(TokenizerError) -> Int {
        if isAligned {
            return try encoding(ofOne: Array(copying: text), isAligned: true).count
        }
        var count = 0
        try withNumbers { (numbers) throws(TokenizerError) in
            try encode(text, into: &numbers)
            count = numbers.count
        }
        return count
    }

    package func appendLine(
        of pair: TextPair, addsSpecials: Bool, as form: LineForm, to line: inout [UInt8]
    ) throws(TokenizerError) {
        let encoding = try encoding(
            of: pair.text, pair: pair.pair, addsSpecials: addsSpecials, isAligned: form == .json)
        switch form {
        case .json: encoding.appendJSON(to: &line)
        case .numbers: Encoding.appendLine(encoding.identifiers, to: &line)
        }
    }
}

extension TokenizerPipeline {
    /// The text of tokens and a line end; with `json` as a string of JSON.
    package func decodedLine(
        _ identifiers: [Int32], skipsSpecials: Bool, json: Bool
    ) throws(TokenizerError) -> [UInt8] {
        let text = try decode(identifiers, skipsSpecials: skipsSpecials)
        return json ? JSONNode.string(text).bytes : text + [0x0A]
    }

    /// What it is made of, a line each.
    package var summary: [String] {
        let kind =
            switch model {
            case .bytePair(let model):
                "BPE, \(model.merges.count) merges"
                    + (model.fallsBackToBytes ? ", byte fall-back" : "")
            case .wordPiece(let model):
                "WordPiece, words of at most \(model.longestWord) characters"
            case .unigram: "Unigram"
            case .wordLevel: "WordLevel"
            }
        let specials = addedTokens.filter(\.isSpecial)
        let listed = specials.prefix(12).map {
            "\(String(decoding: $0.content, as: UTF8.self).printable) \($0.identifier)"
        }
        let others = specials.count > 12 ? ", and \(specials.count - 12) more" : ""
        return [
            "model           \(kind)",
            "vocabulary      \(vocabularySize)",
            "normalizer      \(normalizer.map { $0.names.joined(separator: ", ") } ?? "none")",
            "pre-tokenizer   \(preTokenizer.map { $0.names.joined(separator: ", ") } ?? "none")",
            "added tokens    \(addedTokens.count)",
            "special tokens  \(listed.joined(separator: ", "))\(others)",
            "truncation      \(truncation.map { "\($0.longest) tokens" } ?? "none")",
            "digest          \(digest.hexadecimal)",
        ]
    }
}

extension Normalizer {
    fileprivate var names: [String] {
        switch self {
        case .sequence(let parts): parts.flatMap(\.names)
        case .bert(let rules): ["BERT" + (rules.lowercases ? " (lower case)" : "")]
        case .form(let form): ["NF" + (form.isCompatible ? "K" : "") + (form.composes ? "C" : "D")]
        case .lowercase: ["lower case"]
        case .strip: ["strip"]
        case .stripAccents: ["strip accents"]
        case .nmt: ["NMT"]
        case .precompiled: ["precompiled map"]
        case .replace: ["replace"]
        case .prepend: ["prepend"]
        case .byteLevel: ["byte level"]
        }
    }
}

extension PreTokenizer {
    fileprivate var names: [String] {
        switch self {
        case .sequence(let parts): parts.flatMap(\.names)
        case .byteLevel(_, let usesPattern):
            ["byte level" + (usesPattern ? " (GPT-2's words)" : "")]
        case .metaspace: ["metaspace"]
        case .whitespace: ["whitespace"]
        case .whitespaceSplit: ["whitespace split"]
        case .bert: ["BERT"]
        case .punctuation: ["punctuation"]
        case .digits: ["digits"]
        case .split(.expression(let expression), _, _):
            [
                WordScanner(pattern: expression.source).map { "words (\($0))" }
                    ?? "split by \(expression.source)"
            ]
        case .split: ["split"]
        case .delimiter: ["delimiter"]
        case .fixedLength(let length): ["\(length) characters"]
        }
    }
}
