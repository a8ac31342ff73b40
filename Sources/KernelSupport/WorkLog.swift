// What a thread's primitives ask for, written down while they run: or, in a *dry* log, instead of running.
// A plan of a run is such a log, replayed (`Training/Plan`); no model, layer or primitive has a second
// description for it.
//
// In a dry log a tensor has a shape and no memory: its pointer is an address that no process has. So
// whatever reads or writes elements does it inside of `parallelFor` (and what is built upon it: runs, rows,
// products) or of `serially`, which then return without having called their bodies.

import Glibc
import Synchronization

/// A record of one thread's work, from `record` on until it returns.
package final class WorkLog: Sendable {
    /// What a pool is asked for, in order.
    package enum Event: Equatable, Sendable {
        /// Bytes of a new block, whose number is the count of those before it.
        case take(bytes: Int)
        /// That number.
        case give(block: Int)
    }

    /// Multiply-adds count twice. In floating point: no shape, however large, overflows it.
    package struct Operations: Equatable, Sendable {
        /// Of products with weights.
        package var products = 0.0
        /// The same times the smaller extent of each weight.
        package var extentWeighted = 0.0
        /// Scores and weighted sums of attention, on the way forward: all pairs, hidden ones too.
        package var attention = 0.0
        /// Of all that ran a second time in order not to be kept; in none of the others.
        package var repeated = 0.0
    }

    private struct State {
        var events: [Event] = []
        var blockCount = 0
        var operations = Operations()
        var isRepeating = false
        var logitsBytes = 0
        /// Floats by depth of nesting, of the thread that calls and of each that helps.
        var scratch: [Int] = []
        var helperScratch = 0
        var depth = 0

        /// A block at the present depth.
        mutating func book(_ count: Int) {
            while scratch.count <= depth { scratch.append(0) }
            scratch[depth] = max(scratch[depth], count)
        }
    }

    package let isDry: Bool
    /// The threads that a dry log's kernels would have.
    package let threads: Int
    private let state = Mutex(State())

    package init(isDry: Bool, threads: Int = 1) { (self.isDry, self.threads) = (isDry, threads) }

    // MARK: The log of a thread

    /// Logs in any thread: while there are none, a question for the current one costs a relaxed load.
    private static let count = Atomic<Int>(0)

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key, nil)
        precondition(status == 0, "WorkLog: pthread_key_create returned \(status)")
        return key
    }()

    /// That of the calling thread, where it has one.
    package static var current: WorkLog? {
        guard count.load(ordering: .relaxed) > 0, let raw = pthread_getspecific(key) else {
            return nil
        }
        return Unmanaged<WorkLog>.fromOpaque(raw).takeUnretainedValue()
    }

    /// The same, where nothing is to be computed.
    package static var dry: WorkLog? {
        guard let log = current, log.isDry else { return nil }
        return log
    }

    /// Writes down what the calling thread does in `body`.
    package func record<Result>(_ body: () throws -> Result) rethrows -> Result {
        let outer = pthread_getspecific(WorkLog.key)
        WorkLog.count.wrappingAdd(1, ordering: .relaxed)
        pthread_setspecific(WorkLog.key, Unmanaged.passUnretained(self).toOpaque())
        defer {
            pthread_setspecific(WorkLog.key, outer)
            WorkLog.count.wrappingSubtract(1, ordering: .relaxed)
        }
        return try withExtendedLifetime(self, body)
    }

    // MARK: What is written down

    /// The number of a new block.
    package func take(_ bytes: Int) -> Int {
        state.withLock {
            $0.events.append(.take(bytes: bytes))
            $0.blockCount += 1
            return $0.blockCount - 1
        }
    }

    package func give(_ block: Int) { state.withLock { $0.events.append(.give(block: block)) } }

    /// One of a linear map's three products over so many rows.
    package func multiply(rows: Int, inputs: Int, outputs: Int) {
        let operations = 2 * Double(rows) * Double(inputs) * Double(outputs)
        state.withLock {
            guard !$0.isRepeating else {
                $0.operations.repeated += operations
                return
            }
            $0.operations.products += operations
            $0.operations.extentWeighted += operations * Double(min(inputs, outputs))
        }
    }

    /// A forward pass of attention.
    package func attend(_ g: AttentionGeometry) {
        let pairs = Double(g.batch * g.queryHeads) * Double(g.queryLength) * Double(g.keyLength)
        let operations = 4 * pairs * Double(g.headDimension)
        state.withLock {
            guard !$0.isRepeating else {
                $0.operations.repeated += operations
                return
            }
            $0.operations.attention += operations
        }
    }

    /// Of a tensor of logits that has just been made.
    package func holdLogits(bytes: Int) {
        state.withLock { $0.logitsBytes = max($0.logitsBytes, bytes) }
    }

    /// What `body` does is done a second time.
    package static func repeating<Result>(_ body: () -> Result) -> Result {
        guard let log = current else { return body() }
        let outer = log.state.withLock { state in
            defer { state.isRepeating = true }
            return state.isRepeating
        }
        defer { log.state.withLock { $0.isRepeating = outer } }
        return body()
    }

    package var events: [Event] { state.withLock { $0.events } }
    package var operations: Operations { state.withLock { $0.operations } }
    /// Of the largest tensor of logits.
    package var logitsBytes: Int { state.withLock { $0.logitsBytes } }

    // MARK: Scratch

    /// Bytes that all threads keep (`Scratch.swift`): the largest block that each asked for, at each depth of
    /// nesting. Of a dry log.
    package var scratchBytes: Int {
        state.withLock { state in
            state.scratch.reduce(0) { $0 + WorkLog.block($1) }
                + (threads - 1) * WorkLog.block(state.helperScratch)
        }
    }

    /// A dry `withScratch` begins.
    func enterScratch(_ count: Int) -> UnsafeMutablePointer<Float> {
        state.withLock {
            $0.book(count)
            $0.depth += 1
        }
        return WorkLog.nowhere.assumingMemoryBound(to: Float.self)
    }

    /// And ends.
    func leaveScratch() { state.withLock { $0.depth -= 1 } }

    /// A dry `parallelFor`, each piece of which takes so many floats of scratch.
    package func share(scratch count: Int) {
        guard count > 0 else { return }
        state.withLock {
            $0.book(count)
            $0.helperScratch = max($0.helperScratch, count)
        }
    }

    /// Whole huge pages where a block has room for one.
    private static func block(_ count: Int) -> Int {
        let bytes = count * MemoryLayout<Float>.stride
        return bytes < HugePages.size ? bytes : HugePages.roundedUp(bytes)
    }

    /// Where tensors of a dry log are: an address that is none, so that reading it ends the process.
    package static var nowhere: UnsafeMutableRawPointer { .init(bitPattern: 1 << 62)! }
}
