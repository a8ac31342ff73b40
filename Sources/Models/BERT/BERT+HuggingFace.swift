// BERT and RoBERTa in Hugging Face's form (transformers, `configuration_bert.py`, `modeling_bert.py` and those of
// roberta).

import Files
import Kernels
import Layers

extension BERTConfiguration: HuggingFaceShape {
    package static let modelTypes = Variant.allCases.map(\.rawValue)
    package static let chosenKeys: Set = ["model.dropout"]
    package var tiesByDefault: Bool { true }

    package init(
        huggingFace file: HuggingFaceConfiguration
    ) throws(HuggingFaceConfigurationError) {
        var file = file
        let variant: Variant = file.members["model_type"] == .string("roberta") ? .roberta : .bert
        file.expect("quantization_config", .null, standard: .null)
        file.expect("is_decoder", .bool(false), standard: .bool(false))
        file.expect("add_cross_attention", .bool(false), standard: .bool(false))
        file.expect(
            "position_embedding_type", .string("absolute"), standard: .string("absolute"))
        // Whichever it says, our head is the table; it decides whether the folder must have both.
        _ = file.boolean("tie_word_embeddings", standard: true)
        let heads = file.size("num_attention_heads", standard: 12, limit: 65_536)
        let width = file.size("hidden_size", standard: 768, limit: 1_048_576)
        let positions = file.size("max_position_embeddings", standard: 512, limit: 16_777_216)
        let unused = variant.unusedPositions
        self.init(
            vocabulary: file.size(
                "vocab_size", standard: variant == .bert ? 30_522 : 50_265, limit: 1_073_741_824),
            contextLength: max(1, positions - unused),
            layers: file.size("num_hidden_layers", standard: 12, limit: 10_000), heads: heads,
            width: width,
            inner: file.size("intermediate_size", standard: 3072, limit: 16_777_216))
        self.variant = variant
        activation = file.activation("hidden_act", standard: "gelu")
        if variant == .roberta && activation != .geluErf {
            file.refuse(
                "hidden_act", "\"gelu\", which the head has too",
                file.members["hidden_act"] ?? .null)
        }
        // One probability for all places: the sub-layers', where the file has several.
        dropout = file.probability("hidden_dropout_prob", standard: 0.1)
        epsilon = file.positive("layer_norm_eps", standard: 1e-12)
        tokenTypes = file.size("type_vocab_size", standard: 2, limit: 1024)
        head = BERTConfiguration.head(&file, variant)
        if head != .maskedTokens {
            classes = file.classes
            file.expect("classifier_dropout", .null, standard: .null)
            let kind = file.members["problem_type"] ?? .null
            if kind != .null, kind != .string("single_label_classification") {
                file.refuse("problem_type", "\"single_label_classification\" or null", kind)
            }
        }
        if width % heads != 0 {
            file.refuse("num_attention_heads", "a divisor of hidden_size \(width)", .integer(heads))
        }
        if positions <= unused {
            file.refuse("max_position_embeddings", "more than \(unused)", .integer(positions))
        }
        if variant == .roberta { file.expect("pad_token_id", number: 1) }
        try file.check()
    }

    /// What the class that the file names has beyond the encoder.
    private static func head(_ file: inout HuggingFaceConfiguration, _ variant: Variant) -> Head {
        let names = file.members["architectures"] ?? .null
        guard case .array(let list) = names, let first = list.first else { return .maskedTokens }
        let heads: [(String, Head)] =
            switch variant {
            case .bert:
                [
                    ("BertForMaskedLM", .maskedTokens), ("BertForPreTraining", .maskedTokens),
                    ("BertForSequenceClassification", .sequences),
                    ("BertForTokenClassification", .tokens),
                ]
            case .roberta:
                [
                    ("RobertaForMaskedLM", .maskedTokens),
                    ("RobertaForTokenClassification", .tokens),
                ]
            }
        if let found = heads.first(where: { .string($0.0) == first }) { return found.1 }
        file.refuse("architectures", heads.map { "\"\($0.0)\"" }.alternatives, first)
        return .maskedTokens
    }

    private var className: String {
        let prefix = variant == .bert ? "Bert" : "Roberta"
        return switch head {
        case .maskedTokens: "\(prefix)ForMaskedLM"
        case .sequences: "\(prefix)ForSequenceClassification"
        case .tokens: "\(prefix)ForTokenClassification"
        }
    }

    package func huggingFace() -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "architectures": .array([.string(className)]),
            "attention_probs_dropout_prob": .number(dropout),
            "hidden_act": .string(activation.huggingFaceName()),
            "hidden_dropout_prob": .number(dropout),
            "hidden_size": .integer(width),
            "initializer_range": .number(0.02),
            "intermediate_size": .integer(inner),
            "layer_norm_eps": .number(epsilon),
            "max_position_embeddings": .integer(contextLength + variant.unusedPositions),
            "model_type": .string(variant.rawValue),
            "num_attention_heads": .integer(heads),
            "num_hidden_layers": .integer(layers),
            "tie_word_embeddings": .bool(true),
            "torch_dtype": .string("float32"),
            "type_vocab_size": .integer(tokenTypes),
            "vocab_size": .integer(vocabulary ?? 0),
        ]
        if variant == .roberta { members["pad_token_id"] = .integer(1) }
        if head != .maskedTokens {
            members.merge(HuggingFaceConfiguration.labels(classes)) { own, _ in own }
        }
        return members
    }

    /// Our names are theirs without `bert.` or `roberta.`; queries, keys and values are one tensor here.
    package var weightMap: WeightMap {
        let prefix = "\(variant.rawValue)."
        func same(_ name: String) -> WeightMap.Rule { .same(name, as: prefix + name) }
        func pair(_ name: String, as other: String? = nil) -> [WeightMap.Rule] {
            ["weight", "bias"].map {
                .same("\(name).\($0)", as: "\(other ?? prefix + name).\($0)")
            }
        }
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let layer = "encoder.layer.\(index)"
            let projection = ["weight", "bias"].map { kind in
                WeightMap.Rule.joined(
                    "\(layer).attention.self.qkv.\(kind)",
                    ["query", "key", "value"].map {
                        .init("\(prefix)\(layer).attention.self.\($0).\(kind)", rows: width)
                    })
            }
            return projection
                + [
                    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense",
                    "output.dense", "output.LayerNorm",
                ].flatMap { pair("\(layer).\($0)") }
        }
        let table = "embeddings.word_embeddings.weight"
        let embeddings: [WeightMap.Rule] =
            [
                same(table),
                .rows(
                    "embeddings.position_embeddings.weight",
                    as: "\(prefix)embeddings.position_embeddings.weight",
                    from: variant.unusedPositions),
                same("embeddings.token_type_embeddings.weight"),
            ] + pair("embeddings.LayerNorm")
        return WeightMap(
            rules: embeddings + blocks + headRules(pair),
            prefixes: [prefix], aliases: headAliases("\(prefix)\(table)"),
            endings: [
                .init("LayerNorm.gamma", now: "LayerNorm.weight"),
                .init("LayerNorm.beta", now: "LayerNorm.bias"),
            ],
            // Numbers of positions that older versions of transformers stored; what other heads have.
            ignored: ["embeddings.position_ids", "cls.seq_relationship.**"]
                + (head == .sequences ? [] : ["pooler.**"]))
    }

    private func headRules(
        _ pair: (_ name: String, _ other: String?) -> [WeightMap.Rule]
    ) -> [WeightMap.Rule] {
        switch head {
        case .maskedTokens:
            let names = variant.headNames
            return pair("cls.predictions.transform.dense", names.dense)
                + pair("cls.predictions.transform.LayerNorm", names.norm)
                + [.same("cls.predictions.bias", as: names.bias)]
        case .sequences: return pair("pooler.dense", nil) + pair("classifier", "classifier")
        case .tokens: return pair("classifier", "classifier")
        }
    }

    private func headAliases(_ table: String) -> [WeightMap.Alias] {
        guard head == .maskedTokens else { return [] }
        let names = variant.headNames
        return [
            .init("\(names.decoder).weight", of: table, isHead: true),
            .init("\(names.decoder).bias", of: names.bias),
        ]
    }
}

extension BERTConfiguration.Variant {
    /// Rows of the table of positions before that of the first token: RoBERTa counts from the padding's number on.
    fileprivate var unusedPositions: Int { self == .roberta ? 2 : 0 }

    /// Of the head of a masked language model.
    fileprivate var headNames: (dense: String, norm: String, bias: String, decoder: String) {
        switch self {
        case .bert:
            (
                "cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
                "cls.predictions.bias", "cls.predictions.decoder"
            )
        case .roberta: ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias", "lm_head.decoder")
        }
    }
}
