// How a family's parameters are named and laid out in another program's files. No file is known here: a
// family writes its table as a value, and what reads and writes folders goes by it in both directions.

import Tensors

/// The parameters of a model beside the tensors of a Hugging Face folder.
///
/// Tensors of a folder bear their full names here, as they are written; reading also takes names without
/// prefix and old endings.
public struct WeightMap: Hashable, Sendable {
    /// A tensor of a folder that is a run of whole rows of a parameter.
    public struct Part: Hashable, Sendable {
        public let name: String
        /// Its extent along the first axis.
        public let rows: Int

        public init(_ name: String, rows: Int) { (self.name, self.rows) = (name, rows) }
    }

    /// What holds one parameter. The first string is its own name, the other the folder's.
    public enum Rule: Hashable, Sendable {
        /// Equal shapes.
        case same(String, as: String)
        /// Ours is [outputs, inputs], theirs [inputs, outputs], as the class Conv1D keeps its weight.
        case transposed(String, as: String)
        /// The same elements in the same order under another shape: a patch projection's [width, channels·p·p]
        /// as [width, channels, p, p].
        case reshaped(String, as: String, Shape)
        /// Ours is theirs one after the other along the first axis: q, k and v; gate and up.
        case joined(String, [Part])
        /// Theirs has `from` more rows in front, which no input uses: BART's positions begin at 2. They are
        /// passed over on reading and written as zeros.
        case rows(String, as: String, from: Int)
        /// Rows in another order: ours are q of all heads, then k, then v (`of` of them, of `groups` heads); theirs are q, k
        /// and v of a head, then of the next one.
        case alternating(String, as: String, groups: Int, of: Int)
    }

    /// A tensor that a folder may have besides, with the values of another.
    public struct Alias: Hashable, Sendable {
        public let name: String
        /// The tensor that is written.
        public let target: String
        /// Whether it is the output projection of a family that has its table for one: a folder that says it is
        /// not tied must have it.
        public let isHead: Bool

        public init(_ name: String, of target: String, isHead: Bool = false) {
            (self.name, self.target, self.isHead) = (name, target, isHead)
        }
    }

    /// How names of an older version ended.
    public struct Ending: Hashable, Sendable {
        public let old: String
        public let new: String

        public init(_ old: String, now new: String) { (self.old, self.new) = (old, new) }
    }

    /// One for each parameter.
    public var rules: [Rule]
    /// What names may have in front, or not: `transformer.`, `model.`.
    public var prefixes: [String]
    public var aliases: [Alias]
    /// `LayerNorm.gamma` for `LayerNorm.weight`.
    public var endings: [Ending]
    /// Patterns of names without prefix that are passed over: `*` is a component, `**` at the end any number of
    /// them. Masks, rotary frequencies, the heads of other tasks.
    public var ignored: [String]

    public init(
        rules: [Rule], prefixes: [String] = [], aliases: [Alias] = [], endings: [Ending] = [],
        ignored: [String] = []
    ) {
        (self.rules, self.prefixes, self.aliases) = (rules, prefixes, aliases)
        (self.endings, self.ignored) = (endings, ignored)
    }
}

// MARK: Rules that come together

extension WeightMap.Rule {
    /// A layer's weight and bias, of equal shapes.
    ///
    /// - Parameter other: the layer's name in a folder.
    public static func pair(_ name: String, as other: String) -> [Self] {
        ["weight", "bias"].map { .same("\(name).\($0)", as: "\(other).\($0)") }
    }

    /// Weights, or biases, of as many rows each.
    public static func joined(_ name: String, _ parts: [String], rows: Int) -> Self {
        .joined(name, parts.map { .init($0, rows: rows) })
    }
}

// MARK: Tensors of a parameter

extension WeightMap {
    /// A tensor of a folder, and what of it is a parameter's.
    package struct Piece: Hashable, Sendable {
        package let name: String
        package let shape: Shape
        /// Whether the parameter has rows and columns exchanged.
        package let isTransposed: Bool
        /// Elements in front that are no parameter's.
        package let skipped: Int
        /// Where theirs alternate: the groups and how many runs each has.
        package let alternation: Alternation?

        package struct Alternation: Hashable, Sendable {
            package let groups: Int
            package let runs: Int
        }

        /// Elements that are the parameter's.
        package var count: Int { shape.count - skipped }

        init(
            _ name: String, _ shape: Shape, isTransposed: Bool = false, skipped: Int = 0,
            alternation: Alternation? = nil
        ) {
            (self.name, self.shape, self.alternation) = (name, shape, alternation)
            (self.isTransposed, self.skipped) = (isTransposed, skipped)
        }

        /// Where elements of one side lie on the other, in order.
        ///
        /// - Parameter isOurs: whether `range` is of the parameter's elements that are here; else of the tensor.
        package func places(of range: Range<Int>, isOurs: Bool) -> [Range<Int>] {
            guard let alternation, alternation.groups > 0 else {
                let shift = isOurs ? skipped : -skipped
                return [range.lowerBound + shift..<range.upperBound + shift]
            }
            let length = count / (alternation.groups * alternation.runs)
            let inner = isOurs ? alternation.groups : alternation.runs
            let outer = isOurs ? alternation.runs : alternation.groups
            var places: [Range<Int>] = []
            var start = range.lowerBound
            while start < range.upperBound {
                let (run, offset) = start.quotientAndRemainder(dividingBy: length)
                let end = min(range.upperBound, (run + 1) * length)
                let place = (run % inner * outer + run / inner) * length + offset
                places.append(place..<place + end - start)
                start = end
            }
            return places
        }
    }
}

extension WeightMap.Rule {
    /// The parameter's name.
    public var parameter: String {
        switch self {
        case .same(let name, _), .transposed(let name, _), .reshaped(let name, _, _),
            .joined(let name, _), .rows(let name, _, _), .alternating(let name, _, _, _):
            name
        }
    }

    /// The tensors that hold a parameter of this shape, in the order of its elements.
    package func pieces(of shape: Shape) -> [WeightMap.Piece] {
        switch self {
        case .same(_, let name): return [WeightMap.Piece(name, shape)]
        case .transposed(_, let name):
            precondition(
                shape.rank == 2, "WeightMap: \(parameter) is to be transposed, and is \(shape)")
            return [
                WeightMap.Piece(name, Shape(shape.extents.reversed()), isTransposed: true)
            ]
        case .reshaped(_, let name, let other):
            precondition(
                other.count == shape.count, "WeightMap: \(parameter) is \(shape), \(name) \(other)")
            return [WeightMap.Piece(name, other)]
        case .joined(_, let parts):
            let rows = parts.reduce(0) { $0 + $1.rows }
            precondition(
                shape.rank > 0 && rows == shape[0],
                "WeightMap: \(parameter) is \(shape), its parts have \(rows) rows")
            return parts.map {
                WeightMap.Piece($0.name, Shape([$0.rows] + shape.extents.dropFirst()))
            }
        case .alternating(_, let name, let groups, let runs):
            precondition(
                shape.rank > 0 && groups > 0 && shape[0].isMultiple(of: groups * runs),
                "WeightMap: \(parameter) is \(shape), for \(groups) groups of \(runs)")
            return [
                WeightMap.Piece(
                    name, shape, alternation: .init(groups: groups, runs: runs))
            ]
        case .rows(_, let name, let first):
            precondition(
                shape.rank > 0 && first >= 0,
                "WeightMap: \(parameter) is \(shape), and begins at row \(first)")
            let rest = Array(shape.extents.dropFirst())
            return [
                WeightMap.Piece(
                    name, Shape([first + shape[0]] + rest), skipped: first * rest.reduce(1, *))
            ]
        }
    }
}

// MARK: Names

extension WeightMap {
    /// A name without prefix, by which tensors are told apart whether a folder has it or not.
    package func key(_ name: String) -> String {
        prefixes.first { name.hasPrefix($0) }.map { String(name.dropFirst($0.count)) } ?? name
    }

    /// A key of which an old ending is replaced.
    package func renewed(_ key: String) -> String {
        endings.first { key.hasSuffix($0.old) }.map { key.dropLast($0.old.count) + $0.new } ?? key
    }

    /// Whether a key is one of those that are passed over.
    package func ignores(_ key: String) -> Bool {
        let components = key.split(separator: ".", omittingEmptySubsequences: false)
        return ignored.contains { pattern in
            var wanted = pattern.split(separator: ".", omittingEmptySubsequences: false)
            let isOpen = wanted.last == "**"
            if isOpen { wanted.removeLast() }
            guard
                isOpen ? components.count > wanted.count : components.count == wanted.count
            else { return false }
            return zip(wanted, components).allSatisfy { $0 == "*" || $0 == $1 }
        }
    }
}
