// What tensor parallelism splits in each family of models, as tables (Shoeybi et al. 2019, section 3).
// docs/parallelism.md says how to write one for a new family.

import Layers
import Models

extension GPT: TensorParallelizable {
    public static var tensorPlan: TensorPlan<GPT> {
        .vocabulary(\.tokens)
            + .blocks(
                \.blocks,
                (\.attention.projection, .columns),
                (\.attention.output, .rows),
                (\.feedForward.up, .columns),
                (\.feedForward.down, .rows))
    }
}

/// A model of a family that has a plan.
public protocol TensorParallelizable: Model {
    static var tensorPlan: TensorPlan<Self> { get }
}

/// How a model is split over the tensor dimension: which parts, and by what of their weights. Every
/// parameter that is not named is whole on every rank.
public struct TensorPlan<Network> {
    /// What of a linear map a rank holds.
    public enum LinearSplit {
        /// Outputs, and the bias with them.
        case columns
        /// Inputs; the bias is whole, and added once the sum over all inputs is there.
        case rows
    }

    package let parameters: (Network) -> [Parameter]

    private init(parameters: @escaping (Network) -> [Parameter]) { self.parameters = parameters }

    /// Tables of vectors, split by their rows; where one is the output projection too, a rank makes the
    /// logits of its symbols.
    public static func vocabulary(_ tables: KeyPath<Network, Embedding>...) -> Self {
        TensorPlan { model in tables.map { model[keyPath: $0].weight } }
    }

    /// The maps of each block.
    public static func blocks<Block>(
        _ blocks: KeyPath<Network, [Block]>, _ entries: (KeyPath<Block, Linear>, LinearSplit)...
    ) -> Self {
        TensorPlan { model in
            model[keyPath: blocks].flatMap { block in
                entries.flatMap { path, split in block[keyPath: path].parameters(splitBy: split) }
            }
        }
    }

    public static func + (first: Self, second: Self) -> Self {
        TensorPlan { first.parameters($0) + second.parameters($0) }
    }
}

extension Linear {
    fileprivate func parameters<Network>(
        splitBy split: TensorPlan<Network>.LinearSplit
    ) -> [Parameter] {
        let axis = split == .columns ? 0 : 1
        precondition(
            weight.spec.axis == axis,
            "TensorPlan: \(weight.name) by \(split), but it is cut along axis \(weight.spec.axis ?? -1)"
        )
        return parameters.filter { $0.spec.axis != nil }
    }
}
