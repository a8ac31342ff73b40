// `config.json` of a GPT-2 in Hugging Face's form (transformers, `configuration_gpt2.py`) and our
// configuration's section `model`.

import Checkpointing
import Kernels
import Models

/// What a `config.json` says of a model.
struct GPT2ConfigurationFile {
    let path: String
    let model: GPTConfiguration
    /// Whether the output projection is the token table.
    let isTied: Bool

    /// Throws everything in it that this version has no model for, one line a key.
    init(_ folder: HuggingFaceFolder) throws(RunError) {
        let path = "\(folder.path)/\(HuggingFaceFile.configuration)"
        let members: [String: JSONValue]
        do throws(CheckpointError) {
            members = try folder.members(of: HuggingFaceFile.configuration)
        } catch {
            throw RunError(error)
        }
        var reading = Reading(members: members)
        reading.expect("model_type", .string("gpt2"), standard: .null)
        reading.expect("scale_attn_weights", .bool(true), standard: .bool(true))
        reading.expect("scale_attn_by_inverse_layer_idx", .bool(false), standard: .bool(false))
        reading.expect("add_cross_attention", .bool(false), standard: .bool(false))
        reading.expect("quantization_config", .null, standard: .null)
        reading.expectEpsilon()
        let width = reading.size("n_embd", standard: 768, limit: 1_048_576)
        let layers = reading.size("n_layer", standard: 12, limit: 10_000)
        let heads = reading.size("n_head", standard: 12, limit: 65_536)
        var model = GPTConfiguration(
            contextLength: reading.size("n_positions", standard: 1024, limit: 16_777_216),
            layers: layers, heads: heads, width: width)
        model.inner = reading.size("n_inner", standard: 4 * width, limit: 16_777_216)
        model.vocabulary = reading.size("vocab_size", standard: 50_257, limit: 1_073_741_824)
        model.activation = reading.activation()
        model.dropout = reading.dropout()
        isTied = reading.boolean("tie_word_embeddings", standard: true)
        if model.heads > 0, model.width % model.heads != 0 {
            reading.refuse("n_head", "a divisor of n_embd \(width)", .number(Double(model.heads)))
        }
        guard reading.problems.isEmpty else {
            throw RunError(.checkpoint, problems: reading.problems.map { "\(path): \($0)" })
        }
        (self.path, self.model) = (path, model)
    }

    /// The keys of a configuration's model, without its dropout, that are not those of this file.
    ///
    /// - Parameter vocabulary: what the configuration's model has.
    func differences(from given: GPTConfiguration, vocabulary: Int?) -> [String] {
        let pairs: [(String, String, String)] = [
            ("layers", "\(model.layers)", "\(given.layers)"),
            ("heads", "\(model.heads)", "\(given.heads)"),
            ("width", "\(model.width)", "\(given.width)"),
            ("context_length", "\(model.contextLength)", "\(given.contextLength)"),
            ("feed_forward", "\(model.inner)", "\(given.inner)"),
            ("activation", model.activation.rawValue, given.activation.rawValue),
            (
                "vocabulary", model.vocabulary.map(String.init) ?? "",
                (vocabulary ?? model.vocabulary).map(String.init) ?? ""
            ),
        ]
        return pairs.filter { $0.1 != $0.2 }.map {
            "model.\($0.0): expected \($0.1) as \(path) has it, found \($0.2)"
        }
    }
}

/// The members of the file, with the defaults of `GPT2Config` where they are missing.
private struct Reading {
    let members: [String: JSONValue]
    private(set) var problems: [String] = []

    init(members: [String: JSONValue]) { self.members = members }

    mutating func refuse(_ key: String, _ expected: String, _ found: JSONValue) {
        problems.append("\(key): expected \(expected), found \(found.text)")
    }

    mutating func expect(_ key: String, _ value: JSONValue, standard: JSONValue) {
        let found = members[key] ?? standard
        if found != value { refuse(key, value.text, found) }
    }

    /// An integer from 1 to `limit`; null is the default too.
    mutating func size(_ key: String, standard: Int, limit: Int) -> Int {
        let value = members[key] ?? .null
        if value == .null { return standard }
        if case .number(let number) = value, let size = Int(exactly: number),
            (1...limit).contains(size)
        {
            return size
        }
        refuse(key, "an integer from 1 to \(limit)", value)
        return 1
    }

    mutating func boolean(_ key: String, standard: Bool) -> Bool {
        let value = members[key] ?? .bool(standard)
        guard case .bool(let boolean) = value else {
            refuse(key, "true or false", value)
            return standard
        }
        return boolean
    }

    /// Our layer norms have one epsilon.
    mutating func expectEpsilon() {
        let value = members["layer_norm_epsilon"] ?? .number(1e-5)
        guard case .number(let number) = value, Float(number) == 1e-5 else {
            return refuse("layer_norm_epsilon", "1e-05", value)
        }
    }

    mutating func activation() -> Activation {
        let value = members["activation_function"] ?? .string("gelu_new")
        switch value {
        case .string("gelu_new"), .string("gelu_pytorch_tanh"): return .geluTanh
        case .string("gelu"): return .geluErf
        case .string("silu"), .string("swish"): return .silu
        case .string("relu"): return .relu
        default:
            refuse(
                "activation_function",
                "\"gelu_new\", \"gelu_pytorch_tanh\", \"gelu\", \"silu\" or \"relu\"", value)
            return .geluTanh
        }
    }

    /// One probability for all places: the residual's, where the file has several.
    mutating func dropout() -> Double {
        let value = members["resid_pdrop"] ?? .number(0.1)
        guard case .number(let number) = value, number >= 0, number < 1 else {
            refuse("resid_pdrop", "a number from 0 to below 1", value)
            return 0
        }
        return number
    }
}

extension GPTConfiguration {
    /// `config.json` of this model for transformers.
    ///
    /// - Parameter tokenIDs: keys of special tokens and their values, as JSON; what is missing has the default of
    ///   `GPT2Config`.
    func gpt2ConfigurationFile(
        vocabulary: Int, tokenIDs: [(key: String, value: String)]
    ) -> String {
        let function =
            switch activation {
            case .geluTanh: "gelu_new"
            case .geluErf: "gelu"
            case .silu: "silu"
            case .relu: "relu"
            }
        let ids = tokenIDs.map { "\n  \"\($0.key)\": \($0.value)," }.joined()
        return """
            {
              "activation_function": "\(function)",
              "add_cross_attention": false,
              "architectures": ["GPT2LMHeadModel"],
              "attn_pdrop": \(dropout),\(ids)
              "embd_pdrop": \(dropout),
              "initializer_range": 0.02,
              "layer_norm_epsilon": 1e-05,
              "model_type": "gpt2",
              "n_ctx": \(contextLength),
              "n_embd": \(width),
              "n_head": \(heads),
              "n_inner": \(inner),
              "n_layer": \(layers),
              "n_positions": \(contextLength),
              "reorder_and_upcast_attn": false,
              "resid_pdrop": \(dropout),
              "scale_attn_by_inverse_layer_idx": false,
              "scale_attn_weights": true,
              "tie_word_embeddings": true,
              "torch_dtype": "float32",
              "use_cache": true,
              "vocab_size": \(vocabulary)
            }

            """
    }
}
