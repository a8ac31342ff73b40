import Foundation
import Tensors

/// A layer of long short-term memory in Float64, from the equations of Hochreiter and Schmidhuber (1997) with the forget
/// gate of Gers et al. (2000), one number after the other; its gradients by central differences.
struct LSTMReference {
    var sequences = 3
    var tokens = 5
    var units = 5
    var lengths: [Int]?
    var isBackwards = false
    var truncation: Int?

    /// What a forward pass takes, in logical order: gates input, forget, candidate, output.
    struct Operands {
        /// [sequences, tokens, 4·units], [4·units, units], [4·units], [sequences, units] twice.
        var gates: [Double]
        var weight: [Double]
        var bias: [Double]
        var hidden: [Double]
        var cell: [Double]

        static var paths: [WritableKeyPath<Operands, [Double]>] {
            [\.gates, \.weight, \.bias, \.hidden, \.cell]
        }
    }

    struct Result {
        var hidden: [Double]
        var lastHidden: [Double]
        var lastCell: [Double]
        /// The states before each step, by sequence.
        var states: [[(hidden: [Double], cell: [Double])]] = []

        var all: [Double] { hidden + lastHidden + lastCell }
    }

    private func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    /// - Parameter fixed: states that are taken where gradients are cut, whatever the operands.
    func run(_ operands: Operands, fixed: Result? = nil) -> Result {
        var result = Result(
            hidden: [Double](repeating: 0, count: sequences * tokens * units),
            lastHidden: operands.hidden, lastCell: operands.cell)
        for sequence in 0..<sequences {
            let rows = sequence * units..<(sequence + 1) * units
            var state = (
                hidden: Array(operands.hidden[rows]), cell: Array(operands.cell[rows])
            )
            var states: [(hidden: [Double], cell: [Double])] = []
            let length = lengths?[sequence] ?? tokens
            for step in 0..<length {
                let isCut = truncation.map { step > 0 && step % $0 == 0 } ?? false
                if isCut, let fixed { state = fixed.states[sequence][step] }
                states.append(state)
                let token = isBackwards ? length - 1 - step : step
                let row = sequence * tokens + token
                state = self.step(operands, row, state)
                result.hidden.replaceSubrange(row * units..<(row + 1) * units, with: state.hidden)
            }
            result.states.append(states)
            result.lastHidden.replaceSubrange(rows, with: state.hidden)
            result.lastCell.replaceSubrange(rows, with: state.cell)
        }
        return result
    }

    private func step(
        _ operands: Operands, _ row: Int, _ state: (hidden: [Double], cell: [Double])
    ) -> (hidden: [Double], cell: [Double]) {
        var next = state
        for unit in 0..<units {
            let net = (0..<4).map { gate in
                let line = gate * units + unit
                return (0..<units).reduce(
                    operands.gates[row * 4 * units + line] + operands.bias[line]
                ) { $0 + operands.weight[line * units + $1] * state.hidden[$1] }
            }
            next.cell[unit] =
                logistic(net[1]) * state.cell[unit] + logistic(net[0]) * tangent(net[2])
            next.hidden[unit] = logistic(net[3]) * tangent(next.cell[unit])
        }
        return next
    }

    /// The gradients of Σ result·upstream, in the order of `Operands.paths`.
    func gradients(_ operands: Operands, _ upstream: [Double]) -> [[Double]] {
        let fixed = run(operands)
        func loss(_ operands: Operands) -> Double {
            zip(run(operands, fixed: fixed).all, upstream).reduce(0) { $0 + $1.0 * $1.1 }
        }
        return Operands.paths.map { path in
            operands[keyPath: path].indices.map { index in
                var (above, below) = (operands, operands)
                above[keyPath: path][index] += 1e-5
                below[keyPath: path][index] -= 1e-5
                return (loss(above) - loss(below)) / 2e-5
            }
        }
    }
}
