import Foundation
import TestSupport
import Testing

extension Chaos {
    /// A run that stops after any step and goes on in another layout is the run that never stopped.
    @Suite(.serialized) struct EveryStep {
        private static let steps = Chaos.trials(60, short: 24)
        /// As they take turns before and after the stop; four ranks take long where other tests run too.
        private static let layouts =
            [RunLayout(1, 1), RunLayout(1, 1, threads: 2), RunLayout(2, 1), RunLayout(1, 2)]
            + (Chaos.isLong ? [RunLayout(4, 1), RunLayout(2, 2)] : [])

        private func settings(_ layout: RunLayout) -> [String] {
            layout.settings + ["run.steps=\(EveryStep.steps)", "schedule.decay_steps=50"]
        }

        @Test func aRunGoesOnFromEveryStep() throws {
            let undisturbed = try RunFolder()
            let whole = try undisturbed.train(settings: settings(RunLayout(1, 1)))
            try #require(whole.exitCode == 0, "\(whole.summary)")
            let expected = try RunOutcome(undisturbed)
            try #require(expected.lossBits.count == EveryStep.steps)

            let steps = Chaos.isLong ? Array(1...50) : [1, 8, 20]
            var objections: [String] = []
            for step in steps {
                let count = EveryStep.layouts.count
                let before = EveryStep.layouts[step % count]
                // Every pair of layouts comes up within 36 steps.
                let after = EveryStep.layouts[(step + step / count + 1) % count]
                let objection = try objection(stop: step, before, after, expected: expected)
                if let objection {
                    objections.append("step \(step), \(before) and then \(after): \(objection)")
                }
            }
            expectNone(objections, of: steps.count, "resumes")
            Chaos.report(
                "resumed from every step: \(steps.count - objections.count) of \(steps.count) with "
                    + "the bits of an undisturbed run at step \(EveryStep.steps), earlier metrics "
                    + "rows untouched")
        }

        private func objection(
            stop step: Int, _ before: RunLayout, _ after: RunLayout, expected: RunOutcome
        ) throws -> String? {
            let run = try RunFolder()
            let first = try run.train(
                ranks: before.ranks, settings: settings(before), ["--stop-at", "\(step)"])
            let metrics = "\(run.directory)/metrics.jsonl"
            let rows = try bytes(of: metrics)
            guard first.exitCode == 0, run.metrics.count == step, run.checkpoints.last == step
            else {
                return "expected to stop there, found \(first.summary)"
            }
            let second = try run.train(
                ranks: after.ranks, settings: settings(after), ["--resume"])
            guard second.exitCode == 0, second.errors.contains("resuming at step \(step)") else {
                return "expected to go on, found \(second.summary)"
            }
            guard try bytes(of: metrics).starts(with: rows) else { return "earlier rows changed" }
            let outcome = try RunOutcome(run)
            return outcome == expected
                ? nil : "expected \(expected.digest), found \(outcome.digest), or other losses"
        }
    }
}
