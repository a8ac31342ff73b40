// Parts of a tokenizer.json that is put together of other files.

/// The `added_tokens` of a tokenizer.json that is being put together.
struct AddedTokenList {
    private var tokens: [TokenizerSettings.StatedToken] = []
    private var places: [[UInt8]: Int] = [:]
    private let vocabulary: ByteTable
    private var next: Int

    init(vocabulary: ByteTable) {
        self.vocabulary = vocabulary
        next = vocabulary.count
    }

    /// The number of a token of the vocabulary or behind it.
    func identifier(_ text: [UInt8]) -> Int? {
        places[text].flatMap { tokens[$0].identifier } ?? vocabulary[text].map { Int($0) }
    }

    /// Adds a token that is not yet there; one that is becomes special where `token` is.
    mutating func add(_ token: TokenizerSettings.StatedToken) throws(TokenizerError) {
        guard !token.text.isEmpty else { return }
        let known = identifier(token.text)
        let identifier = known ?? next
        if let stated = token.identifier, stated != identifier {
            throw TokenizerError(
                .corrupt,
                "\(token.file): expected number \(identifier) for the token "
                    + "\(JSONNode.string(token.text).summary), which it has in the vocabulary or behind it, "
                    + "found \(stated)")
        }
        if let place = places[token.text] {
            tokens[place].isSpecial = tokens[place].isSpecial || token.isSpecial
            return
        }
        if known == nil { next += 1 }
        places[token.text] = tokens.count
        tokens.append(token)
        tokens[tokens.count - 1].identifier = identifier
    }

    /// Adds the tokens that `settings` have, and those of `roles`.
    mutating func add(
        _ settings: TokenizerSettings,
        roles: [TokenizerSettings.Role: TokenizerSettings.StatedToken]
    ) throws(TokenizerError) {
        for token in try settings.numberedTokens { try add(token) }
        for role in TokenizerSettings.Role.allCases {
            if let token = roles[role] { try add(token) }
        }
        for token in try settings.otherSpecialTokens { try add(token) }
    }

    var node: JSONNode {
        .array(tokens.sorted { ($0.identifier ?? 0) < ($1.identifier ?? 0) }.map(\.node))
    }
}

extension TokenizerSettings.StatedToken {
    /// An element of `added_tokens`.
    var node: JSONNode {
        .object([
            "id": .integer(identifier ?? 0), "content": .string(text),
            "single_word": .bool(isSingleWord), "lstrip": .bool(stripsLeft),
            "rstrip": .bool(stripsRight), "normalized": .bool(isNormalized),
            "special": .bool(isSpecial),
        ])
    }
}

/// Tokens around a text and between two, as `TemplateProcessing` of a tokenizer.json.
struct TemplateDraft {
    typealias Special = (text: [UInt8], identifier: Int)

    var begin: Special?
    var end: Special?
    /// Whether the second text begins with `begin` too.
    var repeatsBegin = true
    /// The type of the second text.
    var secondType = 1

    /// null where there is nothing to add.
    var node: JSONNode {
        guard begin != nil || end != nil else { return .null }
        func special(_ token: Special?, _ type: Int) -> [JSONNode] {
            token.map {
                [
                    .object([
                        "SpecialToken": .object([
                            "id": .string($0.text), "type_id": .integer(type),
                        ])
                    ])
                ]
            } ?? []
        }
        func sequence(_ name: String, _ type: Int) -> [JSONNode] {
            [.object(["Sequence": .object(["id": .string(name), "type_id": .integer(type)])])]
        }
        let single = special(begin, 0) + sequence("A", 0) + special(end, 0)
        let second =
            special(repeatsBegin ? begin : nil, secondType) + sequence("B", secondType)
            + special(end, secondType)
        var specials: [JSONNode.Member] = []
        for token in [begin, end] {
            guard let token, !specials.contains(where: { $0.key == token.text }) else { continue }
            specials.append(
                .init(
                    key: token.text,
                    value: .object([
                        "id": .string(token.text), "ids": .array([.integer(token.identifier)]),
                        "tokens": .array([.string(token.text)]),
                    ])))
        }
        return .object([
            "type": .string("TemplateProcessing"), "single": .array(single),
            "pair": .array(single + second),
            "special_tokens": .object(specials),
        ])
    }
}
