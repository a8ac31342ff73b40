import Tensors
import Testing

/// Recomputation keeps nothing of its body, and to gradients, their bits and the order of announcements
/// it is as if it were not there.
@Suite struct RecomputeTests {
    /// How a body is run: recorded, made again, or made again with an inner one that is too.
    enum Mode: CaseIterable { case kept, again, nested }

    private struct Network {
        let table = Network.leaf(1, [3, 4])
        let gains = [Network.leaf(2, [4]), Network.leaf(3, [4])]
        let biases = [Network.leaf(4, [4]), Network.leaf(5, [4])]

        static func leaf(_ seed: UInt64, _ shape: Shape) -> Leaf {
            var noise = Noise(seed: seed)
            return Leaf(Tensor(noise.floats(shape.count), shape: shape))
        }

        /// In the order of the forward pass.
        var leaves: [Leaf] { [table, gains[0], biases[0], gains[1], biases[1]] }

        func norm(_ index: Int, _ x: Tensor, _ tape: Tape?) -> Tensor {
            layerNorm(
                x, gain: gains[index], bias: biases[index], epsilon: 1e-5, tokens: TokenSlices(1),
                tape: tape)
        }

        /// x + norm₁(norm₀(x) + rows of the table) + y.
        func body(_ x: Tensor, _ y: Tensor, nested: Bool, _ tape: Tape?) -> Tensor {
            let rows = embedding(
                Tensor(integers: [2, 0], shape: [2]), table: table, tokens: TokenSlices(1),
                tape: tape)
            let inner: (Tape?) -> Tensor = { norm(1, add(norm(0, x, $0), rows, tape: $0), $0) }
            let normed =
                nested
                ? recompute(
                    inputs: [x, rows], leaves: Array(leaves.dropFirst()), tape: tape, inner)
                : inner(tape)
            return add(add(normed, x, tape: tape), y, tape: tape)
        }
    }

    private struct Outcome: Equatable {
        var values: [[UInt32]] = []
        /// Of leaves, nil where there is none, then of the two inputs.
        var gradients: [[UInt32]?] = []
        /// Numbers of leaves, in the order of announcement.
        var announced: [Int] = []
    }

    private func bits(_ tensor: Tensor) -> [UInt32] { tensor.array.map(\.bitPattern) }

    /// The body, then twice its output, the table's rows again and each input once more, so that inputs
    /// gather gradients before, in and after the body.
    private func run(_ mode: Mode, frozen: Set<Int> = [], skewed: Bool = false) -> Outcome {
        let network = Network()
        for index in frozen { network.leaves[index].isTrainable = false }
        var noise = Noise(seed: 9)
        let tape = Tape()
        let start = [0, 1].map { _ in tape.watch(Tensor(noise.floats(8), shape: [2, 4])) }
        let x = add(start[0], start[1], tape: tape)
        let y = add(x, start[1], tape: tape)
        var runs = 0
        let body: (Tape?) -> Tensor = { tape in
            runs += 1
            // The control: a body that is another function the second time.
            let first = skewed && runs == 2 ? y : x
            return network.body(first, y, nested: mode == .nested, tape)
        }
        let z =
            mode == .kept
            ? body(tape) : recompute(inputs: [x, y], leaves: network.leaves, tape: tape, body)
        let rows = embedding(
            Tensor(integers: [1, 0], shape: [2]), table: network.table, tokens: TokenSlices(1),
            tape: tape)
        let outputs = [
            z, add(add(z, z, tape: tape), rows, tape: tape),
            add(x, add(y, x, tape: tape), tape: tape),
        ]
        let upstream = outputs.map { _ in Tensor(noise.floats(8), shape: [2, 4]) }
        var outcome = Outcome(values: outputs.map(bits))
        let inputs = tape.backward(from: Array(zip(outputs, upstream)), wanted: start) { leaf in
            outcome.announced += network.leaves.indices.filter { network.leaves[$0] === leaf }
        }
        #expect(runs == (mode == .kept ? 1 : 2))
        outcome.gradients = network.leaves.map { $0.gradient.map(bits) } + inputs.map(bits)
        return outcome
    }

    @Test(arguments: [Mode.again, .nested]) func bitsAndOrderAreThoseWithout(mode: Mode) {
        let expected = run(.kept)
        #expect(expected.announced == [3, 4, 1, 2, 0])
        #expect(run(mode) == expected)
        #expect(run(mode, skewed: true).gradients != expected.gradients)
    }

    @Test(arguments: [Mode.again, .nested], [[0], [1, 4], [0, 1, 2, 3, 4]] as [Set<Int>])
    func frozenLeavesAreSkipped(mode: Mode, frozen: Set<Int>) {
        let found = run(mode, frozen: frozen)
        #expect(found == run(.kept, frozen: frozen))
        #expect(found.announced.allSatisfy { !frozen.contains($0) })
        #expect(found.announced.count == 5 - frozen.count)
        #expect(found.gradients != run(.kept).gradients, "control: nothing is frozen")
    }

    /// Of the forward pass only the inputs stay; without recomputation the same tensor does.
    @Test(arguments: [true, false]) func whatIsInsideIsNotKept(isMadeAgain: Bool) {
        let network = Network()
        let tape = Tape()
        let x = tape.watch(Tensor([1, 2, 3, 4], shape: [1, 4]))
        weak var hidden: Storage?
        let body: (Tape?) -> Tensor = { tape in
            let first = network.norm(0, x, tape)
            if hidden == nil { hidden = first.buffer.storage }
            return network.norm(1, first, tape)
        }
        let y =
            isMadeAgain
            ? recompute(inputs: [x], leaves: network.leaves, tape: tape, body) : body(tape)
        #expect((hidden == nil) == isMadeAgain)
        tape.backward(from: [(y, x.detached)])
        #expect(hidden == nil)
    }

    @Test func leavesThatNothingReachesAreAnnounced() {
        let network = Network()
        let tape = Tape()
        let x = tape.watch(Tensor([1, 2, 3, 4], shape: [1, 4]))
        // The output is not used; and of five leaves declared, one twice, two are used.
        _ = recompute(inputs: [x], leaves: network.leaves + network.gains, tape: tape) {
            network.norm(0, x, $0)
        }
        let used = recompute(inputs: [x], leaves: network.leaves + network.gains, tape: tape) {
            network.norm(1, x, $0)
        }
        var announced: [Int] = []
        tape.backward(from: [(used, x.detached)]) { leaf in
            announced += network.leaves.indices.filter { network.leaves[$0] === leaf }
        }
        #expect(announced.sorted() == [0, 1, 2, 3, 4])
        #expect(network.gains[0].gradient == nil && network.gains[1].gradient != nil)
    }

    @Test func withoutATapeTheBodyRunsOnce() {
        var runs = 0
        let y = recompute(inputs: [], leaves: [], tape: nil) { tape in
            runs += 1
            return add(Tensor([1], shape: [1]), Tensor([2], shape: [1]), tape: tape)
        }
        #expect(y.array == [3] && runs == 1)
    }
}
