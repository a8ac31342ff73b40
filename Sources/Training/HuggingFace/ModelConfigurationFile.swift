// `config.json` of a Hugging Face folder and our configuration's section `model`.

import Checkpointing
import Configuration
import Datasets
import Files
import Models

/// What a `config.json` says of a model.
struct ModelConfigurationFile {
    let path: String
    let shape: any HuggingFaceShape
    /// Whether the output projection is the token table.
    let isTied: Bool
    /// Names of the classes of images, in the order of their numbers; nil where the model reads texts.
    let classes: [String]?

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
            shape = try ModelConfigurationFile.shape(members)
        } catch {
            throw RunError(.checkpoint, problems: error.problems.map { "\(path): \($0)" })
        }
        classes =
            shape.objective == .imageClassification
            ? ModelConfigurationFile.classes(members, count: shape.vocabulary ?? 0) : nil
        isTied = members["tie_word_embeddings"].map { $0 != .bool(false) } ?? shape.tiesByDefault
        self.path = path
    }

    private static func classes(_ members: [String: JSONValue], count: Int) -> [String] {
        var names: [String: JSONValue] = [:]
        if case .object(let object) = members["id2label"] ?? .null { names = object }
        return (0..<count).map { number in
            if case .string(let name) = names["\(number)"] ?? .null {
                name
            } else {
                "LABEL_\(number)"
            }
        }
    }

    /// The shape of the family that `model_type` names.
    private static func shape(
        _ members: [String: JSONValue]
    ) throws(HuggingFaceConfigurationError) -> any HuggingFaceShape {
        let type = members["model_type"] ?? .null
        let exchanged = Family.allCases.compactMap {
            $0.shape as? any HuggingFaceShape.Type
        }
        let found = exchanged.first { $0.modelTypes.contains { .string($0) == type } }
        guard let found else {
            let known = exchanged.flatMap { $0.modelTypes.map { "\"\($0)\"" } }
            throw HuggingFaceConfigurationError(problems: [
                "model_type: expected \(known.alternatives), found \(type.text)"
            ])
        }
        return try found.init(huggingFace: HuggingFaceConfiguration(members))
    }

    /// The keys of a configuration's model that are not those of this file, but for those that a training may choose.
    ///
    /// - Parameter vocabulary: what the configuration's model has.
    func differences(from given: any ModelShape, vocabulary: Int?) -> [String] {
        var given = given
        given.vocabulary = vocabulary ?? shape.vocabulary
        guard let pairs = shape.pairs(with: given) else {
            return [
                "model.family: expected \(Family(of: shape).rawValue) as \(path) has it, found "
                    + Family(of: given).rawValue
            ]
        }
        return pairs.filter { !$0.isChosen }.map {
            "\($0.key): expected \($0.own) as \(path) has it, found \($0.other)"
        }
    }

    /// What a configuration chose otherwise than the file, where it may, a line each.
    func choices(in given: any ModelShape) -> [String] {
        (shape.pairs(with: given) ?? []).filter(\.isChosen).map {
            "\($0.key) is \($0.other); \(path) has \($0.own)"
        }
    }
}

extension HuggingFaceShape {
    /// The keys that have other values in another shape, as text; nil where that is of another family.
    fileprivate func pairs(
        with other: any ModelShape
    ) -> [(key: String, own: String, other: String, isChosen: Bool)]? {
        guard let other = other as? Self else { return nil }
        return Self.keys.compactMap { key in
            let (own, given) = (key.text(self), key.text(other))
            guard own != given else { return nil }
            return (key.path, own, given, Self.chosenKeys.contains(key.path))
        }
    }
}

extension HuggingFaceShape {
    /// `config.json` for transformers, a key a line.
    ///
    /// - Parameter more: keys of special tokens, or the names of classes; what is missing has the default of the model's
    ///   own class.
    func configurationFile(_ more: [String: JSONValue]) -> String {
        let members = huggingFace().merging(more) { _, given in given }
        let lines = members.sorted { $0.key < $1.key }.map { "  \($0.key.json): \($0.value.json)" }
        return "{\n\(lines.joined(separator: ",\n"))\n}\n"
    }
}

extension RunConfiguration.Model {
    /// This model as its family exchanges it. Throws where it has no form there.
    ///
    /// - Parameter tokenizer: what the texts are made of, where that is known.
    func huggingFaceShape(
        vocabulary: Int, tokenizer: Vocabulary? = nil
    ) throws(RunError) -> any HuggingFaceShape {
        var shape = shape
        shape.vocabulary = vocabulary
        if case .pair(let pair) = shape.sample, let tokenizer {
            let marks = pair.marks(symbols: tokenizer.count, endOfText: tokenizer.endSymbol)
            shape.settle(start: marks.start, begin: marks.begin, end: marks.end)
        }
        guard let exchanged = shape as? any HuggingFaceShape else {
            throw RunError(
                .usage,
                "model.family: expected one with a form in Hugging Face folders, found "
                    + family.rawValue)
        }
        if let problem = exchanged.exchangeProblem { throw RunError(.usage, problem) }
        return exchanged
    }
}
