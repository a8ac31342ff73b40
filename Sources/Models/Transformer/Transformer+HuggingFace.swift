// Marian's models and BART in Hugging Face's form (transformers, `configuration_marian.py`, `modeling_marian.py` and
// those of bart): sines and cosines for the one, learned positions and a norm of the embeddings for the other.

import Files
import Kernels
import Layers

extension TransformerConfiguration: HuggingFaceShape {
    package static let modelTypes = ["marian", "bart"]
    package var tiesByDefault: Bool { true }

    package var modelClass: (type: String, name: String) {
        isBART ? ("bart", "BartForConditionalGeneration") : ("marian", "MarianMTModel")
    }

    private var isBART: Bool { positions == .learned }

    package static func members(_ modelType: String) -> [HuggingFaceMember<Self>] {
        let isBART = modelType == "bart"
        let shared: [HuggingFaceMember<Self>] = [
            .vocabulary(isBART ? 50_265 : 58_101),
            .extent("max_position_embeddings", \.contextLength, 1024),
            .layers("encoder_layers", \.layers, 12),
            .layers("decoder_layers", \.decoderLayers, 12),
            .heads("encoder_attention_heads", \.heads, 16), .width("d_model", \.width, 1024),
            .extent("encoder_ffn_dim", \.inner, 4096),
            .activation("activation_function", \.activation, "gelu"),
            .dropout(["dropout", "attention_dropout"], \.dropout, 0.1),
            .boolean("scale_embedding", \.scalesEmbedding, false), .alwaysTied,
            .fixed("is_encoder_decoder", .bool(true)),
            .written("decoder_attention_heads") { .integer($0.heads) },
            .written("decoder_ffn_dim") { .integer($0.inner) },
            .written("activation_dropout") { _ in .number(0) },
            .written("encoder_layerdrop") { _ in .number(0) },
            .written("decoder_layerdrop") { _ in .number(0) },
            .written("init_std") { _ in .number(0.02) },
            .written("use_cache") { _ in .bool(true) },
            .symbol("eos_token_id", \.endToken, isBART ? 2 : 0),
            .symbol("decoder_start_token_id", \.startToken, isBART ? 2 : 58_100),
            .symbol("pad_token_id", \.paddingToken, isBART ? 1 : 58_100),
            .written("forced_eos_token_id") { $0.endToken.map { .integer($0) } ?? .null },
        ]
        guard isBART else {
            return shared + [
                .fixed("share_encoder_decoder_embeddings", .bool(true)),
                .written("decoder_vocab_size") { .integer($0.vocabulary ?? 0) },
                .written("bos_token_id") { _ in .null },
            ]
        }
        return shared + [.symbol("bos_token_id", \.beginToken, 0)]
    }

    package mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String) {
        (normPosition, sharesEmbedding, tiesOutput) = (.post, true, true)
        (positions, normalisesEmbedding) =
            modelType == "bart" ? (.learned, true) : (.sinusoidal, false)
        targetLength = contextLength
        file.expectWholeHeads(heads, "encoder_attention_heads", of: width, "d_model")
        if positions == .sinusoidal, !width.isMultiple(of: 2) {
            file.refuse("d_model", "an even number", .integer(width))
        }
        for (decoder, encoder) in [
            ("decoder_attention_heads", heads), ("decoder_ffn_dim", inner),
        ] {
            let standard = decoder == "decoder_ffn_dim" ? 4096 : 16
            let found = file.size(decoder, standard: standard, limit: 16_777_216)
            if found != encoder {
                file.refuse(decoder, "the encoder's \(encoder)", .integer(found))
            }
        }
        if modelType == "marian", let symbols = vocabulary {
            let found = file.members["decoder_vocab_size"] ?? .null
            if found != .null, found != .integer(symbols) {
                file.refuse("decoder_vocab_size", "vocab_size \(symbols)", found)
            }
        }
        for (key, symbol) in [
            ("eos_token_id", endToken), ("decoder_start_token_id", startToken),
            ("pad_token_id", paddingToken), ("bos_token_id", beginToken),
        ] {
            if let symbol, let count = vocabulary, symbol >= count {
                file.refuse(key, "one of the \(count) symbols", .integer(symbol))
            }
        }
        let marks = beginToken == nil ? 1 : 2
        if contextLength <= marks {
            file.refuse(
                "max_position_embeddings", "more than \(marks)", .integer(contextLength))
        }
    }

    package var exchangeProblem: String? {
        if normPosition != .post {
            return "model.norm_position: expected post, as transformers' classes have it, found pre"
        }
        if isBART != normalisesEmbedding {
            return
                "model.embedding_norm: expected \(isBART) where positions are \(positions.rawValue), as in "
                + "transformers' class, found \(normalisesEmbedding)"
        }
        if !sharesEmbedding || !tiesOutput {
            return "model.shared_embedding, model.tied_output: expected true, found "
                + "\(sharesEmbedding) and \(tiesOutput)"
        }
        if contextLength != targetLength {
            return "model.target_length: expected model.context_length (\(contextLength)), found "
                + "\(targetLength)"
        }
        if !isBART, beginToken != nil {
            return "model.begin_token: expected none with sines and cosines, found one"
        }
        return nil
    }

    /// Our names are theirs without `model.`; queries, keys and values are one tensor here, and keys and values of the
    /// memory another.
    package var weightMap: WeightMap {
        let prefix = "model."
        func pair(_ name: String) -> [WeightMap.Rule] {
            WeightMap.Rule.pair(name, as: prefix + name)
        }
        func joined(_ name: String, _ part: String, _ parts: [String]) -> [WeightMap.Rule] {
            ["weight", "bias"].map { kind in
                .joined(
                    "\(name).\(part).\(kind)", parts.map { "\(prefix)\(name).\($0).\(kind)" },
                    rows: width)
            }
        }
        func block(_ name: String, isDecoder: Bool) -> [WeightMap.Rule] {
            let own = "\(name).self_attn"
            let cross = "\(name).encoder_attn"
            return joined(own, "qkv", ["q_proj", "k_proj", "v_proj"]) + pair("\(own).out_proj")
                + pair("\(own)_layer_norm")
                + (isDecoder
                    ? pair("\(cross).q_proj") + joined(cross, "kv_proj", ["k_proj", "v_proj"])
                        + pair("\(cross).out_proj") + pair("\(cross)_layer_norm") : [])
                + ["fc1", "fc2", "final_layer_norm"].flatMap { pair("\(name).\($0)") }
        }
        let table = "\(prefix)shared.weight"
        let sides = ["encoder", "decoder"]
        let positions: [WeightMap.Rule] =
            isBART
            ? sides.flatMap { side in
                let name = "\(side).embed_positions.weight"
                return [.rows(name, as: prefix + name, from: 2)]
                    + pair("\(side).layernorm_embedding")
            } : []
        return WeightMap(
            rules: [
                .same("shared.weight", as: table),
                .reshaped(
                    "final_logits_bias", as: "final_logits_bias", [1, vocabulary ?? 0]),
            ] + positions
                + (0..<layers).flatMap { block("encoder.layers.\($0)", isDecoder: false) }
                + (0..<decoderLayers).flatMap { block("decoder.layers.\($0)", isDecoder: true) },
            prefixes: [prefix],
            aliases: [
                .init("lm_head.weight", of: table, isHead: true),
                .init("\(prefix)encoder.embed_tokens.weight", of: table),
                .init("\(prefix)decoder.embed_tokens.weight", of: table),
            ],
            // Sines and cosines, which some folders store.
            ignored: isBART ? [] : sides.map { "\($0).embed_positions.weight" })
    }
}

extension HuggingFaceMember {
    /// A symbol of the vocabulary, or null for none.
    fileprivate static func symbol(
        _ key: String, _ path: Path<Int?>, _ standard: Int
    ) -> Self {
        Self(
            read: { file, shape in
                let value = file.members[key] ?? .integer(standard)
                if value == .null {
                    shape[keyPath: path] = nil
                } else if let symbol = value.int, (0..<1_073_741_824).contains(symbol) {
                    shape[keyPath: path] = symbol
                } else {
                    file.refuse(key, "a token's number or null", value)
                }
            }, write: { [key: $0[keyPath: path].map { .integer($0) } ?? .null] })
    }
}
