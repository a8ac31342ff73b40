import Checkpointing
import Foundation
import Glibc
import TestSupport
import Testing

extension Chaos {
    /// Files that end too early, too late, or have blocks that were never written.
    @Suite(.serialized) struct Cuts {
        private static let block = 4096

        private let rotten: RottenRun
        init() throws { rotten = try RottenRun() }

        private func folder(_ name: String) -> String { "\(RottenRun.newerFolder)/\(name): " }

        /// Why a file cut to so many bytes is not taken.
        private func reasons(_ name: String, cutTo count: Int) -> [String] {
            let size = rotten.saved(name).count
            return [
                folder(name)
                    + (name == "manifest.json"
                        ? "expected a last line" : "expected \(size) bytes, found \(count)")
            ]
        }

        /// Every block's border, and all but the last byte.
        private func borders(_ name: String) -> Set<Int> {
            let size = rotten.saved(name).count
            return Set(stride(from: 0, to: size, by: Cuts.block)).union([size - 1])
        }

        /// Lengths to cut a file to, in descending order: borders, and every byte of what tells where all else is.
        private func lengths(_ name: String) -> [Int] {
            let size = rotten.saved(name).count
            let end = name == "manifest.json" ? size : min(size, 1024)
            let every = Chaos.isLong ? 1 : end / 10
            return borders(name).union(stride(from: 0, to: end, by: every)).sorted(by: >)
        }

        @Test func aCutFileIsNeverLoaded() throws {
            var (objections, count): ([String], Int) = ([], 0)
            for name in rotten.names {
                for length in lengths(name) {
                    // Shorter and shorter.
                    try #require(truncate(rotten.path(name), off_t(length)) == 0)
                    count += 1
                    if let objection = objection(name, cutTo: length, trial: count) {
                        objections.append("\(name), \(length): \(objection)")
                    }
                }
                try rotten.write(rotten.saved(name), name)
                #expect(rotten.objectionToClean() == nil, "\(name)")
            }
            expectNone(objections, of: count, "cuts")
            Chaos.report(
                "cut files: \(count - objections.count) of \(count) passed over: every block of every "
                    + "file, every byte of the manifest and of each file's first KiB")
        }

        /// Of most trials only that it is refused and why, of others the search too, for time's sake.
        private func objection(_ name: String, cutTo length: Int, trial: Int) -> String? {
            let reasons = reasons(name, cutTo: length)
            if trial % 16 == 0 || length % Cuts.block == 0 {
                return rotten.objection(reasons: reasons, ranks: trial % 64 == 0 ? 2 : 1)
            }
            let path = "\(rotten.directory)/\(RottenRun.newerFolder)"
            do throws(CheckpointError) {
                let step = try CheckpointReader(path: path).progress.step
                return "expected \(reasons), found step \(step)"
            } catch {
                guard case .unusable = error.kind, error.message.contains(reasons[0]) else {
                    return "expected \(reasons), found \(error.message)"
                }
                return nil
            }
        }

        /// A size that is right, and blocks that a power cut has kept from the disk: one of them, or all from
        /// one on.
        @Test func aTornFileIsNeverLoaded() throws {
            var (objections, count): ([String], Int) = ([], 0)
            for name in rotten.names {
                let saved = rotten.saved(name)
                let starts = stride(from: 0, to: saved.count, by: Cuts.block)
                for start in starts where Chaos.isLong || start % (16 * Cuts.block) == 0 {
                    for end in Set([min(start + Cuts.block, saved.count), saved.count]) {
                        var torn = saved
                        for index in start..<end { torn[index] = 0 }
                        if torn == saved { continue }
                        try rotten.write(torn, name)
                        count += 1
                        if let objection = rotten.objection(reasons: [folder(name)]) {
                            objections.append("\(name), zeros in \(start)..<\(end): \(objection)")
                        }
                    }
                }
                try rotten.write(saved, name)
            }
            expectNone(objections, of: count, "torn files")
            #expect(rotten.objectionToClean() == nil)
            Chaos.report("torn files: \(count - objections.count) of \(count) passed over")
        }

        @Test(arguments: [[0x0A], [0], [0x20], Array("}\n".utf8)] as [[UInt8]])
        func aGrownFileIsNeverLoaded(more: [UInt8]) throws {
            for name in rotten.names {
                try rotten.write(rotten.saved(name) + more, name)
                let length = rotten.saved(name).count + more.count
                let objection = rotten.objection(reasons: reasons(name, cutTo: length))
                #expect(objection == nil, "\(name), \(more) more")
                try rotten.write(rotten.saved(name), name)
            }
            #expect(rotten.objectionToClean() == nil)
        }

        @Test func theProgramStopsBeforeItsFirstStep() throws {
            var dice = Dice(seed: Dice.seed &+ 4)
            let count = Chaos.trials(20, short: 1)
            var objections: [String] = []
            for trial in 0..<count {
                let name = rotten.names[trial % rotten.names.count]
                let length = dice.pick(lengths(name))
                try #require(truncate(rotten.path(name), off_t(length)) == 0)
                let objection = try rotten.objectionOfProgram(
                    reasons: reasons(name, cutTo: length), ranks: trial % 2 == 0 ? nil : 2)
                if let objection { objections.append("\(name), \(length): \(objection)") }
                try rotten.write(rotten.saved(name), name)
            }
            expectNone(objections, of: count, "the program and cut files")
            Chaos.report(
                "cut files, no other checkpoint: exit code 4 in \(count - objections.count) of \(count)"
            )
        }
    }
}
