// Llama and its relatives in Hugging Face's form (transformers, `configuration_llama.py` and the files of mistral, qwen2
// and qwen3).

import Files
import Kernels
import Layers

extension LlamaConfiguration: HuggingFaceShape {
    /// The classes that this family is, by their `model_type`, with their defaults as far as they differ.
    private enum Kind: String, CaseIterable {
        case llama, mistral, qwen2, qwen3

        var className: String {
            switch self {
            case .llama: "LlamaForCausalLM"
            case .mistral: "MistralForCausalLM"
            case .qwen2: "Qwen2ForCausalLM"
            case .qwen3: "Qwen3ForCausalLM"
            }
        }

        var isQwen: Bool { self == .qwen2 || self == .qwen3 }
        var vocabulary: Int { isQwen ? 151_936 : 32_000 }
        var inner: Int { isQwen ? 22_016 : self == .mistral ? 14_336 : 11_008 }
        var contextLength: Int { isQwen ? 32_768 : self == .mistral ? 131_072 : 2048 }
        /// nil: as many as of queries.
        var keyHeads: Int? { isQwen ? 32 : self == .mistral ? 8 : nil }
        /// nil: the width shared out over the heads.
        var headDimension: Int? { self == .qwen3 ? 128 : nil }
    }

    package static let modelTypes = Kind.allCases.map(\.rawValue)
    /// Rotary positions have no table: a training may see shorter texts, or longer ones.
    package static let chosenKeys: Set = ["model.dropout", "model.context_length"]
    package var tiesByDefault: Bool { tiesOutput }

    package init(
        huggingFace file: HuggingFaceConfiguration
    ) throws(HuggingFaceConfigurationError) {
        var file = file
        let kind =
            Kind.allCases.first { file.members["model_type"] == .string($0.rawValue) } ?? .llama
        file.expect("quantization_config", .null, standard: .null)
        if kind == .llama { file.expect("mlp_bias", .bool(false), standard: .bool(false)) }
        if kind != .qwen2 { file.expect("attention_bias", .bool(false), standard: .bool(false)) }
        let heads = file.size("num_attention_heads", standard: 32, limit: 65_536)
        let width = file.size("hidden_size", standard: 4096, limit: 1_048_576)
        self.init(
            vocabulary: file.size(
                "vocab_size", standard: kind.vocabulary, limit: 1_073_741_824),
            contextLength: file.size(
                "max_position_embeddings", standard: kind.contextLength, limit: 16_777_216),
            layers: file.size("num_hidden_layers", standard: 32, limit: 10_000), heads: heads,
            width: width,
            keyHeads: file.size(
                "num_key_value_heads", standard: kind.keyHeads ?? heads, limit: 65_536),
            inner: file.size("intermediate_size", standard: kind.inner, limit: 16_777_216))
        headDimension = file.size(
            "head_dim", standard: kind.headDimension ?? width / heads, limit: 65_536)
        activation = file.activation("hidden_act", standard: "silu")
        dropout = file.probability("attention_dropout", standard: 0)
        epsilon = file.positive("rms_norm_eps", standard: 1e-6)
        attentionBias = kind == .qwen2
        normalisesHeads = kind == .qwen3
        tiesOutput = file.boolean("tie_word_embeddings", standard: false)
        window = LlamaConfiguration.window(&file, kind, layers: layers)
        readRotary(&file)
        if heads % keyHeads != 0 {
            file.refuse(
                "num_key_value_heads", "a divisor of num_attention_heads \(heads)",
                .integer(keyHeads))
        }
        if !headDimension.isMultiple(of: 2) {
            file.refuse("head_dim", "an even number", .integer(headDimension))
        }
        try file.check()
    }

    /// Qwen's files give layers a window only where they ask for it, and from some layer on.
    private static func window(
        _ file: inout HuggingFaceConfiguration, _ kind: Kind, layers: Int
    ) -> Int? {
        let value = file.members["sliding_window"] ?? (kind == .mistral ? .integer(4096) : .null)
        guard kind != .llama, value != .null else { return nil }
        let size = file.size("sliding_window", standard: 4096, limit: 16_777_216)
        guard kind.isQwen else { return size }
        guard file.boolean("use_sliding_window", standard: false) else { return nil }
        let first = file.members["max_window_layers"] ?? .integer(28)
        switch first.int {
        case let number? where number >= layers: return nil
        case 0: return size
        default:
            file.refuse("max_window_layers", "0 or at least \(layers), one for all layers", first)
            return nil
        }
    }

    /// Files of transformers 5 have all in `rope_parameters`, older ones `rope_theta` and `rope_scaling`.
    private mutating func readRotary(_ file: inout HuggingFaceConfiguration) {
        var members: [String: JSONValue] = [:]
        for key in ["rope_scaling", "rope_parameters"] {
            if case .object(let object) = file.members[key] ?? .null {
                members.merge(object) { $1 }
            }
        }
        members["rope_theta"] = members["rope_theta"] ?? file.members["rope_theta"]
        members["rope_type"] = members["rope_type"] ?? members["type"]
        members["original_max_position_embeddings"] =
            members["original_max_position_embeddings"]
            ?? file.members["original_max_position_embeddings"] ?? .integer(contextLength)
        var rope = HuggingFaceConfiguration(members)
        rope.expect("partial_rotary_factor", number: 1)
        for key in ["attention_factor", "mscale", "mscale_all_dim"] {
            rope.expect(key, .null, standard: .null)
        }
        rotary.base = rope.positive("rope_theta", standard: 10_000)
        rotary.scaling = rope.choice(
            "rope_type", standard: "default",
            [
                "default": Rotary.Scaling.none, "linear": .linear, "dynamic": .dynamic,
                "yarn": .yarn, "llama3": .llama3,
            ])
        let standard = Rotary()
        if rotary.scaling != .none {
            rotary.factor = rope.positive("factor", standard: standard.factor)
            rotary.originalLength = rope.size(
                "original_max_position_embeddings", standard: nil, limit: 16_777_216)
        }
        if rotary.scaling == .llama3 {
            rotary.lowFactor = rope.positive("low_freq_factor", standard: standard.lowFactor)
            rotary.highFactor = rope.positive("high_freq_factor", standard: standard.highFactor)
        }
        if rotary.scaling == .yarn {
            rotary.betaFast = rope.positive("beta_fast", standard: standard.betaFast)
            rotary.betaSlow = rope.positive("beta_slow", standard: standard.betaSlow)
        }
        file.take(problemsOf: rope, in: "rope_parameters")
    }

    /// The class that has what this shape has.
    private var kind: Kind {
        if normalisesHeads { return .qwen3 }
        if attentionBias { return .qwen2 }
        return window == nil ? .llama : .mistral
    }

    package var exchangeProblem: String? {
        guard normalisesHeads && attentionBias else { return nil }
        return
            "model.attention_bias: expected false where model.head_norm is true, as in each class of "
            + "transformers, found true"
    }

    package func huggingFace() -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "architectures": .array([.string(kind.className)]),
            "attention_bias": .bool(false),
            "attention_dropout": .number(dropout),
            "head_dim": .integer(headDimension),
            "hidden_act": .string(activation.huggingFaceName(tanhForm: "gelu_pytorch_tanh")),
            "hidden_size": .integer(width),
            "initializer_range": .number(0.02),
            "intermediate_size": .integer(inner),
            "max_position_embeddings": .integer(contextLength),
            "model_type": .string(kind.rawValue),
            "num_attention_heads": .integer(heads),
            "num_hidden_layers": .integer(layers),
            "num_key_value_heads": .integer(keyHeads),
            "rms_norm_eps": .number(epsilon),
            "rope_parameters": .object(rope),
            "rope_theta": .number(rotary.base),
            "tie_word_embeddings": .bool(tiesOutput),
            "torch_dtype": .string("float32"),
            "use_cache": .bool(true),
            "vocab_size": .integer(vocabulary ?? 0),
        ]
        switch kind {
        case .llama: members["mlp_bias"] = .bool(false)
        case .mistral: members["sliding_window"] = window.map { .integer($0) } ?? .null
        case .qwen2, .qwen3:
            members["use_sliding_window"] = .bool(window != nil)
            members["sliding_window"] = window.map { .integer($0) } ?? .null
            members["max_window_layers"] = .integer(window == nil ? layers : 0)
        }
        if kind == .qwen2 { members["attention_bias"] = nil }
        return members
    }

    private var rope: [String: JSONValue] {
        var members: [String: JSONValue] = [
            "rope_theta": .number(rotary.base),
            "rope_type": .string(
                rotary.scaling == .none ? "default" : rotary.scaling.rawValue),
        ]
        if rotary.scaling != .none {
            members["factor"] = .number(rotary.factor)
            members["original_max_position_embeddings"] = .integer(rotary.originalLength)
        }
        if rotary.scaling == .llama3 {
            members["low_freq_factor"] = .number(rotary.lowFactor)
            members["high_freq_factor"] = .number(rotary.highFactor)
        }
        if rotary.scaling == .yarn {
            members["beta_fast"] = .number(rotary.betaFast)
            members["beta_slow"] = .number(rotary.betaSlow)
        }
        return members
    }

    /// Our names are theirs without `model.`; queries, keys and values are one tensor here, and so are gate and up.
    package var weightMap: WeightMap {
        let prefix = "model."
        func same(_ name: String) -> WeightMap.Rule { .same(name, as: prefix + name) }
        let rows = [heads, keyHeads, keyHeads].map { $0 * headDimension }
        func projection(_ layer: String, _ kind: String) -> WeightMap.Rule {
            .joined(
                "\(layer).self_attn.qkv_proj.\(kind)",
                zip(["q_proj", "k_proj", "v_proj"], rows).map {
                    .init("\(prefix)\(layer).self_attn.\($0).\(kind)", rows: $1)
                })
        }
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let layer = "layers.\(index)"
            let gates = ["gate_proj", "up_proj"].map {
                WeightMap.Part("\(prefix)\(layer).mlp.\($0).weight", rows: inner)
            }
            return [
                same("\(layer).input_layernorm.weight"), projection(layer, "weight"),
                same("\(layer).self_attn.o_proj.weight"),
                same("\(layer).post_attention_layernorm.weight"),
                .joined("\(layer).mlp.gate_up_proj.weight", gates),
                same("\(layer).mlp.down_proj.weight"),
            ] + (attentionBias ? [projection(layer, "bias")] : [])
                + (normalisesHeads
                    ? ["q_norm", "k_norm"].map { same("\(layer).self_attn.\($0).weight") } : [])
        }
        let head = "lm_head.weight"
        return WeightMap(
            rules: [same("embed_tokens.weight")] + blocks + [same("norm.weight")]
                + (tiesOutput ? [] : [.same(head, as: head)]),
            prefixes: [prefix],
            aliases: tiesOutput
                ? [.init(head, of: "\(prefix)embed_tokens.weight", isHead: true)] : [],
            // Frequencies that older versions of transformers stored.
            ignored: ["layers.*.self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq"])
    }
}
