// The counters of dropout's random numbers: within the limits no two pairs of a step share one.

import Kernels
import Testing

@Suite(.everyCompilation) struct AttentionDropoutTests {
    /// Index of the pair (position, key) of a sequence's head.
    private func index(_ pair: Int, _ position: Int, _ key: Int) -> UInt64 {
        AttentionDropout(
            rate: 0.1, seed: 1, stream: 2, firstSequence: pair / 4, heads: [pair % 4],
            globalHeadCount: 4
        ).firstIndex(sequence: 0, head: 0, position: position) + UInt64(key)
    }

    /// The corners of what is allowed, and their neighbours.
    @Test func pairsWithinTheLimitsHaveIndicesOfTheirOwn() {
        let (positions, pairs) = (AttentionDropout.positionLimit, AttentionDropout.pairLimit)
        func corners(_ limit: Int) -> [Int] { [0, 1, 2, limit / 2, limit - 2, limit - 1] }
        let indices = corners(pairs).flatMap { pair in
            corners(positions).flatMap { position in
                corners(positions).map { index(pair, position, $0) }
            }
        }
        #expect(Set(indices).count == indices.count)
        #expect(index(0, positions, 0) == index(0, 0, 0), "control: positions come again")
        #expect(index(0, 0, positions) == index(0, 1, 0), "control: so do keys")
        #expect(index(pairs, 0, 0) == index(0, 0, 0), "control: so do sequences and heads")
    }
}
