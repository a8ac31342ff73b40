// GPT-2, and the first GPT, in Hugging Face's form (transformers, `configuration_gpt2.py`, `modeling_gpt2.py` and those
// of openai).

import Files
import Kernels
import Layers

extension GPTConfiguration: HuggingFaceShape {
    package static let modelTypes = ["gpt2", "openai-gpt"]
    package static let chosenKeys: Set = ["model.dropout"]
    package var tiesByDefault: Bool { true }

    package init(
        huggingFace file: HuggingFaceConfiguration
    ) throws(HuggingFaceConfigurationError) {
        guard file.members["model_type"] != .string("openai-gpt") else {
            try self.init(firstGPT: file)
            return
        }
        var file = file
        file.expect("scale_attn_weights", .bool(true), standard: .bool(true))
        file.expect("scale_attn_by_inverse_layer_idx", .bool(false), standard: .bool(false))
        file.expect("add_cross_attention", .bool(false), standard: .bool(false))
        file.expect("quantization_config", .null, standard: .null)
        // Whichever it says, our head is the table; it decides whether the folder must have both.
        _ = file.boolean("tie_word_embeddings", standard: true)
        // Our layer norms have one epsilon.
        file.expect("layer_norm_epsilon", number: 1e-5)
        let width = file.size("n_embd", standard: 768, limit: 1_048_576)
        self.init(
            vocabulary: file.size("vocab_size", standard: 50_257, limit: 1_073_741_824),
            contextLength: file.size("n_positions", standard: 1024, limit: 16_777_216),
            layers: file.size("n_layer", standard: 12, limit: 10_000),
            heads: file.size("n_head", standard: 12, limit: 65_536), width: width,
            inner: file.size("n_inner", standard: 4 * width, limit: 16_777_216))
        activation = file.activation("activation_function", standard: "gelu_new")
        // One probability for all places: the residual's, where the file has several.
        dropout = file.probability("resid_pdrop", standard: 0.1)
        if width % heads != 0 {
            file.refuse("n_head", "a divisor of n_embd \(width)", .integer(heads))
        }
        try file.check()
    }

    /// `OpenAIGPTLMHeadModel`, whose `gelu` is the tanh form.
    private init(firstGPT given: HuggingFaceConfiguration) throws(HuggingFaceConfigurationError) {
        var file = given
        file.expect("quantization_config", .null, standard: .null)
        _ = file.boolean("tie_word_embeddings", standard: true)
        file.expect("layer_norm_epsilon", number: 1e-5)
        let width = file.size("n_embd", standard: 768, limit: 1_048_576)
        self.init(
            vocabulary: file.size("vocab_size", standard: 40_478, limit: 1_073_741_824),
            contextLength: file.size("n_positions", standard: 512, limit: 16_777_216),
            layers: file.size("n_layer", standard: 12, limit: 10_000),
            heads: file.size("n_head", standard: 12, limit: 65_536), width: width)
        activation = file.choice(
            "afn", standard: "gelu",
            ["gelu": Activation.geluTanh, "relu": .relu, "silu": .silu, "swish": .silu])
        dropout = file.probability("resid_pdrop", standard: 0.1)
        normPosition = .post
        if width % heads != 0 {
            file.refuse("n_head", "a divisor of n_embd \(width)", .integer(heads))
        }
        try file.check()
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

    package func huggingFace() -> [String: JSONValue] {
        guard normPosition == .pre else { return firstGPT }
        let dropout = JSONValue.number(dropout)
        return [
            "activation_function": .string(activation.huggingFaceName()),
            "add_cross_attention": .bool(false),
            "architectures": .array([.string("GPT2LMHeadModel")]),
            "attn_pdrop": dropout,
            "embd_pdrop": dropout,
            "initializer_range": .number(0.02),
            "layer_norm_epsilon": .number(1e-5),
            "model_type": .string("gpt2"),
            "n_ctx": .integer(contextLength),
            "n_embd": .integer(width),
            "n_head": .integer(heads),
            "n_inner": .integer(inner),
            "n_layer": .integer(layers),
            "n_positions": .integer(contextLength),
            "reorder_and_upcast_attn": .bool(false),
            "resid_pdrop": dropout,
            "scale_attn_by_inverse_layer_idx": .bool(false),
            "scale_attn_weights": .bool(true),
            "tie_word_embeddings": .bool(true),
            "torch_dtype": .string("float32"),
            "use_cache": .bool(true),
            "vocab_size": .integer(vocabulary ?? 0),
        ]
    }

    private var firstGPT: [String: JSONValue] {
        let dropout = JSONValue.number(dropout)
        let function =
            switch activation {
            case .silu: "silu"
            case .relu: "relu"
            case .geluTanh, .geluErf, .tanh: "gelu"
            }
        return [
            "afn": .string(function),
            "architectures": .array([.string("OpenAIGPTLMHeadModel")]),
            "attn_pdrop": dropout, "embd_pdrop": dropout, "resid_pdrop": dropout,
            "initializer_range": .number(0.02),
            "layer_norm_epsilon": .number(1e-5),
            "model_type": .string("openai-gpt"),
            "n_embd": .integer(width), "n_head": .integer(heads), "n_layer": .integer(layers),
            "n_positions": .integer(contextLength),
            "tie_word_embeddings": .bool(true),
            "torch_dtype": .string("float32"),
            "vocab_size": .integer(vocabulary ?? 0),
        ]
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
            [same("\(name).weight"), same("\(name).bias")]
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
