import Foundation
import TestSupport
import Testing

extension Chaos {
    /// Files that are missing, or sound but of another checkpoint.
    @Suite(.serialized) struct Swaps {
        private let rotten: RottenRun
        init() throws { rotten = try RottenRun() }

        /// All subsets of the files but the empty one.
        private var subsets: [[String]] {
            let names = rotten.names
            return (1..<1 << names.count).map { bits in
                names.indices.filter { bits >> $0 & 1 == 1 }.map { names[$0] }
            }
        }

        @Test func allMissingFilesAreNamedAtOnce() throws {
            var objections: [String] = []
            for missing in subsets {
                for name in missing { try rotten.remove(name) }
                // Without the manifest nobody knows of the others.
                let named = missing.contains("manifest.json") ? ["manifest.json"] : missing
                let reasons = named.map {
                    "\(RottenRun.newerFolder)/\($0): expected a file, found: No such file"
                }
                let ranks = missing.count % 2 + 1
                if let objection = rotten.objection(reasons: reasons, ranks: ranks) {
                    objections.append("without \(missing): \(objection)")
                }
                for name in missing { try rotten.write(rotten.saved(name), name) }
            }
            expectNone(objections, of: subsets.count, "missing files")
            #expect(rotten.objectionToClean() == nil)
            try rotten.remove("shard-00001-of-00002.safetensors")
            #expect(
                try rotten.objectionOfProgram(
                    reasons: ["shard-00001-of-00002.safetensors: expected a file"], ranks: nil)
                    == nil)
            Chaos.report(
                "missing files: \(subsets.count - objections.count) of \(subsets.count) subsets "
                    + "named at once")
        }

        /// A checkpoint whose files have the names of the damaged one's.
        private struct Other {
            let what: String
            let image: RunImage
            var folder = RottenRun.newerFolder

            func bytes(_ name: String) -> [UInt8]? { image.files["\(folder)/\(name)"] }
        }

        private func others() throws -> [Other] {
            let image = try RottenRun.image.get()
            var others = [Other(what: "step 20", image: image, folder: RottenRun.olderFolder)]
            guard Chaos.isLong else { return others }
            others.append(
                Other(what: "another seed", image: try RottenRun.stopped(["run.seed=1338"])))
            others.append(Other(what: "the run again", image: try RottenRun.stopped()))
            // The same run, gone on from step 20 in another layout: the same state, cut elsewhere.
            let run = try image.without(RottenRun.newerFolder).write(to: RunFolder())
            let launch = try run.train(
                ranks: 2, settings: RottenRun.settings + ["parallelism.tensor=2"],
                ["--resume", "--stop-at", "40"])
            try RottenRun.requireDone(launch)
            others.append(Other(what: "the run resumed", image: try RunImage(of: run)))
            return others
        }

        /// Any files but all of them; files that are the same are no damage.
        @Test func filesOfAnotherCheckpointAreNeverLoaded() throws {
            var (objections, count): ([String], Int) = ([], 0)
            for other in try others() {
                for swapped in subsets where swapped.count < rotten.names.count {
                    for name in swapped { try rotten.write(try #require(other.bytes(name)), name) }
                    let content = rotten.names.map {
                        swapped.contains($0) ? other.bytes($0) : rotten.saved($0)
                    }
                    let isOwn = content == rotten.names.map { rotten.saved($0) }
                    let isOther = content == rotten.names.map { other.bytes($0) }
                    if !isOwn, !isOther {
                        count += 1
                        let objection = rotten.objection(
                            reasons: [RottenRun.newerFolder], ranks: count % 10 == 9 ? 2 : 1)
                        if let objection {
                            objections.append("\(other.what), \(swapped): \(objection)")
                        }
                    }
                    for name in swapped { try rotten.write(rotten.saved(name), name) }
                }
            }
            expectNone(objections, of: count, "swapped files")
            #expect(count >= 14)
            #expect(rotten.objectionToClean() == nil)
            Chaos.report(
                "files of another step, of a run of another seed, of the run again and resumed: "
                    + "\(count - objections.count) of \(count) sets passed over")
        }

        @Test func filesOfAnotherRankAreNeverLoaded() throws {
            let names = rotten.names.filter { $0.hasPrefix("shard-") }
            for pair in [(names[0], names[1]), (names[0], names[0]), (names[1], names[1])] {
                try rotten.write(rotten.saved(pair.1), names[0])
                try rotten.write(rotten.saved(pair.0), names[1])
                for ranks in 1...2 {
                    #expect(
                        rotten.objection(reasons: ["\(RottenRun.newerFolder)/shard-"], ranks: ranks)
                            == nil, "\(pair)")
                }
                let objection = try rotten.objectionOfProgram(
                    reasons: ["/shard-"], ranks: Chaos.isLong ? 2 : nil)
                #expect(objection == nil, "\(pair)")
                for name in names { try rotten.write(rotten.saved(name), name) }
            }
            #expect(rotten.objectionToClean() == nil)
        }

        /// The whole of step 20 under the name of another step: what a copy by hand may leave. Taken for what its
        /// name says it hides newer ones, and stands in the way of the save of its step.
        @Test func aCheckpointUnderAnotherStepsNameIsNotTaken() throws {
            let newer = "\(rotten.directory)/checkpoints/step-0000000060"
            let older = "\(rotten.directory)/\(RottenRun.olderFolder)"
            try FileManager.default.copyItem(atPath: older, toPath: newer)
            let hidden = Search(rotten.directory)
                .objection(step: RottenRun.newer, reasons: ["step-0000000060"])
            #expect(hidden == nil)
            try rotten.mend()
            for name in rotten.names {
                try rotten.write(try bytes(of: "\(older)/\(name)"), name)
            }
            #expect(rotten.objection(reasons: [RottenRun.newerFolder]) == nil)
        }

        /// A sound checkpoint, but of another run: a run may go on from it, and says what is not as it was.
        @Test(.enabled(if: Chaos.isLong, "takes a run of its own: launch/chaos"))
        func whatAnotherRunHadIsSaid() throws {
            let other = try RottenRun.stopped(["run.seed=1338"])
            for name in rotten.names {
                let bytes = other.files["\(RottenRun.newerFolder)/\(name)"]
                try rotten.write(try #require(bytes), name)
            }
            let launch = try rotten.run.train(ranks: 2, settings: RottenRun.settings, ["--resume"])
            #expect(launch.errors.contains("resume: run.seed changes from 1338 to 1337\n"))
            // Another model's is refused.
            try rotten.mend()
            let before = rotten.run.metrics
            let wider = try rotten.run.train(
                ranks: 2, settings: RottenRun.settings + ["model.feed_forward=54"], ["--resume"])
            #expect(wider.exitCode == 4, "\(wider.summary)")
            #expect(wider.errors.contains("model.feed_forward"), "\(wider.summary)")
            #expect(rotten.run.metrics == before)
        }
    }
}
