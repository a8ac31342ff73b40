import Dispatch

/// Encodes many texts on several threads; what comes out is in the order of the texts.
package final class BatchEncoder {
    private let encoders: [TextEncoder]

    /// Parts of a batch a thread: more, so that threads end together; few, so that they rarely meet.
    private static let partsOfThread = 4

    package init(_ pipeline: TokenizerPipeline, threads: Int) {
        precondition(threads > 0, "BatchEncoder: expected at least 1 thread, got \(threads)")
        encoders = (0..<threads).map { _ in TextEncoder(pipeline) }
    }

    /// What `body` makes of each of `texts` with an encoder of its thread; the error of the first text that has one.
    package func map<Element: Sendable, Result: Sendable>(
        _ texts: [Element],
        _ body: @Sendable (TextEncoder, Element) throws(TokenizerError) -> Result
    ) throws(TokenizerError) -> [Result] {
        let parts = min(texts.count, encoders.count * BatchEncoder.partsOfThread)
        guard parts > 1, encoders.count > 1 else {
            var results: [Result] = []
            results.reserveCapacity(texts.count)
            for text in texts { results.append(try body(encoders[0], text)) }
            return results
        }
        let work = BatchWork<Result>(parts: parts)
        nonisolated(unsafe) let encoders = encoders
        DispatchQueue.concurrentPerform(iterations: encoders.count) { thread in
            while let part = work.next() {
                let range = part * texts.count / parts..<(part + 1) * texts.count / parts
                var results: [Result] = []
                do throws(TokenizerError) {
                    for index in range { results.append(try body(encoders[thread], texts[index])) }
                    work.finish(part, .success(results))
                } catch {
                    work.finish(part, .failure(error))
                }
            }
        }
        return try work.results()
    }
}

/// The parts of a batch, handed out and taken back.
private final class BatchWork<Element: Sendable>: @unchecked Sendable {
    private let lock = DispatchSemaphore(value: 1)
    private var handedOut = 0
    private var parts: [Result<[Element], TokenizerError>?]

    init(parts: Int) { self.parts = Array(repeating: nil, count: parts) }

    func next() -> Int? {
        lock.wait()
        defer { lock.signal() }
        guard handedOut < parts.count else { return nil }
        handedOut += 1
        return handedOut - 1
    }

    func finish(_ part: Int, _ result: Result<[Element], TokenizerError>) {
        lock.wait()
        defer { lock.signal() }
        parts[part] = result
    }

    func results() throws(TokenizerError) -> [Element] {
        var all: [Element] = []
        for part in parts {
            switch part {
            case .success(let elements): all += elements
            case .failure(let error): throw error
            case nil: preconditionFailure("BatchEncoder: a part was not finished")
            }
        }
        return all
    }
}
