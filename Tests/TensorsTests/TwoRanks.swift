import Dispatch
import Foundation
import Tensors

/// Two ranks that are threads of this process, as far as a `SliceSum` needs them: each holds half of
/// four slices.
final class TwoRanks: @unchecked Sendable {
    private let lock = NSLock()
    private var messages: [[[Float]]] = [[], []]
    private let arrived = [DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)]

    /// Gives the other rank `mine` and takes what it gives; every rank does so in the same order.
    fileprivate func exchange(_ mine: [Float], rank: Int) -> [Float] {
        lock.withLock { messages[1 - rank].append(mine) }
        arrived[1 - rank].signal()
        arrived[rank].wait()
        return lock.withLock { messages[rank].removeFirst() }
    }

    /// Runs `body` as both ranks; what they return, by rank.
    static func run<Result: Sendable>(_ body: @escaping @Sendable (RankSum) -> Result) -> [Result] {
        let ranks = TwoRanks()
        let results = Results<Result>()
        let done = DispatchSemaphore(value: 0)
        for rank in 0..<2 {
            let thread = Thread {
                results.set(body(RankSum(rank: rank, ranks: ranks)), rank: rank)
                done.signal()
            }
            thread.stackSize = 8 << 20
            thread.start()
        }
        for _ in 0..<2 { done.wait() }
        return results.all
    }

    private final class Results<Result: Sendable>: @unchecked Sendable {
        private let lock = NSLock()
        private var results: [Result?] = [nil, nil]

        func set(_ result: Result, rank: Int) { lock.withLock { results[rank] = result } }

        var all: [Result] { lock.withLock { results.compactMap { $0 } } }
    }
}

/// One of them.
final class RankSum: SliceSum {
    let rank: Int
    let sliceCount = 4
    /// Exchanges of sums so far.
    private(set) var sums = 0
    private let ranks: TwoRanks

    init(rank: Int, ranks: TwoRanks) { (self.rank, self.ranks) = (rank, ranks) }

    var localSlices: Range<Int> { 2 * rank..<2 * rank + 2 }

    func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void {
        precondition(borders == nil, "RankSum: every token is expected on both ranks")
        sums += 1
        let other = ranks.exchange(Tensor.floats(of: root), rank: rank)
        return { for index in 0..<root.count { root.floats[index] += other[index] } }
    }

    func finishMaximum(_ root: Buffer) {
        let other = ranks.exchange(Tensor.floats(of: root), rank: rank)
        for index in 0..<root.count { root.floats[index] = max(root.floats[index], other[index]) }
    }

    func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {
        let other = ranks.exchange(Tensor.floats(of: rows), rank: rank)
        for index in 0..<rows.count where !localSlices.contains(slice(index / width)) {
            rows.floats[index] = other[index]
        }
    }

    func gather(_ elements: Buffer, borders: [Int]) {
        preconditionFailure("RankSum: every token is expected on both ranks")
    }
}

extension Tensor {
    fileprivate static func floats(of buffer: Buffer) -> [Float] {
        Array(UnsafeBufferPointer(start: buffer.floats, count: buffer.count))
    }
}
