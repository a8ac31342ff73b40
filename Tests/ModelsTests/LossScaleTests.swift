import Layers
import Models
import Optimizers
import Tensors
import Testing

/// A loss scale is a power of two: it must not show in an update, as long as Float16 can hold what is
/// stored. docs/numerics.md, "Float16 storage".
@Suite struct LossScaleTests {
    /// What Float16 does to a scaled gradient that a higher scale would have saved, or a lower one.
    private struct Census: Equatable {
        var subnormal = 0
        var infinite = 0
        var zero = 0
        var stored = 0
    }

    /// Twenty steps of plain gradient descent at one scale; the weights' bits after each, and what was
    /// stored on the way.
    private func train(
        scale: Float, storage: DType, steps: Int = 20
    ) throws -> (weights: [[UInt32]], gradients: [[UInt32]], census: [Census]) {
        let reference = try Reference()
        let model = GPT(Reference.shape, numerics: Numerics(slices: 4))
        try reference.fill(model, bind: true)
        var masters = model.parameters.map { $0.leaf.value }
        let input = try reference.input()
        var result: (weights: [[UInt32]], gradients: [[UInt32]], census: [Census]) = ([], [], [])
        for _ in 0..<steps {
            for (parameter, master) in zip(model.parameters, masters) {
                parameter.leaf.bind(master.converted(to: storage))
                parameter.leaf.beginAccumulation()
            }
            var census = Census()
            var stored: [UInt32] = []
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
            let loss = model.loss(of: input, Pass(tape: tape))
            tape.backward(from: [(loss, Tensor([scale / 32], shape: []))])
            masters = zip(model.parameters, masters).map { parameter, master in
                let gradient = parameter.leaf.gradient!.array
                return Tensor(
                    zip(master.array, gradient).map { $0 - 0.05 * ($1 / scale) },
                    shape: master.shape)
            }
            result.weights.append(masters.flatMap { $0.array.map(\.bitPattern) })
            result.gradients.append(stored)
            result.census.append(census)
        }
        return result
    }

    @Test(arguments: [1, 1024, 65536] as [Float])
    func float32HidesTheScale(scale: Float) throws {
        let (once, twice) = (
            try train(scale: scale, storage: .float32),
            try train(scale: 2 * scale, storage: .float32)
        )
        #expect(once.weights == twice.weights)
        let other = try train(scale: 3 * scale, storage: .float32, steps: 1)
        #expect(other.weights != Array(once.weights.prefix(1)), "control: no power of two")
    }

    /// Step by step from the same weights on: where both scales store no subnormal, no infinity, and the
    /// same zeros, the updates have the same bits; where they do not, the stored gradients differ.
    @Test func halvesHideTheScaleWhereTheyLoseNothing() throws {
        let once = try train(scale: 4096, storage: .float16)
        let twice = try train(scale: 8192, storage: .float16)
        var clean = 0
        for step in 0..<20 {
            // Weights that differ once differ from then on.
            guard step == 0 || once.weights[step - 1] == twice.weights[step - 1] else { break }
            let (low, high) = (once.census[step], twice.census[step])
            #expect(low.stored > 10_000 && low.stored == high.stored)
            let losesNothing =
                low.subnormal == 0 && high.subnormal == 0 && low.infinite == 0
                && high.infinite == 0 && low.zero == high.zero
            if losesNothing {
                #expect(once.weights[step] == twice.weights[step], "step \(step)")
                #expect(once.gradients[step] == twice.gradients[step])
                clean += 1
            }
        }
        #expect(clean == 20, "\(once.census) \(twice.census)")
    }

    /// The control: scales that Float16 cannot hold are seen in the census and in the bits.
    @Test(arguments: [(1 / 64, 1 / 32), (0x1p19, 0x1p20)] as [(Float, Float)])
    func halvesShowAScaleThatIsTooLowOrTooHigh(first: Float, second: Float) throws {
        let once = try train(scale: first, storage: .float16, steps: 1)
        let twice = try train(scale: second, storage: .float16, steps: 1)
        let (low, high) = (once.census[0], twice.census[0])
        #expect(low.subnormal > 0 || high.infinite > 0)
        #expect(once.weights != twice.weights)
    }
}
