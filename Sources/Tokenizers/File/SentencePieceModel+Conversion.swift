// A SentencePiece model as a tokenizer.json. The ids are to be those of SentencePiece's own library, for which models were
// trained; where its rules can be told by the parts of a tokenizer.json in more than one way, by the ones that Hugging
// Face's converters choose for T5 and for Llama.
//
// What stays different: control pieces and the unknown piece in a text are found as such, while the library takes them for
// text, and each text between two of them has a space of its own before it, as Llama 2's tokenizer.json has it; a text that is
// one user-defined piece and nothing else lacks that space; a user-defined piece that the character map would change ends
// a text; pieces of type UNUSED take no part in merges; the Hugging Face library looks a character map up in its own way
// (`CharacterMap`), and adds scores up with more digits, which decides between ways to tell a run of one character.

import Foundation

extension TokenizerPipeline {
    /// Reads a model of SentencePiece; `name` is that of its file in errors, `settings` are what lies beside it.
    ///
    /// A text's template: a model with a control piece for the beginning (`bos_piece`: Llama, Gemma) has it before each
    /// text, and one that has but a piece for the end (`eos_piece`: T5) has that behind. `add_bos_token` and
    /// `add_eos_token` of a tokenizer_config.json decide where they are given.
    convenience init(
        sentencePiece source: [UInt8], settings: TokenizerSettings = TokenizerSettings(),
        name: String
    ) throws(TokenizerError) {
        var model = try SentencePieceModel(source, name: name)
        if try settings.optionalFlag("add_prefix_space") == false { model.addsDummyPrefix = false }
        try self.init(json: model.tokenizer(settings, name: name).bytes, name: name)
    }
}

extension SentencePieceModel {
    /// Classes of tokenizers that number the pieces otherwise than the file, or change texts before.
    private static let otherClasses: Set<String> = [
        "AlbertTokenizer", "BarthezTokenizer", "BartphoTokenizer", "BigBirdTokenizer",
        "CamembertTokenizer", "CpmTokenizer", "DebertaV2Tokenizer", "FNetTokenizer",
        "M2M100Tokenizer", "MBart50Tokenizer", "MBartTokenizer", "MarianTokenizer",
        "NllbTokenizer", "PLBartTokenizer", "PegasusTokenizer", "RemBertTokenizer",
        "SeamlessM4TTokenizer", "Speech2TextTokenizer", "SpeechT5Tokenizer", "UdopTokenizer",
        "XGLMTokenizer", "XLMRobertaTokenizer", "XLNetTokenizer",
    ]

    /// What stands for a space.
    private var mark: [UInt8] { marksSpaces ? SpaceMark.bytes : [0x20] }

    /// Whether a piece is a user-defined one that is in some normalized text.
    private func isFound(_ piece: Piece) -> Bool {
        piece.kind == .userDefined && !(marksSpaces && piece.text.contains(0x20))
    }

    /// The tokenizer.json.
    func tokenizer(_ settings: TokenizerSettings, name: String) throws(TokenizerError) -> JSONNode {
        if let part = settings.configuration?.optional("tokenizer_class"),
            let found = try settings.className, SentencePieceModel.otherClasses.contains(found)
        {
            throw part.failure(
                "a class with the numbers and the texts of \(name)", kind: .unsupported,
                found: "\(found); its tokenizer.json has its own")
        }
        var table = ByteTable(minimumCapacity: pieces.count)
        for (index, piece) in pieces.enumerated() { table.set(piece.text, to: Int32(index)) }
        let userDefined = pieces.filter(isFound).map(\.text)
        let prefix = DummyPrefix(except: userDefined)
        let map = characterMap.isEmpty ? nil : try CharacterMap(bytes: characterMap, name: name)
        let splitsWords = userDefined.isEmpty && hasPlainWords(table, map)
        let added = try addedTokens(table, map, prefix, settings)
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null,
            "added_tokens": added.node,
            "normalizer": splitsWords ? precompiled : normalizer(prefix),
            "pre_tokenizer": splitsWords ? SentencePieceModel.words : .null,
            "post_processor": try template(added, settings),
            "decoder": splitsWords && !fallsBackToBytes ? SentencePieceModel.metaspace : decoder,
            "model": algorithm == .unigram ? unigram : try bytePairs(name: name),
        ])
    }

    // MARK: Tokens that are found in a text as it is

    private func addedTokens(
        _ table: ByteTable, _ map: CharacterMap?, _ prefix: DummyPrefix,
        _ settings: TokenizerSettings
    ) throws(TokenizerError) -> AddedTokenList {
        var list = AddedTokenList(vocabulary: table)
        let staysBare = !addsDummyPrefix || prefix.isConditional
        for piece in pieces {
            switch piece.kind {
            case .control, .unknown: try list.add(.init(text: piece.text))
            case .userDefined where isFound(piece):
                // One that normalization would change is found in the text as it was, as the library does.
                var sink = ByteSink(bytes: [])
                let isChanged =
                    map.map { $0.write(piece.text, to: &sink) && sink.bytes != piece.text } ?? false
                try list.add(
                    .init(
                        text: piece.text, isNormalized: staysBare && !isChanged, isSpecial: false))
            case .normal, .userDefined, .unused, .byte: break
            }
        }
        for token in try settings.sentinels { try list.add(token) }
        var roles: [TokenizerSettings.Role: TokenizerSettings.StatedToken] = [:]
        for role in TokenizerSettings.Role.allCases { roles[role] = try settings.token(role) }
        try list.add(settings, roles: roles)
        return list
    }

    private func template(
        _ added: AddedTokenList, _ settings: TokenizerSettings
    ) throws(TokenizerError) -> JSONNode {
        func special(
            _ role: TokenizerSettings.Role, _ own: Int?
        ) throws(TokenizerError) -> TemplateDraft.Special? {
            if let stated = try settings.token(role), let number = added.identifier(stated.text) {
                return (stated.text, number)
            }
            return own.map { (pieces[$0].text, $0) }
        }
        let (begin, end) = (try special(.begin, begin), try special(.end, end))
        let addsBegin = try settings.optionalFlag("add_bos_token") ?? (self.begin != nil)
        let addsEnd = try settings.optionalFlag("add_eos_token") ?? (self.begin == nil)
        return TemplateDraft(
            begin: addsBegin ? begin : nil, end: addsEnd ? end : nil,
            secondType: addsBegin ? 1 : 0
        ).node
    }

    // MARK: Rules of normalization

    /// Whether words between white space, each with a mark before it, are the same as what the normalizer makes: the
    /// character map leaves no other white space than spaces (but for U+0085, which the map of T5 forgets), and no
    /// piece has a mark behind another character.
    private func hasPlainWords(_ table: ByteTable, _ map: CharacterMap?) -> Bool {
        guard let map, algorithm == .unigram, addsDummyPrefix, removesExtraSpaces, marksSpaces,
            table[SpaceMark.bytes] != nil
        else { return false }
        let hasMarkWithin = pieces.contains { piece in
            piece.kind != .control && piece.text.count > SpaceMark.bytes.count
                && piece.text[1...].contains(SpaceMark.bytes)
        }
        guard !hasMarkWithin else { return false }
        let classes = CharacterClasses.shared
        func isPlain(_ text: [UInt8]) -> Bool {
            UTF8Text.scalars(of: text).allSatisfy {
                $0 == 0x20 || $0 != SpaceMark.scalar && !classes[$0].contains(.space)
            }
        }
        for scalar in UInt32(0)..<0x3001
        where scalar != 0x85 && (scalar == SpaceMark.scalar || classes[scalar].contains(.space)) {
            var (text, sink) = ([UInt8](), ByteSink(bytes: []))
            UTF8Text.append(scalar, to: &text)
            guard isPlain(map.write(text, to: &sink) ? sink.bytes : text) else { return false }
        }
        return isPlain(map.replacements)
    }

    private var precompiled: JSONNode {
        guard !characterMap.isEmpty else { return .null }
        return .object([
            "type": .string("Precompiled"),
            "precompiled_charsmap": .string(Data(characterMap).base64EncodedString()),
        ])
    }

    private static let metaspace = JSONNode.object([
        "type": .string("Metaspace"), "replacement": .string(SpaceMark.bytes),
        "prepend_scheme": .string("always"), "split": .bool(true),
    ])

    private static let words = JSONNode.object([
        "type": .string("Sequence"),
        "pretokenizers": .array([.object(["type": .string("WhitespaceSplit")]), metaspace]),
    ])

    /// The library's rules, one after another.
    private func normalizer(_ prefix: DummyPrefix) -> JSONNode {
        func replacement(_ pattern: JSONNode, _ content: [UInt8]) -> JSONNode {
            .object([
                "type": .string("Replace"), "pattern": pattern, "content": .string(content),
            ])
        }
        func expression(_ pattern: String) -> JSONNode { .object(["Regex": .string(pattern)]) }
        var rules: [JSONNode] = characterMap.isEmpty ? [] : [precompiled]
        let isConditional = addsDummyPrefix && prefix.isConditional
        if removesExtraSpaces { rules.append(replacement(expression(" {2,}"), [0x20])) }
        if isConditional {
            let first = removesExtraSpaces ? " ?" : ""
            rules.append(replacement(expression(prefix.pattern + first), mark))
        }
        if removesExtraSpaces {
            // Marks at the end go too. A run of them is looked at once.
            let ends = marksSpaces ? "[ \u{2581}]" : " "
            let first = isConditional ? "" : "|\\A "
            rules.append(replacement(expression("(?<!\(ends))\(ends)+\\z\(first)"), []))
        }
        if marksSpaces { rules.append(replacement(.object(["String": .string(" ")]), mark)) }
        if addsDummyPrefix, !isConditional {
            rules.append(.object(["type": .string("Prepend"), "prepend": .string(mark)]))
        }
        return rules.isEmpty
            ? .null : .object(["type": .string("Sequence"), "normalizers": .array(rules)])
    }

    private var decoder: JSONNode {
        var rules: [JSONNode] = []
        if marksSpaces {
            rules.append(
                .object([
                    "type": .string("Replace"),
                    "pattern": .object(["String": .string(SpaceMark.bytes)]),
                    "content": .string(" "),
                ]))
        }
        if fallsBackToBytes { rules.append(.object(["type": .string("ByteFallback")])) }
        rules.append(.object(["type": .string("Fuse")]))
        if addsDummyPrefix {
            rules.append(
                .object([
                    "type": .string("Strip"), "content": .string(" "), "start": .integer(1),
                    "stop": .integer(0),
                ]))
        }
        return .object(["type": .string("Sequence"), "decoders": .array(rules)])
    }

    // MARK: Models

    private var unigram: JSONNode {
        // Texts of these pieces are no way to tell a text: the least of all scores keeps them out.
        let least = pieces.lazy.filter { $0.kind == .normal }.map(\.score).min() ?? 0
        let hidden = 6 * (Double(least) - 10) - 1
        return .object([
            "type": .string("Unigram"), "unk_id": .integer(unknown),
            "vocab": .array(
                pieces.map { piece in
                    let isHidden = piece.kind == .byte || piece.kind == .unused
                    return .array([
                        .string(piece.text), .number(isHidden ? hidden : Double(piece.score)),
                    ])
                }),
            "byte_fallback": .bool(fallsBackToBytes),
        ])
    }

    private func bytePairs(name: String) throws(TokenizerError) -> JSONNode {
        let members = pieces.enumerated().map {
            JSONNode.Member(key: $0.element.text, value: .integer($0.offset))
        }
        return .object([
            "type": .string("BPE"), "dropout": .null, "unk_token": .string(pieces[unknown].text),
            "continuing_subword_prefix": .null, "end_of_word_suffix": .null,
            "fuse_unk": .bool(true), "byte_fallback": .bool(fallsBackToBytes),
            "ignore_merges": .bool(false), "vocab": .object(members),
            "merges": .array(try merges(name: name)),
        ])
    }

    /// Every two pieces that make a third, the one with the best score first; of one piece the shortest left part.
    private func merges(name: String) throws(TokenizerError) -> [JSONNode] {
        var table = ByteTable(minimumCapacity: pieces.count)
        var hasLength = [Bool](repeating: false, count: SentencePieceModel.longestPiece + 1)
        var ranked: [Int] = []
        for (index, piece) in pieces.enumerated() where piece.kind == .normal {
            table.set(piece.text, to: Int32(index))
            hasLength[piece.text.count] = true
            ranked.append(index)
        }
        ranked.sort { (-pieces[$0].score, $0) < (-pieces[$1].score, $1) }
        var merges: [JSONNode] = []
        var byteCount = 0
        for index in ranked {
            let text = pieces[index].text
            for place in text.indices.dropFirst()
            where hasLength[place] && hasLength[text.count - place] {
                guard table[text.span.extracting(..<place)] != nil,
                    table[text.span.extracting(place...)] != nil
                else { continue }
                byteCount += text.count
                guard merges.count < VocabularyFiles.mostLines,
                    byteCount <= VocabularyFiles.byteLimit
                else {
                    throw TokenizerError(
                        .corrupt,
                        "\(name): expected at most \(VocabularyFiles.mostLines) merges of "
                            + "\(VocabularyFiles.byteLimit) bytes in all, found more")
                }
                merges.append(
                    .array([.string(Array(text[..<place])), .string(Array(text[place...]))]))
            }
        }
        return merges
    }
}

/// The space before a text. User-defined pieces are found in the normalized text, so their own normal form must be
/// without it.
private struct DummyPrefix {
    /// Matches nothing at the start of every text but an empty one and a user-defined piece alone.
    let pattern: String
    /// Whether there are such pieces, and not more than a pattern may have.
    let isConditional: Bool

    private static let longestPattern = 1 << 14

    init(except pieces: [[UInt8]]) {
        pattern = "\\A(?!(?:\(pieces.map(DummyPrefix.escaped).joined(separator: "|")))?\\z)"
        isConditional = !pieces.isEmpty && pattern.utf8.count <= DummyPrefix.longestPattern
    }

    private static func escaped(_ text: [UInt8]) -> String {
        var result = ""
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            switch scalar {
            case "0"..."9", "A"..."Z", "a"..."z": result.unicodeScalars.append(scalar)
            case _ where scalar.value < 0x80 && scalar.value > 0x20:
                result += "\\"
                result.unicodeScalars.append(scalar)
            default: result += "\\x{\(String(scalar.value, radix: 16))}"
            }
        }
        return result
    }
}

extension CharacterMap {
    /// All texts that the map may write.
    fileprivate var replacements: [UInt8] {
        let trie = (0..<4).reduce(0) { $0 | Int(bytes[$1]) << (8 * $1) }
        return Array(bytes[(4 + trie / 4 * 4)...])
    }
}
