// The vision transformer in Hugging Face's form (transformers, `configuration_vit.py` and `modeling_vit.py`).

import Files
import Kernels
import Layers

extension ViTConfiguration: HuggingFaceShape {
    package static let modelTypes = ["vit"]
    package var modelClass: (type: String, name: String) { ("vit", "ViTForImageClassification") }
    package var tiesByDefault: Bool { false }

    package static func members(_ modelType: String) -> [HuggingFaceMember<Self>] {
        [
            .classes(\.classCount), .size("image_size", \.imageSize, limit: 16_384) { _ in 224 },
            .size("patch_size", \.patchSize, limit: 1024) { _ in 16 },
            .size("num_channels", \.channels, limit: 4) { _ in 3 },
            .layers("num_hidden_layers", \.layers, 12), .heads("num_attention_heads", \.heads, 12),
            .width("hidden_size", \.width, 768), .extent("intermediate_size", \.inner, 3072),
            .activation("hidden_act", \.activation, "gelu"),
            .dropout(["hidden_dropout_prob", "attention_probs_dropout_prob"], \.dropout, 0),
            .positive("layer_norm_eps", \.epsilon, 1e-12),
            .boolean("qkv_bias", \.attentionBias, true),
        ]
    }

    package mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String) {
        if let found = file.architecture, found != .string(modelClass.name) {
            file.refuse("architectures", "\"\(modelClass.name)\"", found)
        }
        file.expectWholeHeads(heads, "num_attention_heads", of: width, "hidden_size")
        if imageSize % patchSize != 0 {
            file.refuse("patch_size", "a divisor of image_size \(imageSize)", .integer(patchSize))
        }
    }

    private var classCount: Int {
        get { classes ?? 0 }
        set { classes = newValue }
    }

    /// Our names are theirs without `vit.`; queries, keys and values are one tensor here, and tables have two axes.
    package var weightMap: WeightMap {
        let prefix = "vit."
        func pair(_ name: String) -> [WeightMap.Rule] {
            WeightMap.Rule.pair(name, as: prefix + name)
        }
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let layer = "encoder.layer.\(index)"
            let kinds = attentionBias ? ["weight", "bias"] : ["weight"]
            let projection = kinds.map { kind in
                WeightMap.Rule.joined(
                    "\(layer).attention.attention.qkv.\(kind)",
                    ["query", "key", "value"].map {
                        "\(prefix)\(layer).attention.attention.\($0).\(kind)"
                    },
                    rows: width)
            }
            return projection
                + [
                    "layernorm_before", "attention.output.dense", "layernorm_after",
                    "intermediate.dense", "output.dense",
                ].flatMap { pair("\(layer).\($0)") }
        }
        let patches = "embeddings.patch_embeddings.projection"
        let embeddings: [WeightMap.Rule] = [
            .reshaped(
                "\(patches).weight", as: "\(prefix)\(patches).weight",
                [width, channels, patchSize, patchSize]),
            .same("\(patches).bias", as: "\(prefix)\(patches).bias"),
            .reshaped(
                "embeddings.cls_token.weight", as: "\(prefix)embeddings.cls_token", [1, 1, width]),
            .reshaped(
                "embeddings.position_embeddings.weight",
                as: "\(prefix)embeddings.position_embeddings", [1, positions, width]),
        ]
        return WeightMap(
            rules: embeddings + blocks + pair("layernorm")
                + WeightMap.Rule.pair("classifier", as: "classifier"),
            prefixes: [prefix], ignored: ["pooler.**", "embeddings.mask_token"])
    }
}
