// GPT-2, and the first GPT, in Hugging Face's form (transformers, `configuration_gpt2.py`, `modeling_gpt2.py` and those
// of openai).

import Files
import Kernels
import Layers

extension GPTConfiguration: HuggingFaceShape {
    package static let modelTypes = ["gpt2", "openai-gpt"]
    package var tiesByDefault: Bool { true }

    package var modelClass: (type: String, name: String) {
        switch normPosition {
        case .pre: ("gpt2", "GPT2LMHeadModel")
        case .post: ("openai-gpt", "OpenAIGPTLMHeadModel")
        }
    }

    package static func members(_ modelType: String) -> [HuggingFaceMember<Self>] {
        let isFirst = modelType == "openai-gpt"
        let both: [HuggingFaceMember<Self>] = [
            .vocabulary(isFirst ? 40_478 : 50_257),
            .extent("n_positions", \.contextLength, isFirst ? 512 : 1024),
            .layers("n_layer", \.layers, 12), .heads("n_head", \.heads, 12),
            .width("n_embd", \.width, 768),
            .dropout(["resid_pdrop", "attn_pdrop", "embd_pdrop"], \.dropout, 0.1),
            .fixed("layer_norm_epsilon", number: 1e-5), .alwaysTied,
        ]
        guard !isFirst else {
            // Its `gelu` is the tanh form.
            return both + [
                .choice(
                    "afn", \.activation, "gelu",
                    ["gelu": .geluTanh, "silu": .silu, "swish": .silu, "relu": .relu])
            ]
        }
        return both + [
            .size("n_inner", \.inner, limit: 16_777_216) { 4 * $0.width },
            .activation("activation_function", \.activation, "gelu_new"),
            .fixed("scale_attn_weights", .bool(true)),
            .fixed("scale_attn_by_inverse_layer_idx", .bool(false)),
            .fixed("add_cross_attention", .bool(false)),
            .written("n_ctx") { .integer($0.contextLength) },
            .written("reorder_and_upcast_attn") { _ in .bool(false) },
            .written("use_cache") { _ in .bool(true) },
        ]
    }

    package mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String) {
        if modelType == "openai-gpt" { (normPosition, inner) = (.post, 4 * width) }
        file.expectWholeHeads(heads, "n_head", of: width, "n_embd")
    }

    package var exchangeProblem: String? {
        guard normPosition == .post else { return nil }
        if inner != 4 * width {
            return
                "model.feed_forward: expected 4 · model.width (\(4 * width)) where norms stand behind, as in "
                + "transformers' class, found \(inner)"
        }
        guard [.geluErf, .tanh].contains(activation) else { return nil }
        return
            "model.activation: expected gelu_tanh, silu or relu where norms stand behind, as in transformers' "
            + "class, found \(activation.rawValue)"
    }

    /// Our names are theirs without `transformer.`, which `GPT2LMHeadModel` puts in front and `GPT2Model` does not.
    package var weightMap: WeightMap {
        let prefix = "transformer."
        func same(_ name: String) -> WeightMap.Rule { .same(name, as: prefix + name) }
        func conv1D(_ name: String) -> [WeightMap.Rule] {
            [
                .transposed("\(name).weight", as: "\(prefix)\(name).weight"),
                same("\(name).bias"),
            ]
        }
        func norm(_ name: String) -> [WeightMap.Rule] {
            WeightMap.Rule.pair(name, as: prefix + name)
        }
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let block = "h.\(index)"
            return norm("\(block).ln_1") + conv1D("\(block).attn.c_attn")
                + conv1D("\(block).attn.c_proj") + norm("\(block).ln_2")
                + conv1D("\(block).mlp.c_fc") + conv1D("\(block).mlp.c_proj")
        }
        // The first GPT has its tables under other names, and no norm behind all blocks.
        let isFirst = normPosition == .post
        let words = prefix + (isFirst ? "tokens_embed.weight" : "wte.weight")
        let places = prefix + (isFirst ? "positions_embed.weight" : "wpe.weight")
        return WeightMap(
            rules: [.same("wte.weight", as: words), .same("wpe.weight", as: places)] + blocks
                + (isFirst ? [] : norm("ln_f")),
            prefixes: [prefix],
            aliases: [.init("lm_head.weight", of: words, isHead: true)],
            // Masks, and numbers of positions, that older versions of transformers stored.
            ignored: ["h.*.attn.bias", "h.*.attn.masked_bias", "position_ids"])
    }
}
