import Foundation

/// Prepares the next micro-batches of a rank on a thread of its own while the current one is computed.
///
/// They come in the order in which the rank trains on them: its micro-batches of one step, then those of
/// the next. An error comes in the place of the batch that it befell, and stays. The thread ends with the
/// prefetcher.
public final class BatchPrefetcher: Sendable {
    private let queue: BatchQueue

    /// Starts at the step after `position` samples, with the micro-batches `microBatches` of every step;
    /// keeps at most `depth` batches ready.
    public init(source: any BatchSource, position: Int, microBatches: Range<Int>, depth: Int = 2) {
        precondition(
            !microBatches.isEmpty && microBatches.lowerBound >= 0
                && microBatches.upperBound <= source.layout.microBatchCount,
            "BatchPrefetcher: micro-batches \(microBatches) of \(source.layout.microBatchCount)")
        precondition(depth > 0, "BatchPrefetcher: expected a depth of at least 1, got \(depth)")
        let queue = BatchQueue(depth: depth)
        self.queue = queue
        let thread = Thread {
            var position = position
            while true {
                for microBatch in microBatches {
                    let result = BatchPrefetcher.result(of: source, position, microBatch)
                    if !queue.append(result) { return }
                    if case .failure = result { return }
                }
                position += source.layout.sequences
            }
        }
        thread.name = "prefetch"
        thread.start()
    }

    deinit { queue.close() }

    /// The next micro-batch; waits until it is ready.
    public func next() throws(DatasetError) -> Batch { try queue.removeFirst().get() }

    private static func result(
        of source: any BatchSource, _ position: Int, _ microBatch: Int
    ) -> Result<Batch, DatasetError> {
        do throws(DatasetError) {
            return .success(try source.trainingBatch(position: position, microBatch: microBatch))
        } catch {
            return .failure(error)
        }
    }
}

/// A bounded queue between two threads. Its state is only touched under `condition`.
private final class BatchQueue: @unchecked Sendable {
    private let condition = NSCondition()
    private let depth: Int
    private var results: [Result<Batch, DatasetError>] = []
    private var isClosed = false

    init(depth: Int) { self.depth = depth }

    /// Waits for room; false once the queue is closed.
    func append(_ result: Result<Batch, DatasetError>) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        while results.count >= depth && !isClosed { condition.wait() }
        if isClosed { return false }
        results.append(result)
        condition.broadcast()
        return true
    }

    /// Waits for a result. An error stays first for good, as nothing follows it.
    func removeFirst() -> Result<Batch, DatasetError> {
        condition.lock()
        defer { condition.unlock() }
        while results.isEmpty { condition.wait() }
        if case .failure = results[0] { return results[0] }
        condition.broadcast()
        return results.removeFirst()
    }

    func close() {
        condition.lock()
        isClosed = true
        condition.broadcast()
        condition.unlock()
    }
}
