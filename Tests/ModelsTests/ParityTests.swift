import Communication
import Layers
import Models
import Optimizers
import Parallelism
import Tensors
import Testing

/// docs/numerics.md, "How it is proved", items 2 and 4: the whole model against PyTorch in Float64, at
/// the tolerances given there, each with a control that must fail.
@Suite struct ParityTests {
    let reference: Reference
    let model: GPT

    init() throws {
        reference = try Reference()
        model = GPT(Reference.shape, numerics: Numerics(slices: 4))
    }

    @Test func logitsWithinOneInTenThousand() throws {
        try reference.fill(model, bind: true)
        let logits = model.logits(try reference.input()).array
        try reference.expectLogits(logits, other: 1)
    }

    @Test func lossAndEveryGradient() throws {
        try reference.fill(model, bind: true)
        let tape = Tape()
        let loss = causalLoss(model, of: try reference.input(), Pass(tape: tape))
        try reference.expectLoss(loss.buffer.doubles[0] / 39)
        tape.backward(from: [(loss, Tensor([1.0 / 39], shape: []))])
        try reference.expectGradients(
            model.parameters.map { $0.leaf.gradient!.array }, of: model)
    }

    @Test(arguments: [true, false]) func tenOptimizerSteps(decays: Bool) throws {
        let replica = try Replica(
            model, objective: CausalLanguageModelling(),
            optimizer: AdamW(beta2: 0.95, weightDecay: decays ? 0.1 : 0),
            communicator: InProcess.alone(), bucketBytes: 4096)
        try reference.fill(model, bind: false)
        try reference.expectLosses(
            Reference.train(replica, on: reference.input()), agree: decays)
    }

    /// Float16 storage against the same fixture, at what eleven bits allow: a few hundredths of a percent
    /// of the loss, a percent of each gradient.
    @Test func halvesAreCloseToo() throws {
        try reference.fill(model, bind: true)
        for parameter in model.parameters {
            parameter.leaf.bind(parameter.leaf.value.converted(to: .float16))
        }
        let tape = Tape()
        let loss = causalLoss(model, of: try reference.input(), Pass(tape: tape))
        let expected = try reference.doubles("loss")[0]
        #expect(abs(loss.buffer.doubles[0] / 39 - expected) <= 5e-4 * expected)

        let scale: Float = 4096
        tape.backward(from: [(loss, Tensor([scale / 39], shape: []))])
        let gradients = try model.parameters.map { parameter in
            (parameter, try reference.doubles("gradient.\(parameter.name)"))
        }
        let total = norm(gradients.map { norm($1) })
        for (parameter, expected) in gradients {
            let gradient = parameter.leaf.gradient!
            #expect(gradient.dtype == .float32)
            let found = parameter.spec.logical(gradient.array.map { $0 / scale })
            #expect(
                isClose(found, expected, relative: 1e-2, absolute: 1e-4 * total),
                "\(parameter.name)")
            #expect(
                !isClose(found, expected, relative: 1e-5, absolute: 1e-7 * total)
                    || norm(expected) <= 1e-4 * total,
                "\(parameter.name): control: Float32's tolerance is met")
            let shuffled = Array(found.dropFirst() + found.prefix(1))
            #expect(
                !isClose(shuffled, expected, relative: 1e-2, absolute: 1e-4 * total),
                "\(parameter.name) shuffled")
        }
    }

    @Test func aFreshModelIsAsGoodAsChance() throws {
        let replica = try Replica(
            model, objective: CausalLanguageModelling(), optimizer: AdamW(),
            communicator: InProcess.alone(), bucketBytes: 1 << 20)
        try replica.initialize(seed: 7)
        let loss = causalLoss(model, of: try reference.input(), Pass()).float64 / 39
        #expect(abs(loss - 4.1109) < 0.1)  // ln 61
    }

    @Test func oneBatchCanBeLearntByHeart() throws {
        let replica = try Replica(
            model, objective: CausalLanguageModelling(), optimizer: AdamW(weightDecay: 0),
            communicator: InProcess.alone(),
            bucketBytes: 1 << 20)
        try replica.initialize(seed: 7)
        let input = try reference.input()
        var last = Double.infinity
        for _ in 0..<300 {
            try replica.beginStep()
            replica.beginGroup()
            last =
                try replica.accumulate(input, randomness: nil, scale: 1.0 / 39, isLast: true) / 39
            _ = try replica.agree(on: [])
            try replica.update(learningRate: 1e-2, gradientScale: 1)
        }
        #expect(last < 0.01)
    }
}
