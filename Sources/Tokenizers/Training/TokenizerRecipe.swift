// A tokenizer that does not exist yet: its kind, its size, its special tokens. Trained on words it becomes a tokenizer.json
// that the Hugging Face library loads, and so do we.

/// What is to be trained.
package struct TokenizerRecipe: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        /// GPT-2, Llama 3: bytes, merged within words of a pattern.
        case byteLevel = "byte-level"
        /// BERT
        case wordPiece = "wordpiece"
        /// T5
        case unigram
    }

    /// Words of a byte-level tokenizer.
    package enum Pattern: String, Sendable, CaseIterable {
        case gpt2
        case llama3
        case qwen2
        case o200k

        var scanner: WordScanner {
            switch self {
            case .gpt2: .gpt2
            case .llama3: .llama3(digits: 3)
            case .qwen2: .llama3(digits: 1)
            case .o200k: .o200k
            }
        }
    }

    package var kind: Kind
    package var vocabularySize = 32_000
    package var pattern = Pattern.gpt2
    /// WordPiece: small letters without accents.
    package var lowercases = true
    /// A pair that is rarer is not merged.
    package var smallestCount = 2
    /// Special tokens beside those of the kind.
    package var moreSpecials: [String] = []
    /// Sentinels `<extra_id_0>` and up, for span corruption.
    package var sentinels = 0
    package var threads = 1

    package init(_ kind: Kind) { self.kind = kind }

    /// Special tokens, in the order of their numbers.
    package var specials: [String] {
        let own =
            switch kind {
            case .byteLevel: ["<|endoftext|>"]
            case .wordPiece: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            case .unigram: ["<pad>", "</s>", "<unk>"]
            }
        let sentinels = (0..<sentinels).map { "<extra_id_\($0)>" }
        var seen = Set<String>()
        return (own + sentinels + moreSpecials).filter { seen.insert($0).inserted }
    }

    /// Counts the words of a corpus for `train`.
    package var wordCounter: WordCounter {
        WordCounter(normalizer: normalizer, cutter: cutter, threads: threads)
    }

    /// Trains on the words of `counter` and returns a tokenizer.json.
    package func train(_ counter: WordCounter) throws(TokenizerError) -> [UInt8] {
        let words = counter.result
        guard !words.isEmpty else {
            throw TokenizerError(.untrainable, "text: expected words to train on, found none")
        }
        switch kind {
        case .byteLevel: return try trainMerges(words)
        case .wordPiece: return try trainWordPieces(words)
        case .unigram: return try trainUnigram(words)
        }
    }

    // MARK: Parts

    private var normalizer: Normalizer? {
        switch kind {
        case .byteLevel: nil
        case .wordPiece:
            .bert(
                BERTNormalizer(
                    cleansText: true, separatesIdeographs: true, stripsAccents: lowercases,
                    lowercases: lowercases))
        case .unigram: .form(NormalizationForm(isCompatible: true, composes: true))
        }
    }

    private var cutter: PieceCutter {
        switch kind {
        case .byteLevel: .scanner(pattern.scanner)
        case .wordPiece: .rules(.bert)
        case .unigram:
            .rules(
                .sequence([
                    .whitespaceSplit,
                    .metaspace(
                        Metaspace(
                            replacement: SpaceMark.scalar, prepending: .always, splits: true)),
                ]))
        }
    }

    private var specialTexts: [[UInt8]] { specials.map { Array($0.utf8) } }

    // MARK: Training

    private func trainMerges(_ words: [(text: [UInt8], count: Int)]) throws(TokenizerError)
        -> [UInt8]
    {
        var training = MergeTraining()
        training.vocabularySize = vocabularySize
        training.specials = specialTexts
        training.alphabet = ByteAlphabet.scalars
        training.smallestCount = smallestCount
        let learnt = try training.train(
            words.map { (text: ByteAlphabet.text(of: $0.text), count: $0.count) })
        let byteLevel = { (usesPattern: Bool) in
            JSONNode.object([
                "type": .string("ByteLevel"), "add_prefix_space": .bool(false),
                "trim_offsets": .bool(true), "use_regex": .bool(usesPattern),
            ])
        }
        let cutting: JSONNode =
            pattern == .gpt2
            ? byteLevel(true)
            : .object([
                "type": .string("Sequence"),
                "pretokenizers": .array([
                    .object([
                        "type": .string("Split"),
                        "pattern": .object(["Regex": .string(pattern.scanner.pattern)]),
                        "behavior": .string("Isolated"), "invert": .bool(false),
                    ]),
                    byteLevel(false),
                ]),
            ])
        let model: JSONNode = .object([
            "type": .string("BPE"), "dropout": .null, "unk_token": .null,
            "continuing_subword_prefix": .null, "end_of_word_suffix": .null,
            "fuse_unk": .bool(false), "byte_fallback": .bool(false), "ignore_merges": .bool(false),
            "vocab": vocabulary(learnt.tokens),
            "merges": .array(
                learnt.merges.map { merge in
                    .array([
                        .string(learnt.tokens[Int(merge.left)]),
                        .string(learnt.tokens[Int(merge.right)]),
                    ])
                }),
        ])
        return file(
            normalizer: .null, preTokenizer: cutting, postProcessor: byteLevel(true),
            decoder: byteLevel(true), model: model)
    }

    private func trainWordPieces(_ words: [(text: [UInt8], count: Int)]) throws(TokenizerError)
        -> [UInt8]
    {
        var training = MergeTraining()
        training.vocabularySize = vocabularySize
        training.specials = specialTexts
        training.continuingPrefix = Array("##".utf8)
        training.smallestCount = smallestCount
        // Characters of the world's scripts would leave no room for words.
        training.largestAlphabet = max(256, vocabularySize / 8)
        let learnt = try training.train(words)
        let model: JSONNode = .object([
            "type": .string("WordPiece"), "unk_token": .string("[UNK]"),
            "continuing_subword_prefix": .string("##"), "max_input_chars_per_word": .integer(100),
            "vocab": vocabulary(learnt.tokens),
        ])
        let normalizer: JSONNode = .object([
            "type": .string("BertNormalizer"), "clean_text": .bool(true),
            "handle_chinese_chars": .bool(true), "strip_accents": .null,
            "lowercase": .bool(lowercases),
        ])
        return file(
            normalizer: normalizer, preTokenizer: .object(["type": .string("BertPreTokenizer")]),
            postProcessor: template(before: "[CLS]", behind: "[SEP]", secondType: 1),
            decoder: .object([
                "type": .string("WordPiece"), "prefix": .string("##"), "cleanup": .bool(true),
            ]), model: model)
    }

    private func trainUnigram(
        _ words: [(text: [UInt8], count: Int)]
    ) throws(TokenizerError) -> [UInt8] {
        var training = UnigramTraining()
        training.vocabularySize = vocabularySize
        training.specials = specialTexts
        training.unknown = Array("<unk>".utf8)
        training.threads = threads
        let learnt = try training.train(words)
        let model: JSONNode = .object([
            "type": .string("Unigram"), "unk_id": learnt.unknown.map { .integer($0) },
            "byte_fallback": .bool(false),
            "vocab": .array(
                learnt.pieces.map { .array([.string($0.text), .number($0.score)]) }),
        ])
        let metaspace: JSONNode = .object([
            "type": .string("Metaspace"), "replacement": .string(SpaceMark.bytes),
            "prepend_scheme": .string("always"), "split": .bool(true),
        ])
        return file(
            normalizer: .object(["type": .string("NFKC")]),
            preTokenizer: .object([
                "type": .string("Sequence"),
                "pretokenizers": .array([
                    .object(["type": .string("WhitespaceSplit")]), metaspace,
                ]),
            ]), postProcessor: template(before: nil, behind: "</s>", secondType: 0),
            decoder: metaspace, model: model)
    }

    // MARK: The file

    private func vocabulary(_ tokens: [[UInt8]]) -> JSONNode {
        .object(tokens.enumerated().map { .init(key: $0.element, value: .integer($0.offset)) })
    }

    private func file(
        normalizer: JSONNode, preTokenizer: JSONNode, postProcessor: JSONNode, decoder: JSONNode,
        model: JSONNode
    ) -> [UInt8] {
        let added = specialTexts.enumerated().map {
            TokenizerSettings.StatedToken(text: $0.element, identifier: $0.offset).node
        }
        return JSONNode.object([
            "version": .string("1.0"), "truncation": .null, "padding": .null,
            "added_tokens": .array(added), "normalizer": normalizer,
            "pre_tokenizer": preTokenizer, "post_processor": postProcessor, "decoder": decoder,
            "model": model,
        ]).bytes
    }

    /// A template with a token before the first text, if any, and one behind each.
    private func template(before: String?, behind: String, secondType: Int) -> JSONNode {
        func special(_ text: String) -> TemplateDraft.Special {
            (Array(text.utf8), specials.firstIndex(of: text) ?? 0)
        }
        return TemplateDraft(
            begin: before.map(special), end: special(behind), repeatsBegin: false,
            secondType: secondType
        ).node
    }
}
