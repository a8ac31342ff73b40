import Foundation

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
package final class MetricsFile {
    package static let name = "metrics.jsonl"

    private let handle: FileHandle
    private let path: String

    /// Opens the file and keeps the rows up to `step`.
    package init(directory: String, keeping step: Int) throws(RunError) {
        path = directory + "/" + MetricsFile.name
        do {
            if !FileManager.default.fileExists(atPath: path) {
                try Data().write(to: URL(fileURLWithPath: path), options: .withoutOverwriting)
            }
            let url = URL(fileURLWithPath: path)
            let length = MetricsFile.length(keeping: step, of: try Data(contentsOf: url))
            handle = try FileHandle(forUpdating: url)
            try handle.truncate(atOffset: UInt64(length))
            try handle.seekToEnd()
        } catch {
            throw RunError(.inputOutput, "\(path): expected to write, found \(systemReason(error))")
        }
    }

    package func append(_ row: MetricsRow) throws(RunError) {
        do {
            try handle.write(contentsOf: Data((row.json + "\n").utf8))
        } catch {
            throw RunError(
                .inputOutput, "\(path): expected to append a row, found \(systemReason(error))")
        }
    }

    /// Makes the rows so far durable.
    func synchronize() throws(RunError) {
        do {
            try handle.synchronize()
        } catch {
            throw RunError(
                .inputOutput, "\(path): expected to reach the disk, found \(systemReason(error))")
        }
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
