import Kernels
import Tensors

/// The end of a model: scores of classes from features, x·Wᵀ + b. The weight may be another layer's (a tied head:
/// Press and Wolf 2017), which then lists it.
public struct OutputProjection: Layer {
    /// [classes, width], cut by rows where tensor parallelism may split it.
    public let weight: Parameter
    /// [classes], cut likewise.
    public let bias: Parameter?
    private let ownsWeight: Bool
    private let readsAllTokens: Bool
    private let numerics: Numerics

    /// - Parameter readsAllTokens: whether its features come from `Pass.select` or `Pass.gather`.
    public init(
        _ weight: Parameter, bias: Parameter? = nil, readsAllTokens: Bool = false,
        numerics: Numerics
    ) {
        (self.weight, self.bias, self.numerics) = (weight, bias, numerics)
        (self.readsAllTokens, ownsWeight) = (readsAllTokens, false)
    }

    /// Of a language model: the table of its tokens, or where it is not tied a weight of its own, `name.weight`.
    public init(
        _ name: String, of tokens: Embedding, isTied: Bool, bias: Parameter? = nil,
        deviation: Float, numerics: Numerics
    ) {
        weight =
            isTied
            ? tokens.weight
            : Parameter(
                "\(name).weight", tokens.weight.spec, initializer: .normal(deviation: deviation))
        (self.bias, readsAllTokens, ownsWeight, self.numerics) = (bias, false, !isTied, numerics)
    }

    /// A classifier that every rank has whole, on features that every rank has: few classes, `name.weight` and
    /// `name.bias`.
    public init(
        _ name: String, width: Int, classes: Int, deviation: Float, numerics: Numerics
    ) {
        weight = Parameter(
            "\(name).weight", ShardSpec([classes, width], axis: 0, slices: numerics.slices),
            initializer: .normal(deviation: deviation))
        bias = Parameter(
            "\(name).bias", ShardSpec([classes], axis: 0, slices: numerics.slices),
            initializer: .zeros)
        (readsAllTokens, ownsWeight, self.numerics) = (true, true, numerics)
    }

    /// Its own: not a weight that is tied.
    public var parameters: [Parameter] {
        (ownsWeight ? [weight] : []) + (bias.map { [$0] } ?? [])
    }

    public var classCount: Int { weight.spec.shape[0] }

    /// The summed cross-entropy of softmax(x·Wᵀ + b), Σ w·(log Σ exp z − z at the target), and the weight of what it
    /// gets right.
    ///
    /// - Parameters:
    ///   - features: [targets…, width].
    ///   - targets: Int32, one a row of features; negative where the weight is 0.
    ///   - weights: Float32, likewise.
    ///   - smoothing: ε, the part of each target that is spread over all classes.
    public func crossEntropy(
        _ features: Tensor, targets: Tensor, weights: Tensor, smoothing: Double = 0, _ pass: Pass
    ) -> ClassificationLoss {
        let pass = readsAllTokens ? pass.withAllTokens : pass
        return linearCrossEntropy(
            features, table: weight.leaf, bias: bias?.leaf, vocabulary: weight.slices,
            targets: targets, weights: weights, tokens: pass.tokens(numerics),
            smoothing: smoothing, tape: pass.tape)
    }

    /// The scores of all classes, as Float32, for each row of features. Collective over the ranks that hold the weight
    /// together.
    package func wholeLogits(_ features: Tensor, _ pass: Pass) -> [[Float]] {
        let slices = weight.slices
        let here = logits(features, pass).converted(to: .float32)
        let (rows, held) = (here.shape.rows, slices.held)
        return (0..<rows).map { row in
            let part = here.buffer[row * held.count..<(row + 1) * held.count]
            guard weight.isSplit else { return Tensor(buffer: part, shape: [held.count]).array }
            let whole = Tensor(uninitialized: [classCount])
            whole.buffer[held].copyBytes(from: part)
            slices.sum.gather(whole.buffer, borders: slices.borders)
            return whole.array
        }
    }

    /// The scores of the classes that are here, [targets…, classes], from features that have every row.
    public func logits(_ features: Tensor, _ pass: Pass) -> Tensor {
        linear(
            features, weight: weight.leaf, split: .outputs(weight.slices),
            epilogue: Epilogue(bias: bias?.leaf), tokens: TokenSlices(1), tape: pass.tape)
    }
}
