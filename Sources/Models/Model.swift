import Layers
import Tensors

/// One micro-batch as a model and its objective see it: named tensors and a weight for each target. A trainer
/// passes it on and knows neither tokens nor logits.
public struct ModelInput {
    /// Int32 or Float32 tensors by name, a row for each sequence: `tokens` [sequences, tokens], `targets`; another view
    /// of the data has its own.
    public let fields: [String: Tensor]
    /// Float32, one a target; 0 leaves a position out.
    public let weights: Tensor

    public init(fields: [String: Tensor], weights: Tensor) {
        (self.fields, self.weights) = (fields, weights)
    }

    public subscript(name: String) -> Tensor {
        guard let tensor = fields[name] else {
            preconditionFailure("ModelInput: expected \(name), found \(fields.keys.sorted())")
        }
        return tensor
    }
}

/// A model: an ordered list of blocks with a typed value between them, which is where a pipeline may
/// cut it, and features at its end, which an objective reads. Single-process code: it knows no rank and no group.
public protocol Model: AnyObject {
    associatedtype Value

    /// Every parameter once, in the order of the forward pass.
    var parameters: [Parameter] { get }
    /// What tensor parallelism splits; every parameter that is not named is whole on every rank.
    var tensorPlan: [TensorSplit] { get }
    var blockCount: Int { get }

    /// What goes into block 0.
    func begin(_ input: ModelInput, _ pass: Pass) -> Value
    func block(_ index: Int, _ value: Value, _ input: ModelInput, _ pass: Pass) -> Value
    /// From what comes out of the last block: the features, a row for each target, that `output` takes.
    func end(_ value: Value, _ input: ModelInput, _ pass: Pass) -> Tensor
    /// From features to scores of classes: symbols of a vocabulary, labels.
    var output: OutputProjection { get }
    /// What a value between blocks consists of, for a search through it.
    func tensors(of value: Value) -> [Tensor]
}

extension Model where Value == Tensor {
    public func tensors(of value: Tensor) -> [Tensor] { [value] }
}

extension Model {
    /// The whole way, from a micro-batch to its features.
    public func features(of input: ModelInput, _ pass: Pass) -> Tensor {
        end(value(of: input, pass), input, pass)
    }

    /// What comes out of the last block.
    public func value(of input: ModelInput, _ pass: Pass) -> Value {
        (0..<blockCount).reduce(begin(input, pass)) { block($1, $0, input, pass) }
    }

    /// Scores of the classes that are here, a row for each target, [targets…, classes]; no gradient is kept.
    public func logits(_ input: ModelInput) -> Tensor {
        let pass = Pass()
        return output.logits(features(of: input, pass), pass)
    }

    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }
}

/// A model that continues a text: each position's features give the distribution of the token after it, and depend on
/// no later token. `Decoding` drives it, with a cache in the pass.
public protocol Generative: Model {
    /// The most tokens it can look back on.
    var contextLength: Int { get }
}

/// A model whose blocks are transformer blocks of one kind, between which tokens see each other alike.
public protocol TransformerStack: Model where Value == Tensor {
    associatedtype Norm: FeatureNorm
    associatedtype Network: PositionwiseNetwork
    var blocks: [TransformerBlock<Norm, Network>] { get }
    /// Which tokens see which.
    func visibility(of input: ModelInput) -> AttentionVisibility
}

extension TransformerStack {
    public var blockCount: Int { blocks.count }

    public func block(
        _ index: Int, _ value: Tensor, _ input: ModelInput, _ pass: Pass
    ) -> Tensor {
        blocks[index](value, visibility(of: input), pass.within(input.documents))
    }
}

// MARK: Several documents in a sequence

extension ModelInput {
    /// Of rows that hold several documents: `segments` and `positions` [sequences, tokens]; nil where there are none.
    public var documents: PackedDocuments? {
        fields["segments"].map { PackedDocuments(segments: $0, positions: self["positions"]) }
    }
}

// MARK: Encoders

/// A model whose every token sees the whole text: what it makes of a text stands for it.
public protocol TextEncoder: Model where Value == Tensor {
    /// The most tokens it takes.
    var contextLength: Int { get }
}

extension TextEncoder {
    /// The last hidden states [sequences, tokens, width], those of padding among them; no gradient is kept.
    public func hiddenStates(_ input: ModelInput) -> Tensor { value(of: input, Pass()) }
}

extension ModelInput {
    /// Every token sees every token of its sequence that exists: `lengths` [sequences], where there is padding.
    public var visibleToAll: AttentionVisibility {
        AttentionVisibility(
            causal: false, keyRanges: fields["lengths"]?.integers.map { $0.map { 0..<Int($0) } })
    }
}
