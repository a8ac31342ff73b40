import Foundation
import Glibc
import TestSupport
import Testing

extension Chaos {
    /// A grace period that begins in the middle of an evaluation: GPT-2's smallest model, and ten million tokens to
    /// evaluate, each trial going on from where the one before was stopped.
    @Suite(.serialized, .enabled(if: Chaos.isLong, "of the long form: half an hour"))
    struct GraceTests {
        private static let (count, longest) = (30, 120)

        /// When, in seconds, what happened.
        private struct Trial {
            var signal: Double?
            var durable: Double?
            var code: Int32 = 0
            /// Of the step before the evaluation.
            var step = 0.0
            /// Whether the evaluation had begun, and was not gone through.
            var isInEvaluation = false

            var delay: Double { (durable ?? .infinity) - (signal ?? 0) }
        }

        /// The step ends; what was learnt is a checkpoint within about a step and five seconds.
        @Test func aSignalInALongEvaluationLosesNothing() throws {
            let run = try RunFolder()
            var draws = Draws(seed: 3)
            let letters = (0..<11_001_100).map { _ in
                UInt8(ascii: "a") + UInt8.random(in: 0..<26, using: &draws)
            }
            let text = try run.folder.write("text", letters)
            var (delays, late, step, expected) = ([Double](), 0, 0, 30.0)
            while delays.count < Self.count, step < Self.longest {
                step += 1
                let wait = 1.5 * expected + Double.random(in: 0...10, using: &draws)
                let trial = try take(step, of: run, text, after: wait)
                expected = trial.step
                #expect(trial.code == 75 && run.checkpoints.last == step, "step \(step)")
                let verify = try murmur(["checkpoint", "verify", run.checkpoint(step)])
                #expect(verify.exitCode == 0, "step \(step): \(verify.summary)")
                guard trial.isInEvaluation else { continue }
                delays.append(trial.delay)
                if trial.delay > trial.step + 5 { late += 1 }
            }
            #expect(delays.count == Self.count && delays.allSatisfy(\.isFinite))
            delays.sort()
            let figures = [delays[0], delays[delays.count / 2], delays.last!]
                .map { String(format: "%.1f", $0) }
            Chaos.report(
                "signals in an evaluation: \(delays.count), none lost; durable after "
                    + "\(figures.joined(separator: ", ")) s (least, median, most); \(late) after "
                    + "more than a step and 5 s")
        }

        /// Starts or goes on, and signals the run a while after it is at its step.
        private func take(
            _ step: Int, of run: RunFolder, _ text: String, after wait: Double
        ) throws -> Trial {
            var (trial, start) = (Trial(), nil as Double?)
            let settings = run.settings([
                "data.text=[\(text)]", "data.validation_fraction=0.909", "evaluation.every=1",
                "checkpoint.every=0", "checkpoint.keep=2", "run.trace_steps=[\(step)]",
            ])
            let launch = try murmur(
                ["train", "configs/gpt2-124m.yaml", "--resume"] + settings, timeout: 900
            ) { running in
                guard let begin = start else {
                    if running.errors.contains(" at step \(step - 1)\n") {
                        start = monotonicSeconds()
                    }
                    return false
                }
                guard trial.signal != nil else {
                    guard monotonicSeconds() > begin + wait else { return false }
                    trial.signal = monotonicSeconds()
                    return kill(running.process, SIGTERM) != 0
                }
                guard run.checkpoints.last == step else { return false }
                trial.durable = monotonicSeconds()
                return true
            }
            trial.code = launch.exitCode
            let row = run.metrics.last ?? ""
            if let seconds = row.firstMatch(of: /"seconds": ([0-9.]+)/) {
                trial.step = Double(seconds.1) ?? 0
            }
            let trace = "\(run.directory)/trace-step-" + String(format: "%010d", step) + ".json"
            let hasBegun =
                try String(contentsOfFile: trace, encoding: .utf8)
                .contains("\"name\": \"evaluation\"")
            trial.isInEvaluation = hasBegun && !row.contains("validation_loss")
            try FileManager.default.removeItem(atPath: trace)
            return trial
        }
    }
}
