import Files
import Foundation
import Synchronization

/// One line of `metrics.jsonl`.
public struct MetricsRow: Sendable {
    /// Completed steps, this one included.
    public var step: Int
    /// Mean loss over the step's targets, nats.
    public var loss: Float
    public var learningRate: Double
    /// Of the loss without its scale, before clipping.
    public var gradientNorm: Double
    /// The factor of the loss in the backward pass; nil in a run without loss scaling.
    public var lossScale: Int?
    public var tokensPerSecond: Double
    /// Wall time of the step.
    public var seconds: Double
    public var isSkipped: Bool
    public var validation: EvaluationResult?

    package init(
        step: Int, loss: Float, learningRate: Double, gradientNorm: Double, lossScale: Int? = nil,
        tokensPerSecond: Double, seconds: Double, isSkipped: Bool = false,
        validation: EvaluationResult? = nil
    ) {
        (self.step, self.loss, self.learningRate) = (step, loss, learningRate)
        (self.gradientNorm, self.lossScale) = (gradientNorm, lossScale)
        self.tokensPerSecond = tokensPerSecond
        (self.seconds, self.isSkipped, self.validation) = (seconds, isSkipped, validation)
    }

    /// The row as JSON; numbers that are not finite are `null`.
    package var json: String {
        var fields = [
            "\"step\": \(step)", "\"loss\": \(MetricsRow.number(Double(loss), digits: 9))",
            "\"loss_bits\": \"\(MetricsRow.bits(loss))\"",
            "\"learning_rate\": \(MetricsRow.number(learningRate, digits: 9))",
            "\"grad_norm\": \(MetricsRow.number(gradientNorm, digits: 9))",
            "\"tokens_per_second\": \(MetricsRow.number(tokensPerSecond, digits: 6))",
            "\"seconds\": \(MetricsRow.number(seconds, digits: 6))",
        ]
        if let lossScale { fields.append("\"loss_scale\": \(lossScale)") }
        if isSkipped { fields.append("\"skipped\": true") }
        if let validation {
            fields.append("\"validation_loss\": \(MetricsRow.number(validation.loss, digits: 9))")
            fields.append("\"validation_tokens\": \(MetricsRow.whole(validation.targets))")
            for metric in validation.metrics {
                let value = MetricsRow.number(metric.value, digits: 9)
                fields.append("\"validation_\(metric.name)\": \(value)")
            }
        }
        return "{\(fields.joined(separator: ", "))}"
    }

    static func number(_ value: Double, digits: Int) -> String {
        value.isFinite ? String(format: "%.\(digits)g", value) : "null"
    }

    /// Without a fraction where it has none.
    private static func whole(_ value: Double) -> String {
        Int(exactly: value).map(String.init) ?? number(value, digits: 9)
    }

    private static func bits(_ value: Float) -> String {
        let digits = String(value.bitPattern, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// `metrics.jsonl`: rows are appended one write each; on resume the rows that are not of the past are
/// cut off and the others stay byte for byte.
///
/// Rows that the disk does not take are held, and written when it does: a full disk costs no row, and the run no
/// step. A thread that saves may call `synchronize` while another appends.
package final class MetricsFile: Sendable {
    package static let name = "metrics.jsonl"

    private struct State {
        /// Bytes of whole rows in the file, and of those that have reached the disk.
        var length: Int
        var durableLength: Int
        /// Rows in between, a line each.
        var unsure: [String] = []
        /// Rows that are not in the file yet.
        var held: [String] = []
        /// Whether it was said that there are any.
        var isSaid = false
    }

    private let path: String
    private let descriptor: Int32
    private let state: Mutex<State>
    /// Held by the thread that makes rows durable: what it counted is still there when it is done.
    private let synchronizing = Mutex(())
    /// What is damaged among the rows that stay.
    package let warning: String?

    /// Opens the file and keeps the rows up to `step`; a damaged one among them stays as it is.
    package init(directory: String, keeping step: Int) throws(RunError) {
        path = "\(directory)/\(MetricsFile.name)"
        // Non-blocking, so that a pipe is refused and not waited for.
        descriptor = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0o644)
        let code = errno
        if let found = FileKind.unfit(path) {
            if descriptor >= 0 { close(descriptor) }
            throw RunError(
                .inputOutput,
                "\(path): expected a regular file, found \(found)\(FileKind.hint(writing: found))")
        }
        guard descriptor >= 0 else {
            let reason = String(cString: strerror(code))
            throw RunError(.inputOutput, "\(path): expected to write, found \(reason)")
        }
        do {
            let rows = try Data(contentsOf: URL(fileURLWithPath: path))
            let (length, damaged) = MetricsFile.past(upTo: step, of: rows)
            state = Mutex(State(length: length, durableLength: length))
            warning =
                damaged.isEmpty
                ? nil
                : "\(path): line \(damaged.prefix(5).map(String.init).joined(separator: ", "))"
                    + "\(damaged.count > 5 ? " and \(damaged.count - 5) more" : ""): expected a row "
                    + "of a step up to \(step), found something else; it stays as it is"
        } catch {
            close(descriptor)
            throw RunError(.inputOutput, "\(path): expected to read, found \(systemReason(error))")
        }
        guard ftruncate(descriptor, off_t(state.withLock { $0.length })) == 0 else {
            throw failure("to cut off rows", errno)
        }
    }

    deinit { close(descriptor) }

    /// Appends a row, or holds it.
    /// - Returns: why rows are held, where that was not said yet.
    @discardableResult
    package func append(_ row: MetricsRow) -> RunError? {
        state.withLock { state in
            state.held.append(row.json + "\n")
            let failure = write(&state)
            defer { state.isSaid = failure != nil }
            return state.isSaid ? nil : failure
        }
    }

    /// Makes the rows so far durable; returns why they are not.
    @discardableResult
    package func synchronize() -> RunError? {
        synchronizing.withLock { _ in synchronizeAlone() }
    }

    private func synchronizeAlone() -> RunError? {
        let (failure, length, count) = state.withLock { state in
            (write(&state), state.length, state.unsure.count)
        }
        let status = fsync(descriptor)
        let code = errno
        return state.withLock { state in
            guard status != 0 else {
                state.durableLength = length
                state.unsure.removeFirst(count)
                return failure
            }
            // What had not reached the disk is lost to the file, and no second attempt would tell: the rows
            // are written again.
            state.held = state.unsure + state.held
            (state.unsure, state.length) = ([], state.durableLength)
            return self.failure("to reach the disk", code)
        }
    }

    /// Writes what is held; a row that was written in part is taken back.
    private func write(_ state: inout State) -> RunError? {
        let bytes = Array(state.held.joined().utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(
                    descriptor, $0.baseAddress! + written, bytes.count - written,
                    off_t(state.length + written))
            }
            let code = errno
            if count < 0 && code == EINTR { continue }
            guard count > 0 else {
                _ = ftruncate(descriptor, off_t(state.length))
                return failure("to append a row", code, held: state.held.count)
            }
            written += count
        }
        state.length += bytes.count
        state.unsure += state.held
        state.held = []
        return nil
    }

    private func failure(_ action: String, _ code: Int32, held: Int = 0) -> RunError {
        let rows = held > 1 ? "; \(held) rows are held" : ""
        return RunError(
            .inputOutput,
            "\(path): expected \(action), found \(String(cString: strerror(code)))\(rows)")
    }

    /// Bytes from the start to the last whole line that is a row of a step up to `step`; and the numbers of the
    /// lines among them, from 1, that are no rows, or of a later step.
    package static func past(upTo step: Int, of data: Data) -> (length: Int, damaged: [Int]) {
        var (kept, start, line) = (0, 0, 0)
        var (damaged, unsure): ([Int], [Int]) = ([], [])
        while start < data.count, let end = data[start...].firstIndex(of: UInt8(ascii: "\n")) {
            line += 1
            let row = try? JSONSerialization.jsonObject(with: data[start..<end]) as? [String: Any]
            start = end + 1
            guard let number = row?["step"] as? Int, number <= step else {
                unsure.append(line)
                continue
            }
            kept = start
            damaged += unsure
            unsure = []
        }
        return (kept, damaged)
    }
}
