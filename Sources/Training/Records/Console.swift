import Files
import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// What a person sees of a run, on standard error and from the first rank alone: a progress bar on a
/// terminal, plain lines otherwise.
public final class Console {
    private let isActive: Bool
    private let isTerminal = isatty(2) == 1
    private let flopsPerToken: Double
    /// The processors' peak, FLOP/s over all ranks; 0: not measured.
    private let peak: Double
    private let start = ContinuousClock.now
    private var lastLine: ContinuousClock.Instant?
    private var hasBar = false

    init(isActive: Bool, flopsPerToken: Double = 0, peak: Double = 0) {
        (self.isActive, self.flopsPerToken, self.peak) =
            (isActive, flopsPerToken, peak)
    }

    /// One line of information, whatever it quotes.
    public func note(_ text: String) {
        guard isActive else { return }
        clearBar()
        write(text.printableMessage + "\n")
    }

    /// - Parameter stepsDone: steps since this process began, from which the time left is estimated.
    func report(_ row: MetricsRow, last: Int, stepsDone: Int, communicationShare: Double) {
        guard isActive else { return }
        let now = ContinuousClock.now
        let elapsed = (now - start).inSeconds
        let left = elapsed / Double(max(1, stepsDone)) * Double(last - row.step)
        let line = describe(row, last: last, communicationShare: communicationShare, left: left)
        let isNotable = row.validation != nil || row.isSkipped || row.step == last
        if isTerminal && !isNotable {
            guard lastLine.map({ now - $0 > .milliseconds(100) }) ?? true else { return }
            lastLine = now
            hasBar = true
            write("\r\u{1B}[K\(bar(row.step, last)) \(line)")
        } else if isNotable || stepsDone <= 3 || lastLine.map({ now - $0 > .seconds(5) }) ?? true {
            lastLine = now
            note(line)
        }
    }

    private func describe(
        _ row: MetricsRow, last: Int, communicationShare: Double, left: Double
    ) -> String {
        var parts = [
            "step \(row.step)/\(last)",
            Console.number("loss %.4f", Double(row.loss)),
            String(format: "lr %.2e", row.learningRate),
            Console.number("norm %.3f", row.gradientNorm),
            String(format: "%.0f tokens/s", row.tokensPerSecond),
        ]
        if peak > 0 {
            let share = row.tokensPerSecond * flopsPerToken / peak
            parts.append(String(format: "%.0f%% of peak", 100 * share))
        }
        parts.append(String(format: "comm %.0f%%", 100 * communicationShare))
        parts.append("eta \(Console.clock(left))")
        if row.isSkipped {
            let scale = row.lossScale.map { " at loss scale \($0)" } ?? ""
            parts.append("skipped: gradient not finite\(scale)")
        }
        if let validation = row.validation {
            parts.append(Console.number("validation loss %.4f", validation.loss))
        }
        return parts.joined(separator: "  ")
    }

    private func bar(_ step: Int, _ last: Int) -> String {
        let width = 20
        let filled = last > 0 ? step * width / last : 0
        return String(repeating: "━", count: filled) + String(repeating: "┈", count: width - filled)
    }

    /// One number in a text; what is none has no sign.
    public static func number(_ format: String, _ value: Double) -> String {
        String(format: format, value.isNaN ? Double.nan.magnitude : value)
    }

    private static func clock(_ seconds: Double) -> String {
        let whole = Int(seconds.rounded())
        return whole < 3600
            ? String(format: "%d:%02d", whole / 60, whole % 60)
            : String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
    }

    private func clearBar() {
        if hasBar { write("\r\u{1B}[K") }
        hasBar = false
    }

    private func write(_ text: String) {  // A log that cannot be written does not end a run.
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }
}
