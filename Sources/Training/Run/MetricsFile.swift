import Foundation
import Synchronization

/// One line of `metrics.jsonl`.
public struct MetricsRow: Sendable {
    /// Completed steps, this one included.
    public var step: Int
    /// Mean loss over the step's targets, nats a token.
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
            fields.append("\"validation_tokens\": \(validation.tokens)")
        }
        return "{\(fields.joined(separator: ", "))}"
    }

    static func number(_ value: Double, digits: Int) -> String {
        value.isFinite ? String(format: "%.\(digits)g", value) : "null"
    }

    private static func bits(_ value: Float) -> String {
        let digits = String(value.bitPattern, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// `metrics.jsonl`: rows are appended one write each; on resume the rows that are not of the past are
/// cut off and the others stay byte for byte.
///
/// Rows that the disk does not take are held, and written before the next one that it takes: a full disk costs no
/// row, and the run no step. A thread that saves may call `synchronize` while another appends.
package final class MetricsFile: Sendable {
    package static let name = "metrics.jsonl"
    /// Rows that are held before the run is better ended.
    package static let mostHeld = 10_000

    private struct State {
        /// Bytes of whole rows in the file.
        var length: Int
        /// Rows that are not in it yet, a line each.
        var held: [String] = []
    }

    private let path: String
    private let descriptor: Int32
    private let state: Mutex<State>

    /// Opens the file and keeps the rows up to `step`.
    package init(directory: String, keeping step: Int) throws(RunError) {
        path = "\(directory)/\(MetricsFile.name)"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw MetricsFile.failure(path, "to write") }
        do {
            let rows = try Data(contentsOf: URL(fileURLWithPath: path))
            state = Mutex(State(length: MetricsFile.length(keeping: step, of: rows)))
        } catch {
            close(descriptor)
            throw RunError(.inputOutput, "\(path): expected to read, found \(systemReason(error))")
        }
        let length = state.withLock { $0.length }
        guard ftruncate(descriptor, off_t(length)) == 0 else {
            throw MetricsFile.failure(path, "to cut")
        }
    }

    deinit { close(descriptor) }

    /// Appends a row, or holds it.
    /// - Returns: where this is the first one that is held, why.
    @discardableResult
    package func append(_ row: MetricsRow) throws(RunError) -> RunError? {
        let (failure, count) = state.withLock { state -> (RunError?, Int) in
            state.held.append(row.json + "\n")
            return (write(&state), state.held.count)
        }
        if let failure, count >= MetricsFile.mostHeld { throw failure }
        return count == 1 ? failure : nil
    }

    /// Makes the rows so far durable.
    package func synchronize() throws(RunError) {
        if let failure = state.withLock({ write(&$0) }) { throw failure }
        guard fsync(descriptor) == 0 else { throw MetricsFile.failure(path, "to reach the disk") }
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
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else {
                let failure = MetricsFile.failure(path, "to append a row")
                _ = ftruncate(descriptor, off_t(state.length))
                return failure
            }
            written += count
        }
        state.length += bytes.count
        state.held = []
        return nil
    }

    private static func failure(_ path: String, _ action: String) -> RunError {
        RunError(
            .inputOutput, "\(path): expected \(action), found \(String(cString: strerror(errno)))")
    }

    /// Bytes of the whole lines that are rows of steps up to `step`, from the start.
    package static func length(keeping step: Int, of data: Data) -> Int {
        var kept = 0
        while kept < data.count, let end = data[kept...].firstIndex(of: UInt8(ascii: "\n")) {
            let row = try? JSONSerialization.jsonObject(with: data[kept..<end]) as? [String: Any]
            guard let number = row?["step"] as? Int, number <= step else { break }
            kept = end + 1
        }
        return kept
    }
}
