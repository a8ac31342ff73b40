// BERT and RoBERTa in Hugging Face's form (transformers, `configuration_bert.py`, `modeling_bert.py` and those of
// roberta).

import Files
import Kernels
import Layers

extension BERTConfiguration: HuggingFaceShape {
    package static let modelTypes = Variant.allCases.map(\.rawValue)
    package var tiesByDefault: Bool { true }

    package var modelClass: (type: String, name: String) {
        let names = BERTConfiguration.heads(variant)
        guard let name = names.first(where: { $0.value == head })?.key else {
            preconditionFailure("BERT: no class of \(variant) with \(head)")
        }
        return (variant.rawValue, name)
    }

    /// What classes have beyond the encoder.
    private static func heads(_ variant: Variant) -> KeyValuePairs<String, Head> {
        switch variant {
        case .bert:
            [
                "BertForMaskedLM": .maskedTokens, "BertForPreTraining": .maskedTokens,
                "BertForSequenceClassification": .sequences, "BertForTokenClassification": .tokens,
            ]
        case .roberta:
            ["RobertaForMaskedLM": .maskedTokens, "RobertaForTokenClassification": .tokens]
        }
    }

    package static func members(_ modelType: String) -> [HuggingFaceMember<Self>] {
        let variant = Variant(rawValue: modelType) ?? .bert
        return [
            HuggingFaceMember(
                read: {
                    $1.variant = variant
                    $1.head = head(&$0, variant)
                }, write: { _ in variant == .roberta ? ["pad_token_id": .integer(1)] : [:] }),
            .vocabulary(variant == .bert ? 30_522 : 50_265),
            .extent("max_position_embeddings", \.tableRows, 512),
            .layers("num_hidden_layers", \.layers, 12), .heads("num_attention_heads", \.heads, 12),
            .width("hidden_size", \.width, 768), .extent("intermediate_size", \.inner, 3072),
            .activation("hidden_act", \.activation, "gelu"),
            .dropout(["hidden_dropout_prob", "attention_probs_dropout_prob"], \.dropout, 0.1),
            .positive("layer_norm_eps", \.epsilon, 1e-12),
            .size("type_vocab_size", \.tokenTypes, limit: 1024) { _ in 2 },
            .classes(\.classes) { $0.head != .maskedTokens }, .alwaysTied,
            .fixed("is_decoder", .bool(false), isWritten: false),
            .fixed("add_cross_attention", .bool(false), isWritten: false),
            .fixed("position_embedding_type", .string("absolute"), isWritten: false),
        ]
    }

    package mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String) {
        file.expectWholeHeads(heads, "num_attention_heads", of: width, "hidden_size")
        if contextLength <= 0 {
            file.refuse(
                "max_position_embeddings", "more than \(variant.unusedPositions)",
                .integer(tableRows))
        }
        if variant == .roberta {
            file.expect("pad_token_id", number: 1)
            if activation != .geluErf {
                file.refuse(
                    "hidden_act", "\"gelu\", which the head has too",
                    file.members["hidden_act"] ?? .null)
            }
        }
        if head != .maskedTokens {
            file.expect("classifier_dropout", .null, standard: .null)
            let kind = file.members["problem_type"] ?? .null
            if kind != .null, kind != .string("single_label_classification") {
                file.refuse("problem_type", "\"single_label_classification\" or null", kind)
            }
        }
    }

    private static func head(_ file: inout HuggingFaceConfiguration, _ variant: Variant) -> Head {
        guard let name = file.architecture else { return .maskedTokens }
        if let found = heads(variant).first(where: { .string($0.key) == name }) {
            return found.value
        }
        file.refuse("architectures", heads(variant).map { "\"\($0.key)\"" }.alternatives, name)
        return .maskedTokens
    }

    /// Rows of the table of positions there.
    private var tableRows: Int {
        get { contextLength + variant.unusedPositions }
        set { contextLength = newValue - variant.unusedPositions }
    }

    /// Our names are theirs without `bert.` or `roberta.`; queries, keys and values are one tensor here.
    package var weightMap: WeightMap {
        let prefix = "\(variant.rawValue)."
        func same(_ name: String) -> WeightMap.Rule { .same(name, as: prefix + name) }
        func pair(_ name: String, as other: String? = nil) -> [WeightMap.Rule] {
            WeightMap.Rule.pair(name, as: other ?? prefix + name)
        }
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let layer = "encoder.layer.\(index)"
            let projection = ["weight", "bias"].map { kind in
                WeightMap.Rule.joined(
                    "\(layer).attention.self.qkv.\(kind)",
                    ["query", "key", "value"].map {
                        "\(prefix)\(layer).attention.self.\($0).\(kind)"
                    },
                    rows: width)
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
