import Foundation
import Glibc
import TestSupport
import Testing

extension Chaos {
    /// What is no file in a file's place, and what is no checkpoint in a checkpoint's.
    @Suite(.serialized) struct OddFiles {
        private let rotten: RottenRun
        init() throws { rotten = try RottenRun() }

        /// What may stand where a file should.
        enum Odd: String, CaseIterable, Sendable {
            case empty, folder, fullFolder, pipe, socket, linkToItself, linkToNothing, linkToTheFile
            case linkToZeros

            func make(at path: String, aside: String) throws {
                let files = FileManager.default
                switch self {
                case .empty: try Data().write(to: URL(fileURLWithPath: path))
                case .folder:
                    try files.createDirectory(atPath: path, withIntermediateDirectories: false)
                case .fullFolder:
                    try files.createDirectory(
                        atPath: "\(path)/within", withIntermediateDirectories: true)
                case .pipe: try check(mkfifo(path, 0o644))
                case .socket: try check(mknod(path, S_IFSOCK | 0o644, 0))
                case .linkToItself:
                    try files.createSymbolicLink(atPath: path, withDestinationPath: path)
                case .linkToNothing:
                    try files.createSymbolicLink(atPath: path, withDestinationPath: "nothing")
                case .linkToTheFile:
                    try files.createSymbolicLink(atPath: path, withDestinationPath: aside)
                case .linkToZeros:
                    try files.createSymbolicLink(atPath: path, withDestinationPath: "/dev/zero")
                }
            }

            private func check(_ status: Int32) throws {
                if status != 0 { throw NotFound(description: "\(self): errno \(errno)") }
            }
        }

        private static let trials: [(Odd, String)] = Odd.allCases.flatMap { odd in
            [
                "manifest.json", "tokenizer.json", "configuration.yaml",
                "shard-00000-of-00002.safetensors", "shard-00001-of-00002.safetensors",
            ].map { (odd, $0) }
        }

        /// Each in each file's place; the program, which may hang, is asked before this process.
        @Test func anOddFileIsNeverLoaded() throws {
            var objections: [String] = []
            for (trial, (odd, name)) in OddFiles.trials.enumerated() {
                try put(odd, name)
                let reasons = ["\(RottenRun.newerFolder)/\(name): expected "]
                // In the short form once for each kind, and never with mpirun.
                let isAsked = Chaos.isLong || (odd == .pipe && name == "manifest.json")
                let ranks = Chaos.isLong && trial % 2 == 1 ? 2 : nil
                if isAsked,
                    let objection = try rotten.objectionOfProgram(reasons: reasons, ranks: ranks)
                {
                    objections.append("\(odd), \(name): \(objection)")
                } else if let objection = rotten.objection(reasons: reasons, ranks: trial % 2 + 1) {
                    objections.append("\(odd), \(name): \(objection)")
                }
                try rotten.mend()
            }
            expectNone(objections, of: OddFiles.trials.count, "odd files")
            #expect(rotten.objectionToClean() == nil)
            let count = OddFiles.trials.count
            Chaos.report("odd files: \(count - objections.count) of \(count) passed over")
        }

        /// The run saves step 40 anew, over what stands there.
        @Test(arguments: Chaos.isLong ? Odd.allCases : [.folder])
        func aRunGoesOnFromTheOlder(odd: Odd) throws {
            let name = "shard-00001-of-00002.safetensors"
            try put(odd, name)
            let layout =
                Chaos.isLong
                ? RunLayout.all[Odd.allCases.firstIndex(of: odd)! % 6] : RunLayout(1, 1)
            let objection = try rotten.objectionToFallBack(reasons: [name], layout: layout)
            #expect(objection == nil)
        }

        private func put(_ odd: Odd, _ name: String) throws {
            let aside = rotten.run.folder.file("aside")
            try? FileManager.default.removeItem(atPath: aside)
            try FileManager.default.moveItem(atPath: rotten.path(name), toPath: aside)
            try odd.make(at: rotten.path(name), aside: aside)
        }

        // MARK: In the place of a checkpoint

        /// A run whose checkpoints are out of reach does not begin anew, over the rows that it has.
        @Test(arguments: [Odd.empty, .pipe, .linkToItself, .linkToNothing])
        func aRunWithoutItsFolderOfCheckpointsIsRefused(odd: Odd) throws {
            let checkpoints = "\(rotten.directory)/checkpoints"
            try FileManager.default.removeItem(atPath: checkpoints)
            try odd.make(at: checkpoints, aside: "")
            let before = rotten.run.metrics
            let launch = try rotten.run.train(settings: RottenRun.settings, ["--resume"])
            #expect(launch.exitCode == 4, "\(launch.summary)")
            #expect(launch.errors.contains("error: \(checkpoints): expected a folder, found"))
            #expect(rotten.run.metrics == before && before.count == RottenRun.newer)
            #expect(try murmur(["checkpoint", "verify", rotten.directory]).exitCode == 4)
        }

        /// Newer than all by their names, and nothing at all: passed over with a reason each.
        @Test(arguments: Odd.allCases)
        func anOddCheckpointIsPassedOver(odd: Odd) throws {
            let path = "\(rotten.directory)/checkpoints/step-0000000060"
            try odd.make(at: path, aside: "\(rotten.directory)/\(RottenRun.newerFolder)")
            let verify = try murmur(["checkpoint", "verify", rotten.directory])
            #expect(verify.exitCode == 4 && !verify.timedOut, "\(verify.summary)")
            let objection = Search(rotten.directory)
                .objection(step: RottenRun.newer, reasons: ["step-0000000060"])
            #expect(objection == nil)
        }

        /// Names that no checkpoint has, though all that a checkpoint has is there: not looked at.
        @Test(arguments: [
            "step-60", "step-000000006", "step-00000000600", "step-000000006x", "step--000000060",
            "step-+000000060", "Step-0000000060", "step-0000000060 ", " step-0000000060",
            "step-0000000060\n", "step-0000000060.old", "step_0000000060", "step-００００００００６０",
            "step-0x00000060", ".tmp-step-0000000060-0123456789abcdef",
            ".trash-step-0000000060-0123456789abcdef", ".tmp-", "60", "latest",
        ])
        func otherNamesAreNotLookedAt(name: String) throws {
            let checkpoints = "\(rotten.directory)/checkpoints"
            try FileManager.default.copyItem(
                atPath: "\(rotten.directory)/\(RottenRun.olderFolder)",
                toPath: "\(checkpoints)/\(name)")
            #expect(rotten.objectionToClean() == nil)
            #expect(rotten.objectionToClean(ranks: 2) == nil)
            // Nor is it where there is nothing else: the run starts anew.
            for folder in [RottenRun.olderFolder, RottenRun.newerFolder] {
                try FileManager.default.removeItem(atPath: "\(rotten.directory)/\(folder)")
            }
            #expect(Search(rotten.directory) == .nothing)
        }

        /// What a killed save leaves, and what nobody's program left: gone after the next save, or left alone.
        @Test func garbageDoesNotDisturbARun() throws {
            let checkpoints = "\(rotten.directory)/checkpoints"
            for name in [".tmp-step-0000000060-1", ".trash-step-0000000020", "step-60", "notes"] {
                try FileManager.default.copyItem(
                    atPath: "\(rotten.directory)/\(RottenRun.newerFolder)",
                    toPath: "\(checkpoints)/\(name)")
            }
            let launch = try rotten.run.train(
                ranks: Chaos.isLong ? 2 : nil, settings: RottenRun.settings, ["--resume"])
            #expect(launch.exitCode == 0, "\(launch.summary)")
            #expect(!launch.errors.contains("warning"), "\(launch.summary)")
            #expect(try RunOutcome(rotten.run) == RottenRun.undisturbed.get())
            let names = try rotten.run.folder.names(in: "run/checkpoints")
            #expect(!names.contains { $0.hasPrefix(".") }, "\(names)")
            #expect(names.contains("step-60") && names.contains("notes"), "\(names)")
        }

        /// More than one unusable one: each is named, the newest usable one is taken.
        @Test func manyUnusableOnesAreAllNamed() throws {
            let checkpoints = "\(rotten.directory)/checkpoints"
            for step in 41...60 {
                let path = "\(checkpoints)/step-00000000\(step)"
                try Odd.allCases[step % Odd.allCases.count].make(
                    at: path, aside: "\(rotten.directory)/\(RottenRun.newerFolder)")
            }
            guard case .found(RottenRun.newer, let warnings) = Search(rotten.directory, ranks: 2)
            else {
                Issue.record("expected step 40, found \(Search(rotten.directory))")
                return
            }
            #expect(warnings.count == 20)
            #expect(
                zip((41...60).reversed(), warnings).allSatisfy { $1.contains("step-00000000\($0)") }
            )
        }
    }
}
