// The vision transformer in Hugging Face's form (transformers, `configuration_vit.py` and `modeling_vit.py`).

import Files
import Kernels
import Layers

extension ViTConfiguration: HuggingFaceShape {
    package static let modelTypes = ["vit"]
    package static let chosenKeys: Set = ["model.dropout"]
    package var tiesByDefault: Bool { false }

    package init(
        huggingFace file: HuggingFaceConfiguration
    ) throws(HuggingFaceConfigurationError) {
        var file = file
        file.expect("quantization_config", .null, standard: .null)
        let names = file.members["architectures"] ?? .null
        if case .array(let list) = names, let first = list.first,
            first != .string("ViTForImageClassification")
        {
            file.refuse("architectures", "\"ViTForImageClassification\"", first)
        }
        let heads = file.size("num_attention_heads", standard: 12, limit: 65_536)
        let width = file.size("hidden_size", standard: 768, limit: 1_048_576)
        self.init(
            classes: file.classes,
            imageSize: file.size("image_size", standard: 224, limit: 16_384),
            patchSize: file.size("patch_size", standard: 16, limit: 1024),
            layers: file.size("num_hidden_layers", standard: 12, limit: 10_000), heads: heads,
            width: width,
            inner: file.size("intermediate_size", standard: 3072, limit: 16_777_216))
        channels = file.size("num_channels", standard: 3, limit: 4)
        activation = file.activation("hidden_act", standard: "gelu")
        // One probability for all places: the sub-layers', where the file has several.
        dropout = file.probability("hidden_dropout_prob", standard: 0)
        epsilon = file.positive("layer_norm_eps", standard: 1e-12)
        attentionBias = file.boolean("qkv_bias", standard: true)
        if width % heads != 0 {
            file.refuse("num_attention_heads", "a divisor of hidden_size \(width)", .integer(heads))
        }
        if imageSize % patchSize != 0 {
            file.refuse("patch_size", "a divisor of image_size \(imageSize)", .integer(patchSize))
        }
        try file.check()
    }

    package func huggingFace() -> [String: JSONValue] {
        return [
            "architectures": .array([.string("ViTForImageClassification")]),
            "attention_probs_dropout_prob": .number(dropout),
            "hidden_act": .string(activation.huggingFaceName()),
            "hidden_dropout_prob": .number(dropout),
            "hidden_size": .integer(width),
            "image_size": .integer(imageSize),
            "initializer_range": .number(0.02),
            "intermediate_size": .integer(inner),
            "layer_norm_eps": .number(epsilon),
            "model_type": .string("vit"),
            "num_attention_heads": .integer(heads),
            "num_channels": .integer(channels),
            "num_hidden_layers": .integer(layers),
            "patch_size": .integer(patchSize),
            "qkv_bias": .bool(attentionBias),
            "torch_dtype": .string("float32"),
        ].merging(HuggingFaceConfiguration.labels(classes ?? 0)) { own, _ in own }
    }

    /// Our names are theirs without `vit.`; queries, keys and values are one tensor here, and tables have two axes.
    package var weightMap: WeightMap {
        let prefix = "vit."
        func pair(_ name: String) -> [WeightMap.Rule] {
            ["weight", "bias"].map { .same("\(name).\($0)", as: "\(prefix)\(name).\($0)") }
        }
        let blocks = (0..<layers).flatMap { index -> [WeightMap.Rule] in
            let layer = "encoder.layer.\(index)"
            let kinds = attentionBias ? ["weight", "bias"] : ["weight"]
            let projection = kinds.map { kind in
                WeightMap.Rule.joined(
                    "\(layer).attention.attention.qkv.\(kind)",
                    ["query", "key", "value"].map {
                        .init("\(prefix)\(layer).attention.attention.\($0).\(kind)", rows: width)
                    })
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
                + ["weight", "bias"].map { .same("classifier.\($0)", as: "classifier.\($0)") },
            prefixes: [prefix], ignored: ["pooler.**", "embeddings.mask_token"])
    }
}
