// What lies beside a vocabulary that is no tokenizer.json: `tokenizer_config.json`, `special_tokens_map.json` and
// `added_tokens.json` say which tokens are special, and how a class of tokenizers is set.

/// Those files, as far as they are there.
struct TokenizerSettings: Sendable {
    var configuration: TokenizerPart?
    var specials: TokenizerPart?
    var added: TokenizerPart?

    static let configurationName = "tokenizer_config.json"
    static let specialsName = "special_tokens_map.json"
    static let addedName = "added_tokens.json"
    static let byteLimit = 16 << 20

    /// A token as it is stated, by its text alone or with its rules.
    struct StatedToken {
        var text: [UInt8]
        /// nil: the vocabulary's, or the next.
        var identifier: Int?
        var isSingleWord = false
        var stripsLeft = false
        var stripsRight = false
        var isNormalized = false
        var isSpecial = true
        /// The file that states it.
        var file = ""
    }

    /// Roles of special tokens, in the order in which those that the vocabulary lacks are added behind it.
    enum Role: String, CaseIterable {
        case begin = "bos_token"
        case end = "eos_token"
        case unknown = "unk_token"
        case separator = "sep_token"
        case padding = "pad_token"
        case classifier = "cls_token"
        case mask = "mask_token"
    }

    /// The class of tokenizers, without the ending of fast ones; nil where none is named or the name tells nothing.
    var className: String? {
        get throws(TokenizerError) {
            guard let part = configuration?.optional("tokenizer_class") else { return nil }
            let name = try part.string
            let base = name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
            return ["PreTrainedTokenizer", "TokenizersBackend"].contains(base) ? nil : base
        }
    }

    func flag(_ key: String, default value: Bool) throws(TokenizerError) -> Bool {
        try configuration?.bool(key, default: value) ?? value
    }

    /// A setting that is true, false or left open.
    func optionalFlag(_ key: String) throws(TokenizerError) -> Bool? {
        guard configuration?.optional(key) != nil else { return nil }
        return try flag(key, default: false)
    }

    /// Where special tokens are named, the first to be asked first: a configuration that lists all added tokens stands
    /// alone.
    private var sources: [TokenizerPart] {
        let hasList = configuration?.optional("added_tokens_decoder") != nil
        return [hasList ? nil : specials, configuration].compactMap { $0 }
    }

    /// The token of a role; nil where no file names it.
    func token(_ role: Role) throws(TokenizerError) -> StatedToken? {
        for source in sources {
            guard let part = source.optional(role.rawValue) else { continue }
            var token = try StatedToken(part, isSpecial: true)
            token.isSpecial = true
            return token
        }
        return nil
    }

    /// Special tokens that have no role.
    var otherSpecialTokens: [StatedToken] {
        get throws(TokenizerError) {
            var tokens: [StatedToken] = []
            for source in sources {
                for key in ["additional_special_tokens", "extra_special_tokens"] {
                    guard let list = source.optional(key), case .array = list.node else { continue }
                    for part in try list.elements {
                        tokens.append(try StatedToken(part, isSpecial: true))
                    }
                }
            }
            return tokens
        }
    }

    /// T5's marks of what was left out, `<extra_id_0>` and so on, which its class puts behind the pieces of a model, the
    /// last first.
    var sentinels: [StatedToken] {
        get throws(TokenizerError) {
            guard let name = try className, ["T5Tokenizer", "MT5Tokenizer"].contains(name) else {
                return []
            }
            let count = try configuration?.optional("extra_ids")?.integer(in: 0...9999) ?? 100
            return (0..<count).reversed().map { StatedToken(text: Array("<extra_id_\($0)>".utf8)) }
        }
    }

    /// Tokens whose numbers the files give, in their order.
    var numberedTokens: [StatedToken] {
        get throws(TokenizerError) {
            if let list = configuration?.optional("added_tokens_decoder") {
                return try numbered(list)
            }
            return try added.map { (part) throws(TokenizerError) in try oldNumbered(part) } ?? []
        }
    }

    /// `added_tokens_decoder`: tokens by number.
    private func numbered(_ list: TokenizerPart) throws(TokenizerError) -> [StatedToken] {
        guard case .object(let members) = list.node else { throw list.failure("an object") }
        var tokens: [StatedToken] = []
        for member in members {
            let key = String(decoding: member.key, as: UTF8.self)
            guard let identifier = Int(key), identifier >= 0 else {
                throw list.failure("numbers of tokens", found: key.printable.debugDescription)
            }
            let part = TokenizerPart(
                node: member.value, place: "\(list.place).\(identifier)", file: list.file)
            var token = try StatedToken(part, isSpecial: false)
            token.identifier = identifier
            tokens.append(token)
        }
        return tokens.sorted { ($0.identifier ?? 0) < ($1.identifier ?? 0) }
    }

    /// `added_tokens.json`: numbers by token.
    private func oldNumbered(_ part: TokenizerPart) throws(TokenizerError) -> [StatedToken] {
        guard case .object(let members) = part.node else { throw part.failure("an object") }
        var special = Set(try otherSpecialTokens.map(\.text))
        for role in Role.allCases {
            if let token = try token(role) { special.insert(token.text) }
        }
        var tokens: [StatedToken] = []
        for member in members {
            guard case .integer(let identifier) = member.value else {
                throw part.failure("numbers of tokens", found: member.value.summary)
            }
            let isSpecial = special.contains(member.key)
            tokens.append(
                StatedToken(
                    text: member.key, identifier: identifier, isNormalized: !isSpecial,
                    isSpecial: isSpecial, file: part.file))
        }
        return tokens.sorted { ($0.identifier ?? 0) < ($1.identifier ?? 0) }
    }
}

extension TokenizerSettings.StatedToken {
    /// A text, or an object with `content`.
    fileprivate init(_ part: TokenizerPart, isSpecial: Bool) throws(TokenizerError) {
        if case .string(let text) = part.node {
            self.init(text: text, isNormalized: !isSpecial, isSpecial: isSpecial, file: part.file)
            return
        }
        let special = try part.bool("special", default: isSpecial)
        self.init(
            text: try part.member("content").text,
            isSingleWord: try part.bool("single_word", default: false),
            stripsLeft: try part.bool("lstrip", default: false),
            stripsRight: try part.bool("rstrip", default: false),
            isNormalized: try part.bool("normalized", default: !special), isSpecial: special,
            file: part.file)
    }
}
