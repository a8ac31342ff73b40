import Dispatch

/// Works on the lines of a text on several threads, each with an encoder of its own.
package final class BatchEncoder {
    private let encoders: [TextEncoder]

    /// Parts of a block a thread: more, so that threads end together; few, so that they rarely meet.
    private static let partsOfThread = 8

    package var threadCount: Int { encoders.count }

    package init(_ pipeline: TokenizerPipeline, threads: Int) {
        precondition(threads > 0, "BatchEncoder: expected at least 1 thread, got \(threads)")
        encoders = (0..<threads).map { _ in TextEncoder(pipeline) }
    }

    /// Calls `body` with each line of `block` and what it has made of the lines before it; the error of the first line
    /// that has one, with its number.
    /// - Parameter start: what a part begins with.
    /// - Parameter linesBefore: counts lines, across blocks; those of `block` are added.
    /// - Returns: what was made of one part of the block or several, in their order.
    package func reduceLines<Output: Sendable>(
        of block: [UInt8], linesBefore: inout Int, from start: Output,
        _ body: @Sendable (TextEncoder, Span<UInt8>, inout Output) throws(TokenizerError) -> Void
    ) throws(TokenizerError) -> [Output] {
        let parts = BatchEncoder.parts(
            of: block, count: encoders.count > 1 ? encoders.count * BatchEncoder.partsOfThread : 1)
        let work = BatchWork(parts: parts.count, from: start)
        nonisolated(unsafe) let encoders = encoders
        @Sendable func run(_ thread: Int) {
            while let part = work.next() {
                var result = BatchWork.Part(output: start)
                BatchEncoder.reduce(block, parts[part], encoders[thread], &result, body)
                work.finish(part, result)
            }
        }
        if encoders.count == 1 {
            run(0)
        } else {
            DispatchQueue.concurrentPerform(iterations: encoders.count) { run($0) }
        }
        var output: [Output] = []
        for result in work.results {
            if let error = result.error {
                throw error.placed(at: "line \(linesBefore + result.lineCount)")
            }
            linesBefore += result.lineCount
            output.append(result.output)
        }
        return output
    }

    /// Ranges of whole lines, about as long as each other.
    private static func parts(of block: [UInt8], count: Int) -> [Range<Int>] {
        var parts: [Range<Int>] = []
        var start = 0
        for part in 1...count {
            let least = max(start, part * block.count / count)
            guard least > start else { continue }
            let end = block[(least - 1)...].firstIndex(of: 0x0A).map { $0 + 1 } ?? block.count
            if start < end { parts.append(start..<end) }
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

/// The parts of a block, handed out and taken back.
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
