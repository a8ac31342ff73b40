import Kernels
import Tensors

/// Layers of long short-term memory one on the other, with dropout between them, in one direction or two. Parameters
/// are named as in PyTorch's module: `weight_ih_l0`, …, `bias_hh_l1_reverse`.
public struct LSTMStack: Layer {
    /// Which layers also go backwards; their two outputs stand side by side, forwards first.
    public enum Bidirectional: Sendable {
        case none
        /// The lowest alone (Wu et al. 2016, section 3.2).
        case first
        case all
    }

    /// From the lowest, each forwards and, where it has one, backwards.
    public let layers: [[LSTM]]
    private let dropouts: [Dropout]

    /// - Parameters:
    ///   - dropout: the rate at the output of every layer but the last.
    ///   - deviation: of all weights.
    public init(
        _ name: String, inputs: Int, units: Int, layers count: Int,
        bidirectional: Bidirectional = .none, dropout: Float, deviation: Float,
        numerics: Numerics
    ) {
        precondition(count > 0, "LSTMStack: expected at least one layer, got \(count)")
        var layers: [[LSTM]] = []
        for layer in 0..<count {
            let isDouble =
                switch bidirectional {
                case .none: false
                case .first: layer == 0
                case .all: true
                }
            let below = layers.last.map { $0.count * units } ?? inputs
            let directions: [(LSTMDirection, String)] =
                [(.forwards, "_l\(layer)")] + (isDouble ? [(.backwards, "_l\(layer)_reverse")] : [])
            layers.append(
                directions.map { direction, suffix in
                    LSTM(
                        name, suffix: suffix, inputs: below, units: units, direction: direction,
                        deviation: deviation, numerics: numerics)
                })
        }
        self.layers = layers
        dropouts = (0..<count - 1).map { Dropout("\(name).dropout_l\($0)", rate: dropout) }
    }

    public var parameters: [Parameter] { layers.flatMap { $0.flatMap(\.parameters) } }

    /// x [sequences, tokens, inputs], every token of which is here → [sequences, tokens, units or twice as many], and
    /// the last states by layer and direction.
    ///
    /// - Parameter initial: by layer and direction; nil: zeros.
    public func callAsFunction(
        _ x: Tensor, initial: [[LSTMState]]? = nil, lengths: Tensor? = nil,
        truncation: Int? = nil, _ pass: Pass
    ) -> (hidden: Tensor, last: [[LSTMState]]) {
        precondition(
            (initial ?? []).map(\.count) == (initial == nil ? [] : layers.map(\.count)),
            "LSTMStack: expected an initial state of each layer and direction")
        var (hidden, last) = (x, [[LSTMState]]())
        for (number, layer) in layers.enumerated() {
            let outputs = layer.enumerated().map { direction, lstm in
                lstm(
                    hidden, initial: initial?[number][direction], lengths: lengths,
                    truncation: truncation, pass)
            }
            hidden = sideBySide(outputs.map(\.hidden), pass)
            if number < dropouts.count { hidden = dropouts[number](hidden, pass) }
            last.append(outputs.map(\.last))
        }
        return (hidden, last)
    }

    /// One tensor as it is; the features of two behind each other.
    private func sideBySide(_ parts: [Tensor], _ pass: Pass) -> Tensor {
        guard parts.count == 2 else { return parts[0] }
        let shape = parts[0].shape
        let rows = parts.map { $0.reshaped([shape[0] * shape[1], 1, shape[2]]) }
        return concatenate(rows[0], rows[1], tape: pass.tape)
            .reshaped([shape[0], shape[1], 2 * shape[2]])
    }
}
