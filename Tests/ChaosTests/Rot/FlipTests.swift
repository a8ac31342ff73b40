import Foundation
import TestSupport
import Testing

extension Chaos {
    /// Bits that flip where nobody looks: on the disk.
    @Suite(.serialized) struct Flips {
        private let rotten: RottenRun
        private let files: [FileMap]

        init() throws {
            let rotten = try RottenRun()
            files = try rotten.names.map { try FileMap($0, path: rotten.path($0)) }
            self.rotten = rotten
        }

        /// Flips the bit, and back when it is flipped again.
        private func flip(_ flip: Flip, folder: String = RottenRun.newerFolder) throws {
            let path = "\(rotten.directory)/\(folder)/\(flip.file.name)"
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
            defer { try? file.close() }
            try file.seek(toOffset: UInt64(flip.offset))
            let byte = try #require(try file.read(upToCount: 1)?.first)
            try file.seek(toOffset: UInt64(flip.offset))
            try file.write(contentsOf: [byte ^ 1 << UInt8(flip.bit)])
        }

        private func reasons(_ flip: Flip) -> [String] {
            flip.file.reasons(at: flip.offset, folder: RottenRun.newerFolder)
        }

        @Test func aFlippedBitIsNeverLoaded() throws {
            var dice = Dice()
            let count = Chaos.trials(10_000, short: 100)
            var (objections, alarms): ([String], [String]) = ([], [])
            var kinds: [FileMap.Kind: Int] = [:]
            for trial in 0..<count {
                let one = Flip(in: files, evenlyOverBytes: trial % 2 == 0, &dice)
                kinds[one.file.kind(of: one.offset)!, default: 0] += 1
                let ranks = trial % 100 == 99 ? 2 : 1
                try flip(one)
                if let objection = rotten.objection(reasons: reasons(one), ranks: ranks) {
                    objections.append("trial \(trial), \(one): \(objection)")
                }
                try flip(one)
                if trial % 10 == 9, let alarm = rotten.objectionToClean(ranks: ranks) {
                    alarms.append("after trial \(trial): \(alarm)")
                }
            }
            expectNone(objections, of: count, "flips")
            expectNone(alarms, of: count / 10, "clean loads")
            for name in rotten.names {
                #expect(try bytes(of: rotten.path(name)) == rotten.saved(name), "\(name)")
            }
            // Control: every kind of byte had its share.
            #expect(FileMap.Kind.allCases.allSatisfy { kinds[$0, default: 0] > 0 }, "\(kinds)")
            let shares = FileMap.Kind.allCases.map { "\($0.rawValue) \(kinds[$0, default: 0])" }
            Chaos.report(
                "flipped bits: \(count - objections.count) of \(count) passed over for a reason that "
                    + "names the file, and the tensor (\(shares.joined(separator: ", "))); "
                    + "\(count / 10) clean loads, \(alarms.count) alarms; seed \(Dice.seed)")
        }

        @Test func severalFlippedBitsAreNeverLoaded() throws {
            var dice = Dice(seed: Dice.seed &+ 1)
            let count = Chaos.trials(1000, short: 20)
            var objections: [String] = []
            for trial in 0..<count {
                let file = dice.pick(files)
                let two = (Flip(in: file, &dice), Flip(in: file, &dice))
                if two.0.offset == two.1.offset, two.0.bit == two.1.bit { continue }
                let old = Flip(in: files, evenlyOverBytes: false, &dice)
                try flip(two.0)
                try flip(two.1)
                // Of two damaged tensors either may be named.
                let name = "\(RottenRun.newerFolder)/\(file.name): "
                if let objection = rotten.objection(reasons: [name]) {
                    objections.append("trial \(trial), \(two): \(objection)")
                }
                try flip(old, folder: RottenRun.olderFolder)
                let oldReasons = old.file.reasons(at: old.offset, folder: RottenRun.olderFolder)
                let search = Search(rotten.directory, ranks: trial % 50 == 49 ? 2 : 1)
                if case .noneUsable(let message) = search,
                    ([name] + oldReasons).allSatisfy({ message.contains($0) })
                {
                } else {
                    objections.append("trial \(trial), \(two) and \(old) of the older: \(search)")
                }
                try flip(old, folder: RottenRun.olderFolder)
                try flip(two.0)
                try flip(two.1)
            }
            expectNone(objections, of: count, "two flips")
            #expect(rotten.objectionToClean() == nil)
            Chaos.report(
                "two flipped bits in a file, and then one in the older checkpoint too: \(count), "
                    + "\(objections.count) objections; seed \(Dice.seed &+ 1)")
        }

        @Test func theProgramStopsBeforeItsFirstStep() throws {
            var dice = Dice(seed: Dice.seed &+ 2)
            let count = Chaos.trials(100, short: 3)
            var objections: [String] = []
            for trial in 0..<count {
                let one = Flip(in: files, evenlyOverBytes: trial % 2 == 1, &dice)
                try flip(one)
                let objection = try rotten.objectionOfProgram(
                    reasons: reasons(one), ranks: Chaos.isLong && trial % 2 == 1 ? 2 : nil)
                if let objection { objections.append("trial \(trial), \(one): \(objection)") }
                try flip(one)
            }
            expectNone(objections, of: count, "the program without another checkpoint")
            Chaos.report(
                "flipped bits, no other checkpoint: `train --resume` and `checkpoint verify` ended "
                    + "with exit code 4 in \(count - objections.count) of \(count)")
        }

        @Test func theProgramGoesOnFromTheOlder() throws {
            var dice = Dice(seed: Dice.seed &+ 3)
            let count = Chaos.trials(12, short: 1)
            var objections: [String] = []
            for trial in 0..<count {
                let one = Flip(in: files, evenlyOverBytes: false, &dice)
                try flip(one)
                let objection = try rotten.objectionToFallBack(
                    reasons: reasons(one), layout: RunLayout.all[trial % 6])
                if let objection { objections.append("trial \(trial), \(one): \(objection)") }
            }
            expectNone(objections, of: count, "the program with an older checkpoint")
            Chaos.report(
                "flipped bits, an older checkpoint: \(count - objections.count) of \(count) runs "
                    + "passed the damaged one over and ended with the bits of an undisturbed one")
        }
    }
}
