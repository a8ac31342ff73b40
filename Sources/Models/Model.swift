import Layers
import Tensors

/// One micro-batch as a model sees it: named integer tensors and a weight for each target. A trainer
/// passes it on and knows neither tokens nor logits.
public struct ModelInput {
    /// Int32 tensors by name: `tokens`, `targets` [sequences, tokens]; a later family has its own.
    public let integers: [String: Tensor]
    /// Float32, one a target; 0 leaves a position out.
    public let weights: Tensor

    public init(integers: [String: Tensor], weights: Tensor) {
        (self.integers, self.weights) = (integers, weights)
    }

    public subscript(name: String) -> Tensor {
        guard let tensor = integers[name] else {
            preconditionFailure("ModelInput: expected \(name), found \(integers.keys.sorted())")
        }
        return tensor
    }
}

/// What of a transformer block is made again in the backward pass instead of being kept: memory for
/// time. It changes no bit.
public enum Recompute: String, Sendable, CaseIterable {
    case none
    /// The attention half.
    case attention
    case block
}

/// A model: an ordered list of blocks with a typed value between them, which is where a pipeline may
/// cut it. Single-process code: it knows no rank and no group.
public protocol Model: AnyObject {
    associatedtype Value

    /// Every parameter once, in the order of the forward pass.
    var parameters: [Parameter] { get }
    var blockCount: Int { get }

    /// What goes into block 0.
    func begin(_ input: ModelInput, _ pass: Pass) -> Value
    func block(_ index: Int, _ value: Value, _ pass: Pass) -> Value
    /// From what comes out of the last block: the weighted sum of the losses, a Float64 scalar.
    func loss(_ value: Value, _ input: ModelInput, _ pass: Pass) -> Tensor
    /// What a value between blocks consists of, for a search through it.
    func tensors(of value: Value) -> [Tensor]
}

extension Model where Value == Tensor {
    public func tensors(of value: Tensor) -> [Tensor] { [value] }
}

extension Model {
    /// The weighted sum of the losses of one micro-batch, a Float64 scalar.
    public func loss(of input: ModelInput, _ pass: Pass) -> Tensor {
        let value = (0..<blockCount).reduce(begin(input, pass)) { block($1, $0, pass) }
        return loss(value, input, pass)
    }

    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }
}

/// What generation carries from token to token. It holds the tokens so far; keys and values of earlier
/// positions can join them here without a change to any caller.
public struct DecodingState: Sendable {
    public internal(set) var tokens: [Int32] = []

    public init() {}
}

/// A model that continues a text.
public protocol Generative: Model {
    /// The most tokens it can look back on.
    var contextLength: Int { get }
    var vocabularySize: Int { get }
    /// Appends `tokens` to the state and returns the logits of the token after them, [vocabulary]. No
    /// gradient is kept.
    func nextLogits(after tokens: [Int32], state: inout DecodingState) -> Tensor
}
