// The diagnosis of a run that diverged: which tensor was the first that was not finite.

import Layers
import Models
import Parallelism
import Tensors

/// The first tensor of a rank's step that was found not to be finite, and an element of it.
struct NonFinite {
    enum Place: Hashable {
        /// A parameter, by number in the model's order.
        case weight(Int)
        /// What goes into a block; that of block `blockCount` is the output of the last.
        case input(block: Int)
        case loss
        /// The gradient of a parameter, by number, on one rank.
        case gradient(Int)
    }

    let place: Place
    /// In logical order.
    let element: Int
    let value: Double

    init(_ place: Place, element: Int, value: Double) {
        (self.place, self.element, self.value) = (place, element, value)
    }

    init(_ found: NonFiniteElement) {
        self.init(
            .gradient(found.parameter), element: found.element, value: Double(found.value))
    }

    /// - Parameter names: of the model's parameters, in its order.
    func description(names: [String]) -> String {
        let number = value.isNaN ? "nan" : value > 0 ? "inf" : "-inf"
        let expected = "expected finite numbers, found \(number) at element \(element)"
        return switch place {
        case .weight(let index): "weight \(names[index]): \(expected)"
        case .input(block: 0): "embedding: \(expected)"
        case .input(let block): "output of block \(block - 1): \(expected)"
        case .loss: "loss: expected a finite number, found \(number)"
        case .gradient(let index): "gradient of \(names[index]): \(expected)"
        }
    }
}

extension NonFinite.Place: Comparable {
    /// From the nearest to the cause to the farthest: in each kind as the passes go, which is backwards
    /// for gradients.
    static func < (a: Self, b: Self) -> Bool {
        if a.kind != b.kind { return a.kind < b.kind }
        return a.kind == 4 ? a.index > b.index : a.index < b.index
    }

    fileprivate var kind: Int {
        switch self {
        case .weight: 1
        case .input: 2
        case .loss: 3
        case .gradient: 4
        }
    }

    fileprivate var index: Int {
        switch self {
        case .weight(let index), .input(let index), .gradient(let index): index
        case .loss: 0
        }
    }
}

// MARK: As numbers of a record

extension NonFinite {
    static let valueCount = 4

    static func values(of finding: NonFinite?) -> [Double] {
        guard let finding else { return [0, 0, 0, 0] }
        let place = finding.place
        return [
            Double(place.kind), Double(place.index), Double(finding.element), finding.value,
        ]
    }

    init?(values: [Double]) {
        let index = Int(values[1])
        switch values[0] {
        case 1: place = .weight(index)
        case 2: place = .input(block: index)
        case 3: place = .loss
        case 4: place = .gradient(index)
        default: return nil
        }
        (element, value) = (Int(values[2]), values[3])
    }
}

/// Goes forward through the model once more, without a tape, and looks at weights and at what passes
/// between blocks: what made the loss of `input` something else than a finite number.
/// Collective over the ranks that hold the model together: each goes the whole way, whatever it finds.
func firstNonFinite(
    _ model: some Model, _ objective: any Objective, _ input: ModelInput,
    _ randomness: Pass.Randomness?
) -> NonFinite? {
    var finding: NonFinite?
    for (index, parameter) in model.parameters.enumerated() {
        guard let found = parameter.leaf.value.buffer.firstNonFinite else { continue }
        finding = NonFinite(
            .weight(index), element: parameter.logicalIndex(of: found.index),
            value: Double(found.value))
        break
    }
    let pass = Pass(randomness: randomness)
    var value = model.begin(input, pass)
    for index in 0...model.blockCount {
        for tensor in model.tensors(of: value) where finding == nil {
            guard let found = tensor.buffer.firstNonFinite else { continue }
            finding = NonFinite(
                .input(block: index), element: found.index, value: Double(found.value))
        }
        if index < model.blockCount { value = model.block(index, value, input, pass) }
    }
    let loss = objective.loss(of: input, by: model, pass).float64
    return finding ?? (loss.isFinite ? nil : NonFinite(.loss, element: 0, value: loss))
}
