import Dispatch

/// Work in parts that threads share.
enum ParallelMap {
    /// What `body` gives for the parts `0..<count`, in their order, made by at most `threads` threads. Thread t takes the
    /// parts t, t + threads, …
    static func map<Result: Sendable>(
        _ count: Int, threads: Int, _ body: @Sendable (Int) -> Result
    ) -> [Result] {
        let threads = min(threads, count)
        guard threads > 1 else { return (0..<count).map(body) }
        return [Result](unsafeUninitializedCapacity: count) { results, initializedCount in
            nonisolated(unsafe) let base = results.baseAddress!
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                for part in stride(from: thread, to: count, by: threads) {
                    (base + part).initialize(to: body(part))
                }
            }
            initializedCount = count
        }
    }
}
