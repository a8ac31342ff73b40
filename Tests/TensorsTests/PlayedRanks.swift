import Foundation
import Tensors

/// Ranks that are threads of this process, as far as a `SliceSum` needs them: each holds as many slices as the others.
final class PlayedRanks: @unchecked Sendable {
    private let size: Int
    private let condition = NSCondition()
    private var rounds: [[[Float]?]] = []

    private init(size: Int) { self.size = size }

    /// Gives all ranks `mine`; what each gave, by rank. Every rank does so in the same order.
    fileprivate func exchange(_ mine: [Float], rank: Int, round: Int) -> [[Float]] {
        condition.lock()
        defer { condition.unlock() }
        if rounds.count == round { rounds.append([[Float]?](repeating: nil, count: size)) }
        rounds[round][rank] = mine
        condition.broadcast()
        while rounds[round].contains(where: { $0 == nil }) { condition.wait() }
        return rounds[round].compactMap { $0 }
    }

    /// Runs `body` as every rank; what they return, by rank.
    static func run<Result: Sendable>(
        _ size: Int, slices: Int, _ body: @escaping @Sendable (PlayedRank) -> Result
    ) -> [Result] {
        let ranks = PlayedRanks(size: size)
        let results = Results<Result>(size)
        let done = DispatchSemaphore(value: 0)
        for rank in 0..<size {
            let thread = Thread {
                results.set(body(PlayedRank(rank, of: ranks, slices: slices)), rank: rank)
                done.signal()
            }
            thread.stackSize = 8 << 20
            thread.start()
        }
        for _ in 0..<size { done.wait() }
        return results.all
    }

    private final class Results<Result: Sendable>: @unchecked Sendable {
        private let lock = NSLock()
        private var results: [Result?]

        init(_ size: Int) { results = Array(repeating: nil, count: size) }

        func set(_ result: Result, rank: Int) { lock.withLock { results[rank] = result } }

        var all: [Result] { lock.withLock { results.compactMap { $0 } } }
    }

    fileprivate var count: Int { size }
}

/// One of them.
final class PlayedRank: SliceSum {
    let sliceCount: Int
    let localSlices: Range<Int>
    private let rank: Int
    private let ranks: PlayedRanks
    private var round = 0

    fileprivate init(_ rank: Int, of ranks: PlayedRanks, slices: Int) {
        (self.rank, self.ranks, sliceCount) = (rank, ranks, slices)
        let held = slices / ranks.count
        localSlices = rank * held..<(rank + 1) * held
    }

    private func exchange(_ buffer: Buffer) -> [[Float]] {
        defer { round += 1 }
        let tensor = Tensor(buffer: buffer, shape: [buffer.count])
        return ranks.exchange(tensor.array, rank: rank, round: round)
    }

    func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void {
        precondition(borders == nil, "PlayedRank: every token is expected on all ranks")
        var sums = exchange(root)
        while sums.count > 1 {
            sums = stride(from: 0, to: sums.count, by: 2).map { pair in
                zip(sums[pair], sums[pair + 1]).map { $0 + $1 }
            }
        }
        let sum = sums[0]
        return { for index in 0..<root.count { root.floats[index] = sum[index] } }
    }

    func finishMaximum(_ root: Buffer) {
        preconditionFailure("PlayedRank: no maxima are expected")
    }

    func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {
        preconditionFailure("PlayedRank: no rows are expected")
    }

    func gather(_ elements: Buffer, borders: [Int]) {
        let all = exchange(elements)
        let held = localSlices.count
        for (rank, given) in all.enumerated() where rank != self.rank {
            let part = borders[rank * held]..<borders[(rank + 1) * held]
            let values = Tensor(Array(given[part]), shape: [part.count])
                .converted(to: elements.dtype)
            elements[part].copyBytes(from: values.buffer)
        }
    }
}
