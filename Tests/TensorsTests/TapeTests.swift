import Tensors
import Testing

/// Seam 3: the tape is explicit, several may be alive, and a backward pass starts from several outputs,
/// returns the gradients of chosen inputs, and announces each leaf once, in a fixed order.
@Suite struct TapeTests {
    private func values(_ tensor: Tensor) -> [Float] { tensor.array }

    @Test func aValueUsedTwiceGathersBothGradients() {
        let tape = Tape()
        let x = tape.watch(Tensor([1, 2, 3], shape: [3]))
        let doubled = add(x, x, tape: tape)
        let tripled = add(doubled, x, tape: tape)
        let gradient = tape.backward(
            from: [(tripled, Tensor([1, 10, 100], shape: [3]))], wanted: [x])
        #expect(values(gradient[0]) == [3, 30, 300])
    }

    @Test func gradientsOfSeveralOutputsMeet() {
        let tape = Tape()
        let x = tape.watch(Tensor([1, 2], shape: [2]))
        let y = tape.watch(Tensor([5, 6], shape: [2]))
        let sum = add(x, y, tape: tape)
        let more = add(sum, y, tape: tape)
        let gradients = tape.backward(
            from: [
                (sum, Tensor([1, 2], shape: [2])), (more, Tensor([10, 20], shape: [2])),
            ], wanted: [x, y])
        #expect(values(gradients[0]) == [11, 22])
        #expect(values(gradients[1]) == [21, 42])
    }

    @Test func theGivenGradientIsNotWrittenTo() {
        let tape = Tape()
        let x = tape.watch(Tensor([1, 2], shape: [2]))
        let upstream = Tensor([1, 1], shape: [2])
        let y = add(add(x, x, tape: tape), x, tape: tape)
        tape.backward(from: [(y, upstream)])
        #expect(values(upstream) == [1, 1])
    }

    @Test func anInputThatNothingReachesHasAGradientOfZero() {
        let tape = Tape()
        let (x, unused) = (
            tape.watch(Tensor([1], shape: [1])), tape.watch(Tensor([1, 1], shape: [2]))
        )
        let y = add(x, x, tape: tape)
        let gradients = tape.backward(from: [(y, Tensor([1], shape: [1]))], wanted: [unused])
        #expect(values(gradients[0]) == [0, 0])
    }

    @Test func twoTapesDoNotMeet() {
        let (first, second) = (Tape(), Tape())
        let constant = Tensor([2, 3], shape: [2])
        let a = first.watch(constant)
        let b = second.watch(constant)
        let ya = add(a, a, tape: first)
        let yb = add(b, add(b, b, tape: second), tape: second)
        let one = Tensor([1, 1], shape: [2])
        #expect(values(second.backward(from: [(yb, one)], wanted: [b])[0]) == [3, 3])
        #expect(values(first.backward(from: [(ya, one)], wanted: [a])[0]) == [2, 2])
    }

    @Test func leavesAreAnnouncedOnceWhenTheirLastContributionIsIn() {
        let early = Leaf(Tensor([Float](repeating: 1, count: 4), shape: [2, 2]))
        let late = Leaf(Tensor([Float](repeating: 1, count: 4), shape: [2, 2]))
        let ids = Tensor(integers: [0, 1], shape: [2])
        let tape = Tape()
        let x = embedding(ids, table: early, tokens: TokenSlices(1), tape: tape)
        let y = add(embedding(ids, table: late, tokens: TokenSlices(1), tape: tape), x, tape: tape)
        let z = add(y, embedding(ids, table: early, tokens: TokenSlices(1), tape: tape), tape: tape)
        var announced: [ObjectIdentifier] = []
        tape.backward(from: [(z, Tensor([1, 1, 1, 1], shape: [2, 2]))]) {
            announced.append(ObjectIdentifier($0))
        }
        #expect(announced == [ObjectIdentifier(late), ObjectIdentifier(early)])
        #expect(early.gradient.map(values) == [2, 2, 2, 2])
        #expect(late.gradient.map(values) == [1, 1, 1, 1])
    }

    /// Seam 5: a frozen leaf takes no gradient and is never announced.
    @Test func aFrozenLeafIsSkipped() {
        let frozen = Leaf(Tensor([1, 2], shape: [1, 2]), isTrainable: false)
        let tape = Tape()
        let x = tape.watch(Tensor([1, 1], shape: [1, 2]))
        let y = add(
            x,
            embedding(
                Tensor(integers: [0], shape: [1]), table: frozen, tokens: TokenSlices(1), tape: tape
            ), tape: tape)
        var announced = 0
        let gradients = tape.backward(
            from: [(y, Tensor([3, 4], shape: [1, 2]))], wanted: [x]
        ) { _ in announced += 1 }
        #expect(values(gradients[0]) == [3, 4])
        #expect(frozen.gradient == nil && announced == 0)
    }

    @Test func contributionsAccumulateUntilAccumulationBeginsAnew() {
        let table = Leaf(Tensor([1, 2], shape: [1, 2]))
        func run() {
            let tape = Tape()
            let y = embedding(
                Tensor(integers: [0], shape: [1]), table: table, tokens: TokenSlices(1), tape: tape)
            tape.backward(from: [(y, Tensor([1, 10], shape: [1, 2]))])
        }
        run()
        run()
        #expect(table.gradient.map(values) == [2, 20])
        table.beginAccumulation()
        run()
        #expect(table.gradient.map(values) == [1, 10])
    }

    @Test func withoutATapeNothingIsRecorded() {
        let table = Leaf(Tensor([1, 2], shape: [1, 2]))
        _ = embedding(
            Tensor(integers: [0], shape: [1]), table: table, tokens: TokenSlices(1), tape: nil)
        #expect(table.gradient == nil)
    }
}
