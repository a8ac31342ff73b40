// The members of a `config.json` as a table that is read in both directions.

import Files
import Kernels

/// One member of a `config.json`, or a few that say one thing: what is read sets a property of a shape, and what is
/// written comes from it.
package struct HuggingFaceMember<Shape> {
    package typealias Path<Value> = WritableKeyPath<Shape, Value>

    let read: (inout HuggingFaceConfiguration, inout Shape) -> Void
    let write: (Shape) -> [String: JSONValue]

    /// What none of the forms below says.
    package init(
        read: @escaping (inout HuggingFaceConfiguration, inout Shape) -> Void,
        write: @escaping (Shape) -> [String: JSONValue]
    ) {
        (self.read, self.write) = (read, write)
    }

    private init<Value>(
        _ key: String, _ path: Path<Value>,
        read: @escaping (inout HuggingFaceConfiguration, Shape) -> Value,
        write: @escaping (Value) -> JSONValue
    ) {
        self.read = { $1[keyPath: path] = read(&$0, $1) }
        self.write = { [key: write($0[keyPath: path])] }
    }
}

// MARK: Members that set a property

extension HuggingFaceMember {
    /// A count from 1 to `limit`.
    ///
    /// - Parameter standard: the default, which may follow from the members before; null means it too.
    package static func size(
        _ key: String, _ path: Path<Int>, limit: Int, _ standard: @escaping (Shape) -> Int
    ) -> Self {
        Self(
            key, path, read: { $0.size(key, standard: standard($1), limit: limit) },
            write: { .integer($0) })
    }

    package static func layers(_ key: String, _ path: Path<Int>, _ standard: Int) -> Self {
        size(key, path, limit: 10_000) { _ in standard }
    }

    package static func heads(
        _ key: String, _ path: Path<Int>, _ standard: Int
    ) -> Self {
        size(key, path, limit: 65_536) { _ in standard }
    }

    package static func width(_ key: String, _ path: Path<Int>, _ standard: Int) -> Self {
        size(key, path, limit: 1_048_576) { _ in standard }
    }

    /// Of a feed-forward part, or positions.
    package static func extent(_ key: String, _ path: Path<Int>, _ standard: Int) -> Self {
        size(key, path, limit: 16_777_216) { _ in standard }
    }

    /// Symbols of the model's table.
    package static func vocabulary(_ standard: Int) -> Self where Shape: ModelShape {
        let key = "vocab_size"
        return Self(
            key, \.vocabulary,
            read: { file, _ in file.size(key, standard: standard, limit: 1_073_741_824) },
            write: { .integer($0 ?? 0) })
    }

    package static func boolean(_ key: String, _ path: Path<Bool>, _ standard: Bool) -> Self {
        Self(
            key, path, read: { file, _ in file.boolean(key, standard: standard) },
            write: { .bool($0) })
    }

    /// A finite number above 0.
    package static func positive(_ key: String, _ path: Path<Double>, _ standard: Double) -> Self {
        Self(
            key, path, read: { file, _ in file.positive(key, standard: standard) },
            write: { .number($0) })
    }

    /// The one probability of the model, which is written wherever the class has its own.
    ///
    /// - Parameter keys: the first is read: the residual sums'.
    package static func dropout(
        _ keys: [String], _ path: Path<Double>, _ standard: Double
    ) -> Self {
        Self(
            read: { $1[keyPath: path] = $0.probability(keys[0], standard: standard) },
            write: { shape in
                let value = JSONValue.number(shape[keyPath: path])
                return Dictionary(uniqueKeysWithValues: keys.map { ($0, value) })
            })
    }

    /// An activation by the name that transformers has for it.
    ///
    /// - Parameter tanhForm: how GELU's tanh form, which has two names, is written.
    package static func activation(
        _ key: String, _ path: Path<Activation>, _ standard: String, tanhForm: String = "gelu_new"
    ) -> Self {
        let names: KeyValuePairs<String, Activation> = [
            "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh, "gelu_fast": .geluTanh,
            "gelu": .geluErf, "silu": .silu, "swish": .silu, "relu": .relu, "tanh": .tanh,
        ]
        let table = choice(key, path, standard, names)
        return Self(
            read: table.read,
            write: {
                $0[keyPath: path] == .geluTanh ? [key: .string(tanhForm)] : table.write($0)
            })
    }

    /// One of several names, each with what it means; of two that mean one thing the first is written, and a meaning without
    /// a name is not.
    package static func choice<Value: Equatable>(
        _ key: String, _ path: Path<Value>, _ standard: String,
        _ names: KeyValuePairs<String, Value>
    ) -> Self {
        Self(
            read: { $1[keyPath: path] = $0.choice(key, standard: standard, names) },
            write: { shape in
                let value = shape[keyPath: path]
                return names.first { $0.value == value }.map { [key: .string($0.key)] } ?? [:]
            })
    }
}

// MARK: Members that set none

extension HuggingFaceMember {
    /// What the model has no choice of: another value is refused, and a file without it means it.
    package static func fixed(_ key: String, _ value: JSONValue, isWritten: Bool = true) -> Self {
        Self(
            read: { file, _ in file.expect(key, value, standard: value) },
            write: { _ in isWritten ? [key: value] : [:] })
    }

    /// A number that the model has no choice of.
    package static func fixed(_ key: String, number: Double) -> Self {
        Self(
            read: { file, _ in file.expect(key, number: number) },
            write: { _ in [key: .number(number)] })
    }

    /// Written for its readers, and not looked at.
    package static func written(
        _ key: String, _ value: @escaping (Shape) -> JSONValue
    ) -> Self {
        Self(read: { _, _ in }, write: { [key: value($0)] })
    }

    /// Whether the output projection is the token table, where it always is here: either is read, and decides whether the
    /// folder must have both.
    package static var alwaysTied: Self {
        let key = "tie_word_embeddings"
        return Self(
            read: { file, _ in _ = file.boolean(key, standard: true) },
            write: { _ in [key: .bool(true)] })
    }

    /// Of every class.
    static var common: [Self] {
        [
            .fixed("quantization_config", .null, isWritten: false),
            .written("initializer_range") { _ in .number(0.02) },
            .written("torch_dtype") { _ in .string("float32") },
        ]
    }
}

// MARK: Labels of a classification

extension HuggingFaceMember {
    /// How many classes `id2label` has, or `num_labels` says; 2 without either. Written are the names that transformers gives
    /// classes without one.
    ///
    /// - Parameter isUsed: whether the shape has classes.
    package static func classes(
        _ path: Path<Int>, if isUsed: @escaping (Shape) -> Bool = { _ in true }
    ) -> Self {
        Self(
            read: { if isUsed($1) { $1[keyPath: path] = $0.classes } },
            write: {
                isUsed($0) ? HuggingFaceConfiguration.labels($0[keyPath: path]) : [:]
            })
    }
}
