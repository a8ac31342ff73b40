// What a folder's `config.json` says of a model, and what a family has to say to be exchanged with Hugging
// Face folders.

import Files
import Layers

/// The shape of a model that Hugging Face's `config.json` can say, with weights that its folders can hold.
package protocol HuggingFaceShape: ModelShape {
    /// Values of the key `model_type` that are this family's.
    static var modelTypes: [String] { get }
    /// What a `config.json` of such a type has, in the order of reading; a missing member has the default of that type's own
    /// class.
    static func members(_ modelType: String) -> [HuggingFaceMember<Self>]
    /// What members say together: derives, and refuses what the model cannot do.
    mutating func finish(_ file: inout HuggingFaceConfiguration, _ modelType: String)

    /// The class of transformers that has what this shape has.
    var modelClass: (type: String, name: String) { get }
    /// How the parameters of this shape are named and laid out in a folder.
    var weightMap: WeightMap { get }

    /// Whether a file that does not say so means that the output projection is the token table.
    var tiesByDefault: Bool { get }
    /// Keys of section `model` that need not be the file's.
    static var chosenKeys: Set<String> { get }
    /// Why this shape cannot be written; nil where it can.
    var exchangeProblem: String? { get }
}

extension HuggingFaceShape {
    package var exchangeProblem: String? { nil }
    package static var chosenKeys: Set<String> { ["model.dropout"] }

    /// Throws everything in the file that the family has no model for, one line a key.
    package init(
        huggingFace file: HuggingFaceConfiguration
    ) throws(HuggingFaceConfigurationError) {
        self.init()
        var file = file
        let given = file.members["model_type"] ?? .null
        let type = Self.modelTypes.first { .string($0) == given } ?? Self.modelTypes[0]
        for member in HuggingFaceMember.common + Self.members(type) { member.read(&file, &self) }
        finish(&file, type)
        try file.check()
    }

    /// The members of a `config.json`, special tokens left out.
    package func huggingFace() -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "architectures": .array([.string(modelClass.name)]),
            "model_type": .string(modelClass.type),
        ]
        for member in HuggingFaceMember.common + Self.members(modelClass.type) {
            members.merge(member.write(self)) { _, new in new }
        }
        return members
    }
}

/// What is wrong with a `config.json`, one line a key.
package struct HuggingFaceConfigurationError: Error, Hashable {
    package let problems: [String]

    package init(problems: [String]) { self.problems = problems }
}

/// The members of a `config.json`, read one by one. What is wrong is collected, so that all of it is told at
/// once: `check` comes last.
package struct HuggingFaceConfiguration: Sendable {
    package let members: [String: JSONValue]
    private var problems: [String] = []

    package init(_ members: [String: JSONValue]) { self.members = members }

    /// The class that the file is of; nil where it names none.
    package var architecture: JSONValue? {
        guard case .array(let names) = members["architectures"] ?? .null else { return nil }
        return names.first
    }

    /// Throws what was wrong with the members that were read.
    package func check() throws(HuggingFaceConfigurationError) {
        guard problems.isEmpty else { throw HuggingFaceConfigurationError(problems: problems) }
    }

    /// Refuses heads that do not make up the width.
    package mutating func expectWholeHeads(
        _ heads: Int, _ key: String, of width: Int, _ widthKey: String
    ) {
        if !width.isMultiple(of: heads) {
            refuse(key, "a divisor of \(widthKey) \(width)", .integer(heads))
        }
    }

    /// What was wrong with an object that is the member `key`.
    package mutating func take(problemsOf object: HuggingFaceConfiguration, in key: String) {
        problems += object.problems.map { "\(key): \($0)" }
    }

    package mutating func refuse(_ key: String, _ expected: String, _ found: JSONValue) {
        problems.append("\(key): expected \(expected), found \(found.text)")
    }

    /// A key that may have one value only; `standard` where it is missing.
    package mutating func expect(_ key: String, _ value: JSONValue, standard: JSONValue) {
        let found = members[key] ?? standard
        if found != value { refuse(key, value.text, found) }
    }

    /// A key that may have one number only, as Float32; it is the default too.
    package mutating func expect(_ key: String, number: Double) {
        let value = members[key] ?? .number(number)
        guard let found = value.double, Float(found) == Float(number) else {
            return refuse(key, "\(number)", value)
        }
    }

    /// An integer from 1 to `limit`. Null is the default too; without one the key must be there.
    package mutating func size(_ key: String, standard: Int?, limit: Int) -> Int {
        let value = members[key] ?? .null
        if value == .null, let standard { return standard }
        if let size = value.int, (1...limit).contains(size) { return size }
        refuse(key, "an integer from 1 to \(limit)", value)
        return 1
    }

    package mutating func boolean(_ key: String, standard: Bool) -> Bool {
        let value = members[key] ?? .bool(standard)
        guard case .bool(let boolean) = value else {
            refuse(key, "true or false", value)
            return standard
        }
        return boolean
    }

    /// A finite number above 0.
    package mutating func positive(_ key: String, standard: Double) -> Double {
        let value = members[key] ?? .number(standard)
        guard let number = value.double, number > 0, number.isFinite else {
            refuse(key, "a number above 0", value)
            return standard
        }
        return number
    }

    /// A number from 0 to below 1, as Float32.
    package mutating func probability(_ key: String, standard: Double) -> Double {
        let value = members[key] ?? .number(standard)
        guard let number = value.double, number >= 0, Float(number) < 1 else {
            refuse(key, "a number from 0 to below 1", value)
            return 0
        }
        return number
    }

    /// One of several names, each with what it means; `standard` is one of them.
    package mutating func choice<Value>(
        _ key: String, standard: String, _ choices: KeyValuePairs<String, Value>
    ) -> Value {
        let value = members[key] ?? .string(standard)
        if case .string(let name) = value, let choice = choices.first(where: { $0.key == name }) {
            return choice.value
        }
        refuse(key, choices.map { "\"\($0.key)\"" }.alternatives, value)
        guard let choice = choices.first(where: { $0.key == standard }) else {
            preconditionFailure("HuggingFaceConfiguration: \(key) has no choice \(standard)")
        }
        return choice.value
    }
}

// MARK: Rotary positions

extension HuggingFaceConfiguration {
    /// What the file says of rotary positions, as files of transformers 5 have it in `rope_parameters`; older ones have
    /// it in `rope_scaling` and beside the other members.
    ///
    /// - Parameter older: names of members that stand beside the others, and what they are called now.
    package func rotary(_ older: KeyValuePairs<String, String>) -> HuggingFaceConfiguration {
        var found: [String: JSONValue] = [:]
        var problems: [String] = []
        for key in ["rope_scaling", "rope_parameters"] {
            switch members[key] ?? .null {
            case .object(let object): found.merge(object) { $1 }
            case .null: break
            case let other: problems.append("expected an object or null, found \(other.text)")
            }
        }
        for (old, new) in older { found[new] = found[new] ?? members[old] }
        found["rope_type"] = found["rope_type"] ?? found["type"]
        var rotary = HuggingFaceConfiguration(found)
        rotary.problems = problems
        return rotary
    }
}

// MARK: Labels of a classification

extension HuggingFaceConfiguration {
    /// How many labels `id2label` has, or `num_labels` says; 2 without either.
    package var classes: Int {
        mutating get {
            if case .object(let names) = members["id2label"] ?? .null, !names.isEmpty {
                return names.count
            }
            return size("num_labels", standard: 2, limit: 1_048_576)
        }
    }

    /// `id2label` and `label2id`.
    ///
    /// - Parameter names: by the classes' numbers; what is not there is `LABEL_n`, as transformers has it.
    package static func labels(_ count: Int, names: [String] = []) -> [String: JSONValue] {
        let names = (0..<count).map { $0 < names.count ? names[$0] : "LABEL_\($0)" }
        let pairs = names.enumerated()
        return [
            "id2label": .object(
                Dictionary(uniqueKeysWithValues: pairs.map { ("\($0)", .string($1)) })),
            "label2id": .object(Dictionary(pairs.map { ($1, .integer($0)) }) { first, _ in first }),
        ]
    }
}

extension [String] {
    /// `a, b or c`
    package var alternatives: String {
        count < 2 ? first ?? "" : "\(dropLast().joined(separator: ", ")) or \(self[count - 1])"
    }
}
