import Foundation

/// The file of a trace, written rank by rank: there as a whole once it is finished, or not at all.
package final class TraceWriter {
    private let path: String
    private let step: Int
    private let file: FileHandle
    private var isEmpty = true
    private var isFinished = false

    private var temporary: String { path + ".new" }

    package init(path: String, step: Int) throws(RunError) {
        (self.path, self.step) = (path, step)
        let descriptor = open(
            path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw TraceWriter.failure(path, step, String(cString: strerror(errno)))
        }
        file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        if let failure = write(Data(TraceText.head(step: step).utf8)) { throw failure }
    }

    deinit { if !isFinished { unlink(temporary) } }

    /// Writes the events of the next rank; returns why it cannot.
    package func append(_ events: [UInt8]) -> RunError? {
        defer { isEmpty = false }
        if !isEmpty, let failure = write(Data(TraceText.separator.utf8)) { return failure }
        return write(Data(events))
    }

    package func finish() throws(RunError) {
        if let failure = write(Data(TraceText.tail.utf8)) { throw failure }
        guard rename(temporary, path) == 0 else {
            throw TraceWriter.failure(path, step, String(cString: strerror(errno)))
        }
        isFinished = true
    }

    private func write(_ data: Data) -> RunError? {
        do {
            try file.write(contentsOf: data)
            return nil
        } catch {
            return TraceWriter.failure(path, step, systemReason(error))
        }
    }

    private static func failure(_ path: String, _ step: Int, _ reason: String) -> RunError {
        RunError(.inputOutput, "\(path): expected to write, found \(reason)", step: step)
    }
}
