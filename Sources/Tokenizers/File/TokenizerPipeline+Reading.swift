// tokenizer.json, read. The parts are those of the Hugging Face library; what is not among them is refused by name. Where
// the library takes more than one spelling (merges as pairs or as lines, `add_prefix_space` of old), so do we.

import Files
import Foundation

extension TokenizerPipeline {
    private static let members: Set<String> = [
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
        "post_processor", "decoder", "model",
    ]

    /// Longest file: larger vocabularies than any published one.
    package static let byteLimit = 256 << 20

    /// Reads a `tokenizer.json`; `name` is that of its file in errors.
    public convenience init(json source: [UInt8], name: String) throws(TokenizerError) {
        let root = TokenizerPart(
            node: try JSONNode(parsing: source, name: name), place: "", file: name)
        guard case .object = root.node else {
            throw TokenizerError(
                .corrupt, "\(name): expected an object, found \(root.node.summary)")
        }
        try root.requireMembers(among: TokenizerPipeline.members)
        if let version = root.optional("version"), try version.string != "1.0" {
            throw version.failure("\"1.0\"", kind: .unsupported)
        }
        let model = try TokenModel(root.member("model"))
        let normalizer = try root.optional("normalizer").map { (part) throws(TokenizerError) in
            try Normalizer(part)
        }
        try self.init(
            addedTokens: AddedToken.read(
                root.node["added_tokens"] == nil ? nil : root.list("added_tokens"), model: model),
            normalizer: normalizer,
            preTokenizer: root.optional("pre_tokenizer").map { (part) throws(TokenizerError) in
                try PreTokenizer(part)
            },
            model: model,
            postProcessor: root.optional("post_processor").map { (part) throws(TokenizerError) in
                try PostProcessor(part)
            },
            decoder: root.optional("decoder").map { (part) throws(TokenizerError) in
                try TokenDecoder(part)
            },
            truncation: root.optional("truncation").map { (part) throws(TokenizerError) in
                try Truncation(part)
            },
            padding: root.optional("padding").map { (part) throws(TokenizerError) in
                try Padding(part)
            },
            canonicalJSON: root.node.canonicalTokenizer)
    }
}

extension AddedToken {
    /// The list of a file. A token that the model has keeps the model's number, whatever the file says; others go on
    /// behind the last, in the order of the file.
    fileprivate static func read(
        _ elements: [TokenizerPart]?, model: TokenModel
    ) throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        var next = Int32(model.vocabulary.table.count)
        var known: [[UInt8]: Int32] = [:]
        for element in elements ?? [] {
            let content = try element.member("content").text
            let stated = try element.member("id").identifier
            guard !content.isEmpty else { continue }
            let identifier: Int32
            if let found = known[content] ?? model.vocabulary[content] {
                identifier = found
            } else {
                identifier = next
                next += 1
            }
            // The library warns and goes on; ids that are not those of the file ruin a model in silence.
            guard identifier == stated else {
                throw element.failure(
                    "id \(identifier), which \(JSONNode.string(content).summary) has in the vocabulary or "
                        + "behind it", found: "\(stated)")
            }
            known[content] = identifier
            tokens.append(
                AddedToken(
                    identifier: identifier, content: content,
                    isSingleWord: try element.bool("single_word"),
                    stripsLeft: try element.bool("lstrip"),
                    stripsRight: try element.bool("rstrip"),
                    isNormalized: try element.bool("normalized"),
                    isSpecial: try element.bool("special")))
        }
        return tokens
    }
}

extension TextPattern {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        if let text = part.optional("String") {
            guard try !text.text.isEmpty else { throw text.failure("at least one character") }
            self = .text(try text.text)
        } else if let expression = part.optional("Regex") {
            self = .expression(
                try RegularExpression(expression.string, name: "\(part.file): \(part.place)"))
        } else {
            throw part.failure("{\"String\": …} or {\"Regex\": …}")
        }
    }
}

extension Normalizer {
    fileprivate init(_ part: TokenizerPart) throws(TokenizerError) {
        switch try part.type {
        case "Sequence":
            var parts: [Normalizer] = []
            for element in try part.member("normalizers").elements {
                parts.append(try Normalizer(element))
            }
            self = .sequence(parts)
        case "BertNormalizer":
            let lowercases = try part.bool("lowercase")
            self = .bert(
                BERTNormalizer(
                    cleansText: try part.bool("clean_text"),
                    separatesIdeographs: try part.bool("handle_chinese_chars"),
                    stripsAccents: try part.bool("strip_accents", default: lowercases),
                    lowercases: lowercases))
        case "NFC": self = .form(NormalizationForm(isCompatible: false, composes: true))
        case "NFD": self = .form(NormalizationForm(isCompatible: false, composes: false))
        case "NFKC": self = .form(NormalizationForm(isCompatible: true, composes: true))
        case "NFKD": self = .form(NormalizationForm(isCompatible: true, composes: false))
        case "Lowercase": self = .lowercase
        case "Strip":
            self = .strip(left: try part.bool("strip_left"), right: try part.bool("strip_right"))
        case "StripAccents": self = .stripAccents
        case "Nmt": self = .nmt
        case "Precompiled":
            let map = try part.member("precompiled_charsmap")
            guard let bytes = Data(base64Encoded: try map.string) else {
                throw map.failure("base 64")
            }
            self = .precompiled(
                try CharacterMap(bytes: Array(bytes), name: "\(part.file): \(part.place)"))
        case "Replace":
            self = .replace(
                try TextPattern(part.member("pattern")), with: try part.member("content").text)
        case "Prepend": self = .prepend(try part.member("prepend").text)
        case "ByteLevel": self = .byteLevel
        case let type: throw part.unsupported(type, known: "normalizer")
        }
    }
}

extension PreTokenizer {
    fileprivate init(_ part: TokenizerPart) throws(TokenizerError) {
        switch try part.type {
        case "Sequence":
            var parts: [PreTokenizer] = []
            for element in try part.member("pretokenizers").elements {
                parts.append(try PreTokenizer(element))
            }
            self = .sequence(parts)
        case "ByteLevel":
            _ = try part.bool("trim_offsets")
            self = .byteLevel(
                addsPrefixSpace: try part.bool("add_prefix_space"),
                usesPattern: try part.bool("use_regex", default: true))
        case "Metaspace": self = .metaspace(try Metaspace(part))
        case "Whitespace": self = .whitespace
        case "WhitespaceSplit": self = .whitespaceSplit
        case "BertPreTokenizer": self = .bert
        case "Punctuation":
            self = .punctuation(
                try part.optional("behavior").map { (part) throws(TokenizerError) in
                    try part.choice(SplitBehavior.self)
                } ?? .isolated)
        case "Digits": self = .digits(isIndividual: try part.bool("individual_digits"))
        case "Split":
            self = .split(
                try TextPattern(part.member("pattern")),
                try part.member("behavior").choice(SplitBehavior.self),
                isInverted: try part.bool("invert"))
        case "CharDelimiterSplit": self = .delimiter(try part.member("delimiter").character)
        case "FixedLength":
            self = .fixedLength(
                try part.optional("length").map { (part) throws(TokenizerError) in
                    try part.integer(in: 1...Int(Int32.max))
                } ?? 5)
        case let type: throw part.unsupported(type, known: "pre-tokenizer")
        }
    }
}

extension Metaspace {
    init(_ part: TokenizerPart) throws(TokenizerError) {
        var prepending =
            try part.optional("prepend_scheme").map { (part) throws(TokenizerError) in
                try part.choice(Prepending.self)
            } ?? .always
        if try !part.bool("add_prefix_space", default: true) {
            guard part.optional("prepend_scheme") == nil || prepending == .never else {
                throw part.failure(
                    "prepend_scheme \"never\" with add_prefix_space false",
                    found: prepending.rawValue)
            }
            prepending = .never
        }
        self.init(
            replacement: try part.member("replacement").character, prepending: prepending,
            splits: try part.bool("split", default: true))
    }
}

extension TokenModel {
    fileprivate init(_ part: TokenizerPart) throws(TokenizerError) {
        // Files of old say no type; the parts tell it.
        let type =
            try part.optional("type")?.string
            ?? (part.optional("merges") != nil ? "BPE" : "WordPiece")
        switch type {
        case "BPE": self = .bytePair(try BytePairEncoding(part))
        case "WordPiece":
            self = .wordPiece(
                try WordPiece(
                    vocabulary: TokenVocabulary(part.member("vocab")),
                    unknown: part.member("unk_token").text,
                    continuingPrefix: part.member("continuing_subword_prefix").text,
                    longestWord: part.member("max_input_chars_per_word").integer(
                        in: 0...Int(Int32.max)),
                    name: part.file))
        case "WordLevel":
            let vocabulary = try TokenVocabulary(part.member("vocab"))
            let text = try part.member("unk_token").text
            self = .wordLevel(
                WordLevel(vocabulary: vocabulary, unknown: vocabulary[text], unknownText: text))
        case "Unigram":
            var pieces: [(text: [UInt8], score: Double)] = []
            for element in try part.member("vocab").elements {
                let pair = try element.elements
                guard pair.count == 2 else { throw element.failure("a text and a score") }
                pieces.append((try pair[0].text, try pair[1].number))
            }
            self = .unigram(
                try Unigram(
                    pieces: pieces,
                    unknown: part.optional("unk_id").map { (part) throws(TokenizerError) in
                        try part.integer(in: 0...TokenVocabulary.largestIdentifier)
                    },
                    fallsBackToBytes: part.bool("byte_fallback", default: false), name: part.file))
        default: throw part.unsupported(type, known: "model")
        }
    }
}

extension TokenVocabulary {
    fileprivate init(_ part: TokenizerPart) throws(TokenizerError) {
        guard case .object(let members) = part.node else { throw part.failure("an object") }
        self.init(minimumCapacity: members.count)
        for member in members {
            guard case .integer(let value) = member.value,
                0...TokenVocabulary.largestIdentifier ~= value
            else {
                throw TokenizerError(
                    .corrupt,
                    "\(part.file): \(part.place): expected a number from 0 to "
                        + "\(TokenVocabulary.largestIdentifier) for each token, found "
                        + "\(member.value.summary) for \(JSONNode.string(member.key).summary)")
            }
            if let other = text(Int32(value)), !other.elementsEqual(member.key) {
                throw TokenizerError(
                    .corrupt,
                    "\(part.file): \(part.place): expected every number once, found \(value) for "
                        + "\(JSONNode.string(Array(other)).summary) and \(JSONNode.string(member.key).summary)"
                )
            }
            insert(member.key, Int32(value))
        }
        guard table.count > 0 else { throw part.failure("at least one token") }
    }
}

extension BytePairEncoding {
    fileprivate init(_ part: TokenizerPart) throws(TokenizerError) {
        if let dropout = part.optional("dropout"), try dropout.number != 0 {
            throw dropout.failure("no dropout", kind: .unsupported)
        }
        func text(_ key: String) throws(TokenizerError) -> [UInt8]? { try part.optional(key)?.text }
        let options = Options(
            unknown: try text("unk_token"), fusesUnknown: try part.bool("fuse_unk", default: false),
            fallsBackToBytes: try part.bool("byte_fallback", default: false),
            continuingPrefix: try text("continuing_subword_prefix") ?? [],
            endSuffix: try text("end_of_word_suffix") ?? [],
            ignoresMerges: try part.bool("ignore_merges", default: false))
        let merges = try part.member("merges")
        try self.init(
            vocabulary: TokenVocabulary(part.member("vocab")),
            merges: BytePairEncoding.merges(merges), options: options, name: part.file)
    }

    /// Merges as pairs of texts, or each as two texts with a space between.
    private static func merges(
        _ part: TokenizerPart
    ) throws(TokenizerError) -> [(left: [UInt8], right: [UInt8])] {
        guard case .array(let nodes) = part.node else { throw part.failure("an array") }
        var merges: [(left: [UInt8], right: [UInt8])] = []
        merges.reserveCapacity(nodes.count)
        for (index, node) in nodes.enumerated() {
            switch node {
            case .array(let pair):
                guard pair.count == 2, case .string(let left) = pair[0],
                    case .string(let right) = pair[1]
                else { break }
                merges.append((left, right))
                continue
            case .string(let line):
                if line.starts(with: "#version".utf8) { continue }
                let pair = line.split(separator: 0x20, omittingEmptySubsequences: false)
                guard pair.count == 2 else { break }
                merges.append((Array(pair[0]), Array(pair[1])))
                continue
            default: break
            }
            throw TokenizerPart(node: node, place: "\(part.place)[\(index)]", file: part.file)
                .failure("two tokens")
        }
        return merges
    }
}
