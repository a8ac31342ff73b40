// GPT-NeoX in Hugging Face's form (transformers, `configuration_gpt_neox.py` and `modeling_gpt_neox.py`).

import Files
import Kernels
import Layers

extension NeoXConfiguration: HuggingFaceShape {
    package static let modelTypes = ["gpt_neox"]
    package var modelClass: (type: String, name: String) { ("gpt_neox", "GPTNeoXForCausalLM") }
    package var tiesByDefault: Bool { tiesOutput }
    /// Rotary positions have no table: a training may see shorter texts, or longer ones.
    package static let chosenKeys: Set = ["model.dropout", "model.context_length"]

    package static func members(_ modelType: String) -> [HuggingFaceMember<Self>] {
        [
            .vocabulary(50_432), .extent("max_position_embeddings", \.contextLength, 2048),
            .layers("num_hidden_layers", \.layers, 44), .heads("num_attention_heads", \.heads, 64),
            .width("hidden_size", \.width, 6144), .extent("intermediate_size", \.inner, 24_576),
            .activation("hidden_act", \.activation, "gelu"),
            .dropout(["hidden_dropout", "attention_dropout"], \.dropout, 0),
            .positive("layer_norm_eps", \.epsilon, 1e-5),
            .boolean("attention_bias", \.attentionBias, true),
            .boolean("use_parallel_residual", \.isParallel, true),
            .boolean("tie_word_embeddings", \.tiesOutput, false),
            .written("use_cache") { _ in .bool(true) },
            HuggingFaceMember(read: { $1.readRotary(&$0) }, write: \.rotaryMembers),
        ]
    }

    package mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String) {
        file.expectWholeHeads(heads, "num_attention_heads", of: width, "hidden_size")
    }

    private mutating func readRotary(_ file: inout HuggingFaceConfiguration) {
        var rope = file.rotary([
            "rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor",
        ])
        rope.expect("rope_type", .string("default"), standard: .string("default"))
        rope.expect("factor", .null, standard: .null)
        rotaryBase = rope.positive("rope_theta", standard: 10_000)
        rotaryFraction = rope.positive("partial_rotary_factor", standard: 0.25)
        if rotaryFraction > 1 || rotaryDimension == 0 || rotaryDimension % 2 != 0 {
            rope.refuse(
                "partial_rotary_factor (rotary_pct)", "an even number of a head's features",
                .number(rotaryFraction))
        }
        file.take(problemsOf: rope, in: "rotary positions")
    }

    private var rotaryMembers: [String: JSONValue] {
        let (base, fraction) = (JSONValue.number(rotaryBase), JSONValue.number(rotaryFraction))
        return [
            "rope_parameters": .object([
                "partial_rotary_factor": fraction, "rope_theta": base,
                "rope_type": .string("default"),
            ]), "rotary_emb_base": base, "rotary_pct": fraction,
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
                ].flatMap { WeightMap.Rule.pair("\(layer).\($0)", as: "\(prefix)\(layer).\($0)") }
        }
        let head = "embed_out.weight"
        return WeightMap(
            rules: [same("embed_in.weight")] + blocks
                + WeightMap.Rule.pair("final_layer_norm", as: "\(prefix)final_layer_norm")
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
