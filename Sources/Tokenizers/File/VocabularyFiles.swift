// Vocabularies of before there was a tokenizer.json: `vocab.json` with `merges.txt` (GPT-2, RoBERTa, BART) and `vocab.txt`
// (BERT). They say nothing of how texts are cut; the classes of tokenizers that read them do, and their settings lie in the
// files of `TokenizerSettings`.

import Files

/// Makes a tokenizer.json of such files.
enum VocabularyFiles {
    /// Most tokens of a `vocab.txt` and most merges: more than any published vocabulary has.
    static let mostLines = 1 << 22
    /// Longest file of a vocabulary or of merges.
    static let byteLimit = 64 << 20

    private typealias Token = TokenizerSettings.StatedToken
    private typealias Role = TokenizerSettings.Role

    // MARK: Byte pairs

    /// How the tokenizers differ that have byte-level pairs in these files.
    private enum BytePairClass {
        case gpt2
        /// `<s>` before a text and `</s>` behind it.
        case roberta

        static let classes: [String: BytePairClass] = [
            "GPT2Tokenizer": .gpt2, "CodeGenTokenizer": .gpt2,
            "RobertaTokenizer": .roberta, "BartTokenizer": .roberta,
            "LongformerTokenizer": .roberta, "LEDTokenizer": .roberta, "MvpTokenizer": .roberta,
        ]

        var defaults: [Role: String] {
            switch self {
            case .gpt2:
                [.begin: "<|endoftext|>", .end: "<|endoftext|>", .unknown: "<|endoftext|>"]
            case .roberta:
                [
                    .begin: "<s>", .end: "</s>", .separator: "</s>", .classifier: "<s>",
                    .unknown: "<unk>", .padding: "<pad>", .mask: "<mask>",
                ]
            }
        }
    }

    /// A `vocab.json` and its `merges.txt`. Without a class in the settings it is RoBERTa's where the vocabulary has
    /// `<s>` and `</s>` and lacks `<|endoftext|>`, else GPT-2's.
    static func bytePairs(
        vocabulary: (bytes: [UInt8], name: String), merges: (bytes: [UInt8], name: String),
        settings: TokenizerSettings
    ) throws(TokenizerError) -> JSONNode {
        let node = try JSONNode(parsing: vocabulary.bytes, name: vocabulary.name)
        let table = try table(node, name: vocabulary.name)
        let kind = try bytePairClass(settings, table)
        let hasPrefixSpace = try settings.flag("add_prefix_space", default: false)
        var list = AddedTokenList(vocabulary: table)
        let roles = try roles(settings, defaults: kind.defaults)
        try list.add(settings, roles: roles)
        func byteLevel(_ hasPrefixSpace: Bool) -> JSONNode {
            .object([
                "type": .string("ByteLevel"), "add_prefix_space": .bool(hasPrefixSpace),
                "trim_offsets": .bool(true), "use_regex": .bool(true),
            ])
        }
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null,
            "added_tokens": list.node, "normalizer": .null,
            "pre_tokenizer": byteLevel(hasPrefixSpace),
            "post_processor": try template(kind, roles, list, settings),
            "decoder": byteLevel(true),
            "model": .object([
                "type": .string("BPE"), "dropout": .null, "unk_token": .null,
                "continuing_subword_prefix": .string(""), "end_of_word_suffix": .string(""),
                "fuse_unk": .bool(false), "byte_fallback": .bool(false),
                "ignore_merges": .bool(false), "vocab": node,
                "merges": try read(merges: merges.bytes, name: merges.name),
            ]),
        ])
    }

    private static func template(
        _ kind: BytePairClass, _ roles: [Role: Token], _ list: AddedTokenList,
        _ settings: TokenizerSettings
    ) throws(TokenizerError) -> JSONNode {
        switch kind {
        case .gpt2:
            let addsBegin = try settings.flag("add_bos_token", default: false)
            let addsEnd = try settings.flag("add_eos_token", default: false)
            return TemplateDraft(
                begin: addsBegin ? special(.begin, roles, list) : nil,
                end: addsEnd ? special(.end, roles, list) : nil
            ).node
        case .roberta:
            func pair(_ role: Role) -> JSONNode {
                let token = special(role, roles, list)
                return .array([.string(token?.text ?? []), .integer(token?.identifier ?? 0)])
            }
            return .object([
                "type": .string("RobertaProcessing"), "sep": pair(.separator),
                "cls": pair(.classifier),
                "trim_offsets": .bool(try settings.flag("trim_offsets", default: true)),
                "add_prefix_space": .bool(try settings.flag("add_prefix_space", default: false)),
            ])
        }
    }

    private static func bytePairClass(
        _ settings: TokenizerSettings, _ table: ByteTable
    ) throws(TokenizerError) -> BytePairClass {
        if let part = settings.configuration?.optional("tokenizer_class"),
            let name = try settings.className
        {
            guard let kind = BytePairClass.classes[name] else {
                throw part.failure(
                    "one of \(BytePairClass.classes.keys.sorted().joined(separator: ", ")) for vocab.json "
                        + "and merges.txt", kind: .unsupported,
                    found: name.printable.debugDescription)
            }
            return kind
        }
        func has(_ text: String) -> Bool { table[Array(text.utf8)] != nil }
        return has("<s>") && has("</s>") && !has("<|endoftext|>") ? .roberta : .gpt2
    }

    private static func table(_ node: JSONNode, name: String) throws(TokenizerError) -> ByteTable {
        let part = TokenizerPart(node: node, place: "", file: name)
        guard case .object(let members) = node, !members.isEmpty else {
            throw TokenizerError(
                .corrupt, "\(name): expected an object of tokens, found \(node.summary)")
        }
        var table = ByteTable(minimumCapacity: members.count)
        for member in members {
            let value = TokenizerPart(
                node: member.value,
                place: String(decoding: member.key, as: UTF8.self).printable, file: part.file)
            table.set(member.key, to: try value.identifier)
        }
        return table
    }

    /// Lines of two tokens; `#version: …` and empty lines are none.
    private static func read(
        merges source: [UInt8], name: String
    ) throws(TokenizerError) -> JSONNode {
        var merges: [JSONNode] = []
        var number = 0
        for line in Lines(source) {
            number += 1
            if line.isEmpty || line.starts(with: "#version".utf8) { continue }
            let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
            guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
                UTF8Text.isValid(Array(line))
            else {
                throw TokenizerError(
                    .corrupt,
                    "\(name): line \(number): expected two tokens with a space between, found "
                        + JSONNode.string(Array(line)).summary)
            }
            guard !parts[1].suffix(4).elementsEqual("</w>".utf8) else {
                throw TokenizerError(
                    .unsupported,
                    "\(name): line \(number): expected byte-level tokens, found "
                        + "\(JSONNode.string(Array(parts[1])).summary), which ends a word; read the tokenizer.json "
                        + "of the same model")
            }
            guard merges.count < mostLines else {
                throw TokenizerError(
                    .corrupt, "\(name): expected at most \(mostLines) merges, found more")
            }
            merges.append(.array([.string(Array(parts[0])), .string(Array(parts[1]))]))
        }
        return .array(merges)
    }

    // MARK: Word pieces

    private static let wordPieceClasses: Set<String> = [
        "BertTokenizer", "ConvBertTokenizer", "DistilBertTokenizer", "ElectraTokenizer",
        "LayoutLMTokenizer", "LxmertTokenizer", "MobileBertTokenizer", "RetriBertTokenizer",
        "SqueezeBertTokenizer",
    ]

    private static let wordPieceDefaults: [Role: String] = [
        .unknown: "[UNK]", .separator: "[SEP]", .padding: "[PAD]", .classifier: "[CLS]",
        .mask: "[MASK]",
    ]

    /// A `vocab.txt`: a token a line. Whether text becomes lower case is a setting (`do_lower_case`), not to be told from
    /// the file; without one it does.
    static func wordPieces(
        vocabulary: (bytes: [UInt8], name: String), settings: TokenizerSettings
    ) throws(TokenizerError) -> JSONNode {
        if let part = settings.configuration?.optional("tokenizer_class"),
            let name = try settings.className, !wordPieceClasses.contains(name)
        {
            throw part.failure(
                "one of \(wordPieceClasses.sorted().joined(separator: ", ")) for vocab.txt",
                kind: .unsupported, found: name.printable.debugDescription)
        }
        guard UTF8Text.isValid(vocabulary.bytes) else {
            throw TokenizerError(
                .corrupt, "\(vocabulary.name): expected lines in UTF-8, found other bytes")
        }
        var members: [JSONNode.Member] = []
        var table = ByteTable()
        for line in Lines(vocabulary.bytes) {
            guard members.count < mostLines else {
                throw TokenizerError(
                    .corrupt, "\(vocabulary.name): expected at most \(mostLines) tokens, found more"
                )
            }
            let token = trimmed(line)
            table.set(token, to: Int32(members.count))
            members.append(.init(key: token, value: .integer(members.count)))
        }
        let roles = try roles(settings, defaults: wordPieceDefaults)
        guard let unknown = roles[.unknown], table[unknown.text] != nil else {
            throw TokenizerError(
                .corrupt,
                "\(vocabulary.name): expected a line with the unknown token "
                    + "\(JSONNode.string(roles[.unknown]?.text ?? []).summary), found none in \(members.count)"
            )
        }
        var list = AddedTokenList(vocabulary: table)
        try list.add(settings, roles: roles)
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null,
            "added_tokens": list.node,
            "normalizer": .object([
                "type": .string("BertNormalizer"), "clean_text": .bool(true),
                "handle_chinese_chars": .bool(
                    try settings.flag("tokenize_chinese_chars", default: true)),
                "strip_accents": try settings.optionalFlag("strip_accents").map { .bool($0) }
                    ?? .null,
                "lowercase": .bool(try settings.flag("do_lower_case", default: true)),
            ]),
            "pre_tokenizer": .object(["type": .string("BertPreTokenizer")]),
            "post_processor": TemplateDraft(
                begin: special(.classifier, roles, list), end: special(.separator, roles, list),
                repeatsBegin: false
            ).node,
            "decoder": .object([
                "type": .string("WordPiece"), "prefix": .string("##"), "cleanup": .bool(true),
            ]),
            "model": .object([
                "type": .string("WordPiece"), "unk_token": .string(unknown.text),
                "continuing_subword_prefix": .string("##"),
                "max_input_chars_per_word": .integer(100), "vocab": .object(members),
            ]),
        ])
    }

    // MARK: What both have

    /// The special tokens of the settings, else those of the class.
    private static func roles(
        _ settings: TokenizerSettings, defaults: [Role: String]
    ) throws(TokenizerError) -> [Role: Token] {
        var roles: [Role: Token] = [:]
        for role in Role.allCases {
            if let stated = try settings.token(role) {
                roles[role] = stated
            } else if let text = defaults[role] {
                roles[role] = Token(text: Array(text.utf8))
            }
        }
        return roles
    }

    /// The token of a role with its number.
    private static func special(
        _ role: Role, _ roles: [Role: Token], _ list: AddedTokenList
    ) -> TemplateDraft.Special? {
        roles[role].flatMap { token in list.identifier(token.text).map { (token.text, $0) } }
    }

    /// A line without white space at its end.
    private static func trimmed(_ line: ArraySlice<UInt8>) -> [UInt8] {
        let classes = CharacterClasses.shared
        var text = Array(line)
        while !text.isEmpty {
            let start = UTF8Text.start(before: text.count, in: text.span)
            let last = UTF8Text.character(in: text.span, at: start)
            guard classes[last.scalar].contains(.space) else { break }
            text.removeSubrange(start...)
        }
        return text
    }
}

/// The lines of a text, without their ends (`\n` or `\r\n`); what follows the last end is a line if there is something.
private struct Lines: Sequence, IteratorProtocol {
    private var rest: ArraySlice<UInt8>

    init(_ text: [UInt8]) { rest = text[...] }

    mutating func next() -> ArraySlice<UInt8>? {
        guard !rest.isEmpty else { return nil }
        let end = rest.firstIndex(of: 0x0A)
        var line = rest[..<(end ?? rest.endIndex)]
        rest = end.map { rest[($0 + 1)...] } ?? []
        if end != nil, line.last == 0x0D { line.removeLast() }
        return line
    }
}
