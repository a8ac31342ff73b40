import Checkpointing
import Communication
import Foundation
import TestSupport
import Testing

extension Chaos {
    /// What a run saved in one layout, loaded in another.
    @Suite(.serialized) struct LayoutPairs {
        /// In the middle of the first epoch, which ends within step 23.
        private static let stop = 10
        private static let last = Chaos.trials(25, short: 14)

        struct Pair: Sendable, CustomStringConvertible, CustomTestStringConvertible {
            let (saved, loaded): (RunLayout, RunLayout)
            init(_ saved: RunLayout, _ loaded: RunLayout) {
                (self.saved, self.loaded) = (saved, loaded)
            }
            var description: String { "\(saved) to \(loaded)" }
            var testDescription: String { description }

            /// All 36.
            static let all = RunLayout.all.flatMap { saved in RunLayout.all.map { Pair(saved, $0) }
            }
        }

        private static func settings(_ layout: RunLayout) -> [String] {
            layout.settings + ["checkpoint.every=1", "checkpoint.keep=50"]
        }

        /// What one process comes to without a stop.
        private struct Expected {
            let lossBits: [String]
            /// By step, from the one to stop at.
            let digests: [String]

            init() throws {
                let run = try RunFolder()
                let launch = try run.train(
                    settings: settings(RunLayout(1, 1)), ["--stop-at", "\(last)"])
                try RottenRun.requireDone(launch)
                (lossBits, digests) = (run.lossBits, try LayoutPairs.digests(of: run))
            }
        }

        private static func digests(of run: RunFolder) throws -> [String] {
            try (stop...last).map { try CheckpointReader(path: run.checkpoint($0)).digest() }
        }

        private static func stopped(_ layout: RunLayout) throws -> RunImage {
            let run = try RunFolder()
            let launch = try run.train(
                ranks: layout.ranks, settings: layout.settings, ["--stop-at", "\(stop)"])
            try RottenRun.requireDone(launch)
            return try RunImage(of: run)
        }

        @Test func everyLayoutGoesOnWithWhatEveryOtherSaved() throws {
            let pairs =
                Chaos.isLong
                ? Pair.all
                : [Pair(RunLayout(1, 2), RunLayout(2, 1)), Pair(RunLayout(1, 1), RunLayout(1, 2))]
            let expected = try Expected()
            // Control: every step has a state of its own.
            #expect(Set(expected.digests).count == expected.digests.count)
            #expect(expected.lossBits.count == LayoutPairs.last)

            var images: [String: RunImage] = [:]
            var objections: [String] = []
            for pair in pairs {
                let key = pair.saved.description
                let image = try images[key] ?? LayoutPairs.stopped(pair.saved)
                images[key] = image
                let run = try image.write(to: RunFolder())
                let both = [
                    try objectionToState(run, pair, expected),
                    try objectionToContinuation(run, pair, expected),
                ]
                objections += both.compactMap { $0.map { "\(pair): \($0)" } }
            }
            expectNone(objections, of: pairs.count, "pairs of layouts")
            Chaos.report(
                "loaded in another layout: \(pairs.count) pairs, \(objections.count) objections: state "
                    + "and next samples the same, then the bits of an undisturbed run from step "
                    + "\(LayoutPairs.stop) to \(LayoutPairs.last)")
        }

        /// Loads the checkpoint as ranks of the other layout do, saves it again, and compares.
        private func objectionToState(
            _ run: RunFolder, _ pair: Pair, _ expected: Expected
        ) throws -> String? {
            let again = try TemporaryFolder()
            let samples = try ReloadedState(run: run.directory, layout: pair.loaded)
                .save(to: again.path)
            let path = again.file("checkpoints/step-00000000\(LayoutPairs.stop)")
            let reader = try CheckpointReader(path: path)
            let digest = try reader.digest()
            guard digest == expected.digests[0] else {
                return "state: expected \(expected.digests[0]), found \(digest)"
            }
            // It is another checkpoint, cut as the other layout cuts.
            let shards = try again.names(in: "checkpoints/step-00000000\(LayoutPairs.stop)")
                .filter { $0.hasPrefix("shard-") }
            guard shards.count == pair.loaded.rankCount else { return "state: found \(shards)" }

            // 24 sequences a step; each rank of a copy of the model sees the same ones.
            let next = LayoutPairs.stop * 24..<(LayoutPairs.stop + 1) * 24
            let copies = Dictionary(grouping: samples, by: \.copy)
            guard copies.values.allSatisfy({ ranks in Set(ranks.map(\.next)).count == 1 }),
                copies.values.flatMap({ $0[0].next }).sorted() == Array(next)
            else { return "next samples: expected \(next), found \(samples)" }
            return nil
        }

        private func objectionToContinuation(
            _ run: RunFolder, _ pair: Pair, _ expected: Expected
        ) throws -> String? {
            let metrics = "\(run.directory)/metrics.jsonl"
            let rows = try bytes(of: metrics)
            let launch = try run.train(
                ranks: pair.loaded.ranks, settings: LayoutPairs.settings(pair.loaded),
                ["--resume", "--stop-at", "\(LayoutPairs.last)"])
            guard launch.exitCode == 0,
                launch.errors.contains("resuming at step \(LayoutPairs.stop)")
            else { return "expected to go on, found \(launch.summary)" }
            guard try bytes(of: metrics).starts(with: rows) else { return "earlier rows changed" }
            guard run.lossBits == expected.lossBits else {
                return "losses: expected \(expected.lossBits), found \(run.lossBits)"
            }
            let digests = try LayoutPairs.digests(of: run)
            let first = zip(digests, expected.digests).enumerated().first { $1.0 != $1.1 }
            return first.map { "state of step \(LayoutPairs.stop + $0.offset): \($0.element)" }
        }
    }
}
