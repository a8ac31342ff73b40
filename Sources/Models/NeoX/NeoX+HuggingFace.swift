// GPT-NeoX in Hugging Face's form (transformers, `configuration_gpt_neox.py` and `modeling_gpt_neox.py`).

import Files
import Kernels
import Layers

extension NeoXConfiguration: HuggingFaceShape {
    package static let modelTypes = ["gpt_neox"]
    /// Rotary positions have no table: a training may see shorter texts, or longer ones.
    package static let chosenKeys: Set = ["model.dropout", "model.context_length"]
    package var tiesByDefault: Bool { tiesOutput }

    package init(
        huggingFace file: HuggingFaceConfiguration
    ) throws(HuggingFaceConfigurationError) {
        var file = file
        file.expect("quantization_config", .null, standard: .null)
        file.expect("rope_scaling", .null, standard: .null)
        let heads = file.size("num_attention_heads", standard: 64, limit: 65_536)
        let width = file.size("hidden_size", standard: 6144, limit: 1_048_576)
        self.init(
            vocabulary: file.size("vocab_size", standard: 50_432, limit: 1_073_741_824),
            contextLength: file.size(
                "max_position_embeddings", standard: 2048, limit: 16_777_216),
            layers: file.size("num_hidden_layers", standard: 44, limit: 10_000), heads: heads,
            width: width,
            inner: file.size("intermediate_size", standard: 24_576, limit: 16_777_216))
        activation = file.activation("hidden_act", standard: "gelu")
        dropout = file.probability("hidden_dropout", standard: 0)
        epsilon = file.positive("layer_norm_eps", standard: 1e-5)
        attentionBias = file.boolean("attention_bias", standard: true)
        isParallel = file.boolean("use_parallel_residual", standard: true)
        tiesOutput = file.boolean("tie_word_embeddings", standard: false)
        // Files of transformers 5 have both in `rope_parameters`.
        var rope: HuggingFaceConfiguration
        if case .object(let members) = file.members["rope_parameters"] ?? .null {
            rope = HuggingFaceConfiguration(members)
            rope.expect("rope_type", .string("default"), standard: .string("default"))
            rotaryBase = rope.positive("rope_theta", standard: 10_000)
            rotaryFraction = rope.positive("partial_rotary_factor", standard: 0.25)
            file.take(problemsOf: rope, in: "rope_parameters")
        } else {
            rotaryBase = file.positive("rotary_emb_base", standard: 10_000)
            rotaryFraction = file.positive("rotary_pct", standard: 0.25)
        }
        if width % heads != 0 {
            file.refuse("num_attention_heads", "a divisor of hidden_size \(width)", .integer(heads))
        } else if rotaryDimension == 0 || rotaryDimension % 2 != 0 || rotaryFraction > 1 {
            file.refuse(
                "rotary_pct", "an even number of a head's features", .number(rotaryFraction))
        }
        try file.check()
    }

    package func huggingFace() -> [String: JSONValue] {
        [
            "architectures": .array([.string("GPTNeoXForCausalLM")]),
            "attention_bias": .bool(attentionBias),
            "attention_dropout": .number(dropout),
            "hidden_act": .string(activation.huggingFaceName()),
            "hidden_dropout": .number(dropout),
            "hidden_size": .integer(width),
            "initializer_range": .number(0.02),
            "intermediate_size": .integer(inner),
            "layer_norm_eps": .number(epsilon),
            "max_position_embeddings": .integer(contextLength),
            "model_type": .string("gpt_neox"),
            "num_attention_heads": .integer(heads),
            "num_hidden_layers": .integer(layers),
            "rope_parameters": .object([
                "partial_rotary_factor": .number(rotaryFraction),
                "rope_theta": .number(rotaryBase), "rope_type": .string("default"),
            ]),
            "rotary_emb_base": .number(rotaryBase),
            "rotary_pct": .number(rotaryFraction),
            "tie_word_embeddings": .bool(tiesOutput),
            "torch_dtype": .string("float32"),
            "use_cache": .bool(true),
            "use_parallel_residual": .bool(isParallel),
            "vocab_size": .integer(vocabulary ?? 0),
        ]
    }

    /// Our names are theirs without `gpt_neox.`; queries, keys and values alternate head by head there.
    package var weightMap: WeightMap {
        let prefix = "gpt_neox."
        func same(_ name: String) -> WeightMap.Rule { .same(name, as: prefix + name) }
        let biases = attentionBias ? ["weight", "bias"] : ["weight"]
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let layer = "layers.\(index)"
            let projection = biases.map { kind in
                let name = "\(layer).attention.query_key_value.\(kind)"
                return WeightMap.Rule.alternating(name, as: prefix + name, groups: heads, of: 3)
            }
            return projection + biases.map { same("\(layer).attention.dense.\($0)") }
                + [
                    "input_layernorm", "post_attention_layernorm", "mlp.dense_h_to_4h",
                    "mlp.dense_4h_to_h",
                ].flatMap { [same("\(layer).\($0).weight"), same("\(layer).\($0).bias")] }
        }
        let head = "embed_out.weight"
        return WeightMap(
            rules: [same("embed_in.weight")] + blocks
                + [same("final_layer_norm.weight"), same("final_layer_norm.bias")]
                + (tiesOutput ? [] : [.same(head, as: head)]),
            prefixes: [prefix],
            aliases: tiesOutput ? [.init(head, of: "\(prefix)embed_in.weight", isHead: true)] : [],
            // Masks and frequencies that older versions of transformers stored.
            ignored: [
                "layers.*.attention.bias", "layers.*.attention.masked_bias",
                "layers.*.attention.rotary_emb.inv_freq",
            ])
    }
}
