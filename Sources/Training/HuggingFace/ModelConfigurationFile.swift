// `config.json` of a Hugging Face folder and our configuration's section `model`.

import Checkpointing
import Files
import Models

/// What a `config.json` says of a model.
struct ModelConfigurationFile {
    let path: String
    let model: RunConfiguration.Model
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
        do throws(HuggingFaceConfigurationError) {
            model = try RunConfiguration.Model(huggingFace: HuggingFaceConfiguration(members))
        } catch {
            throw RunError(.checkpoint, problems: error.problems.map { "\(path): \($0)" })
        }
        isTied = members["tie_word_embeddings"] != .bool(false)
        self.path = path
    }

    /// The keys of a configuration's model, without its dropout, that are not those of this file.
    ///
    /// - Parameter vocabulary: what the configuration's model has.
    func differences(from given: RunConfiguration.Model, vocabulary: Int?) -> [String] {
        let pairs: [(String, String, String)] = [
            ("layers", "\(model.layers)", "\(given.layers)"),
            ("heads", "\(model.heads)", "\(given.heads)"),
            ("width", "\(model.width)", "\(given.width)"),
            ("context_length", "\(model.contextLength)", "\(given.contextLength)"),
            ("feed_forward", "\(model.feedForward)", "\(given.feedForward)"),
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

extension HuggingFaceShape {
    /// `config.json` for transformers, a key a line.
    ///
    /// - Parameter tokenIDs: keys of special tokens; what is missing has the default of the model's own class.
    func configurationFile(tokenIDs: [String: JSONValue]) -> String {
        let members = huggingFace().merging(tokenIDs) { _, id in id }
        let lines = members.sorted { $0.key < $1.key }.map { "  \($0.key.json): \($0.value.json)" }
        return "{\n\(lines.joined(separator: ",\n"))\n}\n"
    }
}

// MARK: Families

extension RunConfiguration.Model.Family {
    /// Values of `model_type` in a `config.json`.
    var huggingFaceTypes: [String] {
        switch self {
        case .gpt: GPTConfiguration.modelTypes
        }
    }
}

extension RunConfiguration.Model {
    /// The model of the family that `model_type` names.
    init(huggingFace file: HuggingFaceConfiguration) throws(HuggingFaceConfigurationError) {
        let type = file.members["model_type"] ?? .null
        let family = Family.allCases.first { $0.huggingFaceTypes.contains { .string($0) == type } }
        switch family {
        case .gpt: self.init(try GPTConfiguration(huggingFace: file))
        case nil:
            let known = Family.allCases.flatMap(\.huggingFaceTypes).map { "\"\($0)\"" }
            throw HuggingFaceConfigurationError(problems: [
                "model_type: expected \(known.alternatives), found \(type.text)"
            ])
        }
    }

    /// This model as its family exchanges it.
    func huggingFaceShape(vocabulary: Int) -> any HuggingFaceShape {
        switch family {
        case .gpt:
            var shape = GPTConfiguration(
                vocabulary: vocabulary, contextLength: contextLength, layers: layers, heads: heads,
                width: width, inner: feedForward)
            (shape.activation, shape.dropout) = (activation, Float(dropout))
            return shape
        }
    }

    private init(_ shape: GPTConfiguration) {
        self.init(
            layers: shape.layers, heads: shape.heads, width: shape.width,
            contextLength: shape.contextLength)
        (feedForward, vocabulary) = (shape.inner, shape.vocabulary)
        (activation, dropout) = (shape.activation, shape.dropout.shortestDouble)
    }
}
