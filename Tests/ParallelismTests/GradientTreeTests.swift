import Parallelism
import Tensors
import Testing

@Suite struct GradientTreeTests {
    private static let count = 70_001

    /// The gradient of a group: magnitudes from 2⁻¹⁶ to 2¹⁵, so that every order of additions shows.
    private func gradient(of group: Int, seed: UInt32) -> [Float] {
        var state = seed &+ UInt32(group) &* 2_654_435_761
        return (0..<Self.count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            let exponent = Int(state >> 27) - 16
            return Float(sign: state & 1 == 0 ? .plus : .minus, exponent: exponent, significand: 1)
                * (1 + Float(state >> 8 & 0xFFFF) / 65_536)
        }
    }

    private func expected(_ groups: Range<Int>, seed: UInt32) -> [Float] {
        guard groups.count > 1 else { return gradient(of: groups.lowerBound, seed: seed) }
        let middle = groups.lowerBound + groups.count / 2
        return zip(
            expected(groups.lowerBound..<middle, seed: seed),
            expected(middle..<groups.upperBound, seed: seed)
        ).map { $0 + $1 }
    }

    private func fill(_ buffer: Buffer, _ values: [Float]) {
        for (index, value) in values.enumerated() { buffer.floats[index] = value }
    }

    private func contents(_ buffer: Buffer) -> [Float] {
        Tensor(buffer: buffer, shape: [buffer.count]).array
    }

    /// Two steps on one tree, the root folded in parts of odd sizes from the end, as buckets are.
    @Test(arguments: [1, 2, 4, 8, 16])
    func groupsAreAddedAsABinaryTree(groups: Int) throws {
        let tree = GradientTree(count: Self.count) { Buffer.cleared(count: Self.count) }
        for seed in [UInt32(1), 2] {
            try tree.reset()
            for group in 0..<groups {
                tree.beginGroup()
                fill(tree.current, gradient(of: group, seed: seed))
            }
            for range in [40_003..<Self.count, 17..<40_003, 0..<17] { tree.fold(range) }
            let found = contents(tree.root)
            // Not compared in the expectation, which would list the differences of 70,001 elements.
            let isTree = found == expected(0..<groups, seed: seed)
            #expect(isTree)
            let inOrder = (1..<groups).reduce(gradient(of: 0, seed: seed)) { sum, group in
                zip(sum, gradient(of: group, seed: seed)).map { $0 + $1 }
            }
            #expect((found == inOrder) == (groups <= 2), "control: another order, the same bits")
        }
    }

    /// A range that is not folded holds the oldest group still.
    @Test func partsThatAreNotFoldedAreLeftAlone() throws {
        let tree = GradientTree(count: Self.count) { Buffer.cleared(count: Self.count) }
        try tree.reset()
        for group in 0..<2 {
            tree.beginGroup()
            fill(tree.current, gradient(of: group, seed: 1))
        }
        tree.fold(100..<200)
        let (found, first) = (contents(tree.root), gradient(of: 0, seed: 1))
        let sum = expected(0..<2, seed: 1)
        #expect(found[..<100] == first[..<100] && found[200...] == first[200...])
        #expect(found[100..<200] == sum[100..<200] && sum[100..<200] != first[100..<200])
    }
}
