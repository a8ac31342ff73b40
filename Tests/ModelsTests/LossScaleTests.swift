import Layers
import Models
import Optimizers
import Tensors
import Testing

/// A loss scale is a power of two: it must not show in an update, as long as Float16 can hold what is
/// stored. docs/numerics.md, "Loss scaling and skipped steps".
@Suite struct LossScaleTests {
    /// What Float16 holds of the gradients that a backward pass stored: where a number is subnormal,
    /// infinite, or zero at one scale only, another scale gives other bits.
    private struct Census: Equatable {
        var stored = 0
        var subnormal = 0
        var infinite = 0
        var zero = 0

        func losesNothing(beside other: Census) -> Bool {
            subnormal == 0 && infinite == 0 && other.subnormal == 0 && other.infinite == 0
                && zero == other.zero
        }
    }

    private struct Outcome {
        /// Bits of all weights after each step.
        var weights: [[UInt32]] = []
        /// Bits of all stored gradients of each step, divided by the scale.
        var gradients: [[UInt32]] = []
        var census: [Census] = []
    }

    /// A language model without attention. (A query that sees a single key has a gradient of zero in
    /// theory and of rounding noise in practice, which is subnormal at any scale.)
    private final class Network: Model {
        private let numerics = Numerics(slices: 4)
        private let table: Embedding
        private let norms: [LayerNorm]
        private let layers: [FeedForward]

        init() {
            let numerics = numerics
            table = Embedding(
                "table", count: 61, width: 24, deviation: 0.5, isSharded: true, numerics: numerics)
            norms = (0..<3).map { LayerNorm("norm.\($0)", width: 24, numerics: numerics) }
            layers = (0..<2).map {
                FeedForward(
                    "layer.\($0)", width: 24, inner: 96, activation: .geluTanh, dropout: 0,
                    deviation: 0.2, residualDeviation: 0.2, numerics: numerics)
            }
        }

        var parameters: [Parameter] {
            table.parameters + norms.flatMap(\.parameters) + layers.flatMap(\.parameters)
        }
        var tensorPlan: [TensorSplit] { [] }
        var blockCount: Int { layers.count }
        var output: OutputProjection { OutputProjection(table.weight, numerics: numerics) }

        func begin(_ input: ModelInput, _ pass: Pass) -> Tensor { table(input["tokens"], pass) }

        func block(
            _ index: Int, _ value: Tensor, _ input: ModelInput, _ pass: Pass
        ) -> Tensor {
            layers[index](norms[index](value, pass), residual: value, pass)
        }

        func end(_ value: Tensor, _ input: ModelInput, _ pass: Pass) -> Tensor {
            norms[2](value, pass)
        }
    }

    /// Steps of plain gradient descent at one scale.
    private func train(scale: Float, storage: DType, steps: Int = 20) throws -> Outcome {
        let model = Network()
        var masters = model.parameters.map { parameter in
            let master = Tensor(uninitialized: parameter.leaf.shape)
            parameter.initialize(0..<parameter.count, seed: 3, into: master.buffer)
            return master
        }
        let input = try Reference().input()
        var outcome = Outcome()
        for _ in 0..<steps {
            for (parameter, master) in zip(model.parameters, masters) {
                parameter.leaf.bind(master.converted(to: storage))
                parameter.leaf.beginAccumulation()
            }
            var (census, stored) = (Census(), [UInt32]())
            let tape = Tape()
            tape.observer = { gradient in
                guard gradient.dtype == .float16 else { return }
                for value in gradient.array {
                    census.stored += 1
                    if value == 0 { census.zero += 1 }
                    if value != 0 && value.magnitude < 0x1p-14 { census.subnormal += 1 }
                    if !value.isFinite { census.infinite += 1 }
                    stored.append((value / scale).bitPattern)
                }
            }
            let loss = causalLoss(model, of: input, Pass(tape: tape))
            tape.backward(from: [(loss, Tensor([scale / 32], shape: []))])
            masters = zip(model.parameters, masters).map { parameter, master in
                let gradient = parameter.leaf.gradient!.array
                return Tensor(
                    zip(master.array, gradient).map { $0 - 0.05 * ($1 / scale) },
                    shape: master.shape)
            }
            outcome.weights.append(masters.flatMap { $0.array.map(\.bitPattern) })
            outcome.gradients.append(stored)
            outcome.census.append(census)
        }
        return outcome
    }

    @Test(arguments: [1, 1024, 65536] as [Float])
    func float32HidesTheScale(scale: Float) throws {
        let once = try train(scale: scale, storage: .float32)
        #expect(try once.weights == train(scale: 2 * scale, storage: .float32).weights)
        let other = try train(scale: 3 * scale, storage: .float32, steps: 1)
        #expect(other.weights[0] != once.weights[0], "control: no power of two")
    }

    /// Twenty steps at S and at 2S, with every gradient that Float16 stored looked at.
    @Test func halvesHideTheScaleWhereTheyLoseNothing() throws {
        let once = try train(scale: 0x1p17, storage: .float16)
        let twice = try train(scale: 0x1p18, storage: .float16)
        #expect(once.census.allSatisfy { $0.stored > 20_000 })
        for (low, high) in zip(once.census, twice.census) {
            #expect(low.losesNothing(beside: high), "\(low) \(high)")
        }
        #expect(once.gradients == twice.gradients)
        #expect(once.weights == twice.weights)
        #expect(Set(once.weights).count == 20, "control: it learns")
    }

    /// The control: scales that Float16 cannot hold are seen in the census and in the bits.
    @Test(arguments: [(1 / 64, 1 / 32), (0x1p20, 0x1p21)] as [(Float, Float)])
    func halvesShowAScaleThatIsTooLowOrTooHigh(first: Float, second: Float) throws {
        let once = try train(scale: first, storage: .float16, steps: 1)
        let twice = try train(scale: second, storage: .float16, steps: 1)
        #expect(!once.census[0].losesNothing(beside: twice.census[0]))
        #expect(once.weights != twice.weights)
    }
}
