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
    package var tiesByDefault: Bool { tiesOutput }
    /// Rotary positions have no table: a training may see shorter texts, or longer ones.
    package static let chosenKeys: Set = ["model.dropout", "model.context_length"]

    package var modelClass: (type: String, name: String) { (kind.rawValue, kind.className) }

    private var kind: Kind {
        if normalisesHeads { return .qwen3 }
        if attentionBias { return .qwen2 }
        return window == nil ? .llama : .mistral
    }

    package static func members(_ modelType: String) -> [HuggingFaceMember<Self>] {
        let kind = Kind(rawValue: modelType) ?? .llama
        let all: [HuggingFaceMember<Self>] = [
            .vocabulary(kind.vocabulary),
            .extent("max_position_embeddings", \.contextLength, kind.contextLength),
            .layers("num_hidden_layers", \.layers, 32), .heads("num_attention_heads", \.heads, 32),
            .size("num_key_value_heads", \.keyHeads, limit: 65_536) { kind.keyHeads ?? $0.heads },
            .width("hidden_size", \.width, 4096), .extent("intermediate_size", \.inner, kind.inner),
            .size("head_dim", \.headDimension, limit: 65_536) {
                kind.headDimension ?? $0.width / $0.heads
            },
            .activation("hidden_act", \.activation, "silu", tanhForm: "gelu_pytorch_tanh"),
            .dropout(["attention_dropout"], \.dropout, 0),
            .positive("rms_norm_eps", \.epsilon, 1e-6),
            .boolean("tie_word_embeddings", \.tiesOutput, false),
            .written("use_cache") { _ in .bool(true) },
            HuggingFaceMember(
                read: { $1.window = window(&$0, kind, layers: $1.layers) },
                write: { $0.windowMembers(kind) }),
            HuggingFaceMember(read: { $1.readRotary(&$0) }, write: \.rotaryMembers),
        ]
        // Qwen2 always has biases of queries, keys and values, and no member that says so.
        return all + (kind == .llama ? [.fixed("mlp_bias", .bool(false))] : [])
            + (kind == .qwen2 ? [] : [.fixed("attention_bias", .bool(false))])
    }

    package mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String) {
        attentionBias = modelType == Kind.qwen2.rawValue
        normalisesHeads = modelType == Kind.qwen3.rawValue
        if heads % keyHeads != 0 {
            file.refuse(
                "num_key_value_heads", "a divisor of num_attention_heads \(heads)",
                .integer(keyHeads))
        }
        if !headDimension.isMultiple(of: 2) {
            file.refuse("head_dim", "an even number", .integer(headDimension))
        }
    }

    package var exchangeProblem: String? {
        if normalisesHeads && attentionBias {
            return
                "model.attention_bias: expected false where model.head_norm is true, as in each class of "
                + "transformers, found true"
        }
        guard rotary.scaling == .dynamic, rotary.originalLength != contextLength else { return nil }
        return
            "model.rotary_original_length: expected model.context_length (\(contextLength)) where "
            + "model.rotary_scaling is dynamic, since transformers measures a text by that, found "
            + "\(rotary.originalLength)"
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

    private func windowMembers(_ kind: Kind) -> [String: JSONValue] {
        guard kind != .llama else { return [:] }
        var members = ["sliding_window": window.map { JSONValue.integer($0) } ?? .null]
        if kind.isQwen {
            members["use_sliding_window"] = .bool(window != nil)
            members["max_window_layers"] = .integer(window == nil ? layers : 0)
        }
        return members
    }

    private mutating func readRotary(_ file: inout HuggingFaceConfiguration) {
        let original = "original_max_position_embeddings"
        var rope = file.rotary(["rope_theta": "rope_theta", original: original])
        rope.expect("partial_rotary_factor", number: 1)
        for key in ["attention_factor", "mscale", "mscale_all_dim"] {
            rope.expect(key, .null, standard: .null)
        }
        for member in Rotary.members { member.read(&rope, &rotary) }
        if rotary.scaling != .none { rotary.originalLength = contextLength }
        for member in Rotary.members(rotary.scaling) { member.read(&rope, &rotary) }
        // Transformers looks at no such member here.
        if rotary.scaling == .dynamic, rotary.originalLength != contextLength {
            rope.refuse(
                original, "max_position_embeddings (\(contextLength)), by which dynamic goes",
                .integer(rotary.originalLength))
        }
        file.take(problemsOf: rope, in: "rotary positions")
    }

    private var rotaryMembers: [String: JSONValue] {
        let members = (Rotary.members + Rotary.members(rotary.scaling)).reduce(into: [:]) {
            $0.merge($1.write(rotary)) { $1 }
        }
        return ["rope_parameters": .object(members), "rope_theta": .number(rotary.base)]
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

extension LlamaConfiguration.Rotary {
    /// In `rope_parameters`.
    fileprivate static var members: [HuggingFaceMember<Self>] {
        [
            .positive("rope_theta", \.base, 10_000),
            .choice(
                "rope_type", \.scaling, "default",
                [
                    "default": .none, "linear": .linear, "dynamic": .dynamic, "yarn": .yarn,
                    "llama3": .llama3,
                ]),
        ]
    }

    /// Beside those, of a way of stretching.
    fileprivate static func members(_ scaling: Scaling) -> [HuggingFaceMember<Self>] {
        let standard = Self()
        let stretched: [HuggingFaceMember<Self>] = [
            .positive("factor", \.factor, standard.factor),
            .size("original_max_position_embeddings", \.originalLength, limit: 16_777_216) {
                $0.originalLength
            },
        ]
        switch scaling {
        case .none: return []
        case .linear, .dynamic: return stretched
        case .yarn:
            return stretched + [
                .positive("beta_fast", \.betaFast, standard.betaFast),
                .positive("beta_slow", \.betaSlow, standard.betaSlow),
            ]
        case .llama3:
            return stretched + [
                .positive("low_freq_factor", \.lowFactor, standard.lowFactor),
                .positive("high_freq_factor", \.highFactor, standard.highFactor),
            ]
        }
    }
}
