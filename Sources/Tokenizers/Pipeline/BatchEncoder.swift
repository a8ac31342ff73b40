import Dispatch

/// Works on the lines of a text on several threads, each with an encoder of its own.
package final class BatchEncoder {
    /// A thread's encoder, made when it has something to do.
    private final class Worker {
        private let pipeline: TokenizerPipeline
        lazy var encoder = TextEncoder(pipeline)

        init(_ pipeline: TokenizerPipeline) { self.pipeline = pipeline }
    }

    /// What was made of lines: of one part of them or several, in their order, up to the first that has an error.
    package struct Batch<Output> {
        package var outputs: [Output] = []
        /// With the number of its line.
        package var error: TokenizerError?
    }

    private let pipeline: TokenizerPipeline
    private let workers: [Worker]

    /// Parts of a block a thread: more, so that threads end together; few, so that they rarely meet.
    private static let partsOfThread = 8
    /// Bytes of the smallest.
    private static let leastPart = 1 << 12
    /// Tokens that padding makes of the lines of a batch, about.
    private static let mostPadded = 1 << 20

    package var threadCount: Int { workers.count }

    package init(_ pipeline: TokenizerPipeline, threads: Int) {
        precondition(threads > 0, "BatchEncoder: expected at least 1 thread, got \(threads)")
        self.pipeline = pipeline
        workers = (0..<threads).map { _ in Worker(pipeline) }
    }

    /// Calls `body` with each line of `block` and what it has made of the lines before it.
    /// - Parameter start: what a part begins with.
    /// - Parameter linesBefore: counts lines, across blocks; those of `block` are added.
    package func reduceLines<Output: Sendable>(
        of block: [UInt8], in range: Range<Int>? = nil, linesBefore: inout Int, from start: Output,
        _ body: @Sendable (TextEncoder, Span<UInt8>, inout Output) throws(TokenizerError) -> Void
    ) -> Batch<Output> {
        let parts = parts(of: block, range ?? 0..<block.count)
        let work = BatchWork(parts: parts.count, from: start)
        nonisolated(unsafe) let workers = workers
        @Sendable func run(_ thread: Int) {
            while let part = work.next() {
                var result = BatchWork.Part(output: start)
                BatchEncoder.reduce(block, parts[part], workers[thread].encoder, &result, body)
                work.finish(part, result)
            }
        }
        if parts.count == 1 {
            run(0)
        } else {
            DispatchQueue.concurrentPerform(iterations: min(workers.count, parts.count)) { run($0) }
        }
        var batch = Batch<Output>()
        for result in work.results {
            batch.outputs.append(result.output)
            if let error = result.error {
                batch.error = error.placed(at: "line \(linesBefore + result.lineCount)")
                break
            }
            linesBefore += result.lineCount
        }
        return batch
    }

    /// Ranges of whole lines that make one batch each: all of `block`, or, where padding makes many tokens of a short line,
    /// some lines.
    package func batches(of block: [UInt8]) -> [Range<Int>] {
        guard let length = pipeline.padding?.length else { return [0..<block.count] }
        let most = max(1, BatchEncoder.mostPadded / max(1, length))
        var (batches, start, lines) = ([Range<Int>](), 0, 0)
        for (index, byte) in block.enumerated() where byte == 0x0A {
            lines += 1
            guard lines == most else { continue }
            batches.append(start..<index + 1)
            (start, lines) = (index + 1, 0)
        }
        if start < block.count { batches.append(start..<block.count) }
        return batches
    }

    /// Ranges of whole lines, about as long as each other.
    private func parts(of block: [UInt8], _ range: Range<Int>) -> [Range<Int>] {
        let most = workers.count > 1 ? workers.count * BatchEncoder.partsOfThread : 1
        let count = min(most, range.count / BatchEncoder.leastPart + 1)
        var parts: [Range<Int>] = []
        var start = range.lowerBound
        for part in 1...count {
            let least = max(start, range.lowerBound + part * range.count / count)
            guard least > start else { continue }
            let end =
                block[least - 1..<range.upperBound].firstIndex(of: 0x0A).map { $0 + 1 }
                ?? range.upperBound
            parts.append(start..<end)
            start = end
        }
        return parts
    }

    private static func reduce<Output>(
        _ block: [UInt8], _ part: Range<Int>, _ encoder: TextEncoder,
        _ result: inout BatchWork<Output>.Part,
        _ body: (TextEncoder, Span<UInt8>, inout Output) throws(TokenizerError) -> Void
    ) {
        var start = part.lowerBound
        while start < part.upperBound {
            let end = block[start..<part.upperBound].firstIndex(of: 0x0A) ?? part.upperBound
            result.lineCount += 1
            do throws(TokenizerError) {
                try body(encoder, block.span.extracting(start..<end), &result.output)
            } catch {
                result.error = error
                return
            }
            start = end + 1
        }
    }
}

/// The parts of a batch, handed out and taken back.
private final class BatchWork<Output: Sendable>: @unchecked Sendable {
    struct Part: Sendable {
        var output: Output
        /// Up to that with the error.
        var lineCount = 0
        var error: TokenizerError?
    }

    private let lock = DispatchSemaphore(value: 1)
    private var handedOut = 0
    private(set) var results: [Part]

    init(parts: Int, from start: Output) {
        results = Array(repeating: Part(output: start), count: parts)
    }

    func next() -> Int? {
        lock.wait()
        defer { lock.signal() }
        guard handedOut < results.count else { return nil }
        handedOut += 1
        return handedOut - 1
    }

    func finish(_ part: Int, _ result: Part) {
        lock.wait()
        defer { lock.signal() }
        results[part] = result
    }
}
