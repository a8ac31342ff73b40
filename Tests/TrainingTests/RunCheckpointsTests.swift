import Checkpointing
import Communication
import Foundation
import Layers
import Synchronization
import Tensors
import TestSupport
import Testing
import Training

@Suite struct RunCheckpointsTests {
    private func steps(_ folder: TemporaryFolder) -> [Int] {
        ((try? folder.names(in: "checkpoints")) ?? []).compactMap {
            $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil
        }.sorted()
    }

    private func values(_ folder: TemporaryFolder, step: Int) throws -> Set<Float> {
        let name = String(format: "checkpoints/step-%010d", step)
        let reader = try CheckpointReader(path: folder.file(name))
        try reader.verify()
        return Set(try reader.loadTensor("w").array)
    }

    /// One rank's disk hangs: steps go on, nothing is committed; then it is, with the state as it was.
    @Test(arguments: [(1, 0), (2, 0), (2, 1), (4, 3)])
    func trainingGoesOnWhileASaveIsWritten(ranks: Int, slow: Int) throws {
        let folder = try TemporaryFolder()
        var states = [StoppableDisk.State](repeating: .works, count: ranks)
        states[slow] = .hangs
        let disk = StoppableDisk(states)
        try InProcess.run(ranks: ranks) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            try rank.save(step: 10)
            for _ in 0..<20 {
                rank.set(-1)
                try rank.advance()
            }
            #expect(steps(folder) == [])
            if communicator.rank == slow { #expect(rank.checkpoints.status == .writing) }
            try communicator.barrier().wait()
            disk.set(.works, rank: slow)
            try rank.advanceUntilWritten()
            #expect(rank.checkpoints.status == .none && steps(folder) == [10])
            #expect(rank.lines.contains { $0.hasPrefix("saved ") })
        }
        #expect(try values(folder, step: 10) == [10])
    }

    /// A save that is due while another is written waits for it.
    @Test func twoSavesAreNeverUnderWay() throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .hangs])
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            try rank.save(step: 10)
            if communicator.rank == 0 {
                #expect(steps(folder) == [])
                Thread.detachNewThread {
                    usleep(100_000)
                    #expect(self.steps(folder) == [])
                    disk.set(.works, rank: 1)
                }
            }
            try rank.save(step: 20)
            #expect(steps(folder).contains(10))
            try rank.checkpoints.finish()
        }
        #expect(steps(folder) == [10, 20])
        #expect(try values(folder, step: 10) == [10])
        #expect(try values(folder, step: 20) == [20])
    }

    @Test(arguments: [(1, 0), (2, 0), (2, 1)])
    func threeFailuresInARowEndTheRun(ranks: Int, broken: Int) throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk(.init(repeating: .works, count: ranks))
        let errors = try InProcess.run(ranks: ranks) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            func save(_ step: Int, _ state: StoppableDisk.State) throws {
                try communicator.barrier().wait()
                disk.set(state, rank: broken)
                try communicator.barrier().wait()
                try rank.save(step: step)
                try rank.advanceUntilWritten()
            }
            // A success between failures starts the count anew.
            for (step, state) in [(1, .fails), (2, .fails), (3, .works), (4, .fails), (5, .fails)]
                as [(Int, StoppableDisk.State)]
            {
                try save(step, state)
            }
            let warnings = rank.lines.filter { $0.hasPrefix("warning: step ") }
            #expect(warnings.count == 4 && warnings[0].contains("no space"), "\(rank.lines)")
            #expect(steps(folder) == [3])
            do {
                try save(6, .fails)
                return "none"
            } catch let error as RunError {
                #expect(error.exitCode == 5 && error.isShared && error.step == 6)
                return error.message
            }
        }
        #expect(errors[0].contains("no space; 3 saves in a row have failed"), "\(errors)")
        #expect(Set(errors).count == 1)
        #expect(try folder.names(in: "checkpoints") == ["step-0000000003"])
        #expect(try values(folder, step: 3) == [3])
    }

    /// A save that fails has saved no update, on any rank; one that the run goes on from has.
    @Test(arguments: [(1, 0), (2, 0), (2, 1)])
    func aSaveThatFailsHoldsNothing(ranks: Int, broken: Int) throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk(.init(repeating: .works, count: ranks))
        try InProcess.run(ranks: ranks) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            let checkpoints = rank.checkpoints
            #expect(!checkpoints.holds(updates: 1))
            for (step, state) in [(1, .works), (2, .fails), (3, .works)]
                as [(Int, StoppableDisk.State)]
            {
                try communicator.barrier().wait()
                disk.set(state, rank: broken)
                try communicator.barrier().wait()
                try rank.save(step: step)
                #expect(checkpoints.holds(updates: step))
                try rank.advanceUntilWritten()
                #expect(checkpoints.holds(updates: step) == (state == .works))
            }
            let writer = CheckpointWriter(runDirectory: folder.path, keep: 9)
            let resumed = RunCheckpoints(
                writer, communicator: communicator, savedUpdates: 3
            ) { _ in }
            #expect(resumed.holds(updates: 3) && !resumed.holds(updates: 4))
        }
        #expect(steps(folder) == [1, 3])
    }

    /// What is read back damaged holds nothing either.
    @Test func aSaveThatIsNotReadBackHoldsNothing() throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .works], .read)
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            if communicator.rank == 1 { disk.set(.fails, rank: 1) }
            try rank.save(step: 1)
            try rank.advanceUntilWritten()
            #expect(!rank.checkpoints.holds(updates: 1))
            try communicator.barrier().wait()
        }
        #expect(steps(folder) == [1])
    }

    @Test func aLastSaveThatFailsEndsTheRun() throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .fails])
        let codes = try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            do {
                try rank.save(step: 10, isLast: true)
                return 0 as Int32
            } catch let error as RunError {
                return error.exitCode
            }
        }
        #expect(codes == [5, 5] && steps(folder) == [])
        // The control: a disk that works.
        disk.set(.works, rank: 1)
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            try rank.save(step: 10, isLast: true)
            #expect(steps(folder) == [10])
        }
    }

    /// Rank 0's disk hangs when the parts are there: the others go on with steps, and nobody waits.
    @Test func trainingGoesOnWhileTheWholeIsMade() throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .works], file: "/manifest.json")
        disk.set(.hangs, rank: 0)
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator)
            try rank.save(step: 10)
            while rank.checkpoints.status == .writing { usleep(500) }
            try communicator.barrier().wait()
            for _ in 0..<20 { try rank.advance() }
            #expect(steps(folder) == [])
            #expect(rank.checkpoints.status == (communicator.rank == 0 ? .writing : .durable))
            try communicator.barrier().wait()
            disk.set(.works, rank: 0)
            try rank.advanceUntilWritten()
            #expect(steps(folder) == [10])
        }
    }

    /// A rank hangs when it reads its share of the new checkpoint: steps go on, nobody waits, and nothing goes.
    @Test(arguments: [0, 1]) func trainingGoesOnWhileTheWholeIsReadBack(slow: Int) throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .works], .read)
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator, keep: 1)
            try rank.save(step: 10)
            try rank.advanceUntilWritten()
            try communicator.barrier().wait()
            disk.set(.hangs, rank: slow)
            try rank.save(step: 20)
            while !rank.lines.contains(where: { $0.hasSuffix("step-0000000020") }) {
                while rank.checkpoints.status == .writing { usleep(500) }
                try communicator.barrier().wait()
                try rank.advance()
            }
            for _ in 0..<20 { try rank.advance() }
            if communicator.rank == slow { #expect(rank.checkpoints.status == .writing) }
            #expect(steps(folder) == [10, 20])
            try communicator.barrier().wait()
            disk.set(.works, rank: slow)
            try rank.save(step: 30, isLast: true)
            #expect(steps(folder) == [30] && !rank.lines.contains { $0.hasPrefix("warning") })
        }
    }

    /// The last save does not wait for an older checkpoint to be read back, and no old one goes because of it.
    @Test(arguments: [0, 1]) func theLastSaveWaitsForNoReading(slow: Int) throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .works], file: "step-0000000010/shard-", .read)
        disk.set(.hangs, rank: slow)
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator, keep: 1)
            try rank.save(step: 10)
            while !rank.lines.contains(where: { $0.hasSuffix("step-0000000010") }) {
                try communicator.barrier().wait()
                try rank.advance()
            }
            try rank.save(step: 20, isLast: true, finishes: false)
            while !rank.lines.contains(where: { $0.hasSuffix("step-0000000020") }) {
                try communicator.barrier().wait()
                try rank.advance()
            }
            try communicator.barrier().wait()
            #expect(steps(folder) == [10, 20])
            try communicator.barrier().wait()
            disk.set(.works, rank: slow)
            try rank.checkpoints.finish()
        }
        #expect(try values(folder, step: 20) == [20])
    }

    /// Where there is no copy, training waits until all ranks have written, and may then change the state.
    @Test(arguments: [(1, 0), (2, 0), (2, 1), (4, 3)])
    func withoutACopyTrainingWaits(ranks: Int, slow: Int) throws {
        let folder = try TemporaryFolder()
        var states = [StoppableDisk.State](repeating: .works, count: ranks)
        states[slow] = .hangs
        let disk = StoppableDisk(states)
        try InProcess.run(ranks: ranks) { communicator in
            let rank = SavingRank(folder, disk, communicator, copiesState: false)
            let isReleased = Atomic(false)
            if communicator.rank == slow {
                Thread.detachNewThread {
                    usleep(100_000)
                    isReleased.store(true, ordering: .sequentiallyConsistent)
                    disk.set(.works, rank: slow)
                }
            }
            try rank.save(step: 10)
            let hasWaited = isReleased.load(ordering: .sequentiallyConsistent)
            #expect(communicator.rank != slow || hasWaited)
            rank.set(-1)
            try rank.advanceUntilWritten()
            #expect(steps(folder) == [10])
        }
        #expect(try values(folder, step: 10) == [10])
    }

    /// A disk that fails costs such a save, and the next one is made.
    @Test func withoutACopyADiskThatFailsCostsASave() throws {
        let folder = try TemporaryFolder()
        let disk = StoppableDisk([.works, .fails])
        try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, disk, communicator, copiesState: false)
            try rank.save(step: 10)
            try rank.advanceUntilWritten()
            #expect(rank.checkpoints.status == .none)
            #expect(
                rank.lines.count { $0.hasPrefix("warning: step 10: checkpoint not saved") } == 1)
            try communicator.barrier().wait()
            disk.set(.works, rank: 1)
            try rank.save(step: 20, isLast: true)
            #expect(steps(folder) == [20])
        }
        #expect(try values(folder, step: 20) == [20])
    }

    /// What must be durable before the checkpoint is, is done before its manifest is written.
    @Test func aCompanionComesBeforeTheManifest() throws {
        let folder = try TemporaryFolder()
        let order = Mutex<[String]>([])
        let operations = FileOperations { (operation, path) throws(CheckpointError) in
            if operation == .createFile { order.withLock { $0.append("file") } }
        }
        let checkpoints = RunCheckpoints(
            CheckpointWriter(runDirectory: folder.path, keep: 1, operations: operations),
            communicator: InProcess.alone()
        ) { _ in }
        let progress = TrainingProgress(
            step: 1, optimizerUpdates: 1, samples: 1,
            identity: .init(
                run: "r", configuration: "", configurationDigest: "", tokenizer: "",
                tokenizerDigest: "", datasetDigest: "", build: "", blas: ""))
        try checkpoints.save([], progress: progress, isLast: true) {
            order.withLock { $0.append("companion") }
        }
        try checkpoints.finish()
        #expect(order.withLock { $0 } == ["file", "file", "file", "companion", "file"])
    }

    /// Elements that two ranks hold in turn are parts of one: more than a file's header may name are refused before
    /// anything is computed.
    @Test(arguments: [(100_000, true), (100_001, false)])
    func aStateInTooManyPartsIsRefused(parts: Int, isSavable: Bool) throws {
        let folder = try TemporaryFolder()
        let codes = try InProcess.run(ranks: 2) { communicator -> Int32 in
            let rank = SavingRank(folder, StoppableDisk([.works, .works]), communicator)
            let buffer = Buffer(count: parts)
            let pieces = (0..<parts).map { part in
                let element = 2 * part + communicator.rank
                return StateTensor.Piece(
                    range: element..<element + 1, buffer: buffer[part..<part + 1])
            }
            do throws(RunError) {
                try rank.checkpoints.requireSavable([
                    StateTensor(
                        name: "w", spec: ShardSpec(replicated: [2 * parts]), pieces: pieces)
                ])
                return 0
            } catch {
                #expect(error.message.hasSuffix("raise parallelism.bucket_bytes"))
                return error.exitCode
            }
        }
        #expect(codes == (isSavable ? [0, 0] : [2, 2]))
    }

    /// No later attempt will mend this one.
    @Test func aStepOfAnotherRunEndsTheRunAtOnce() throws {
        let folder = try TemporaryFolder()
        let codes = try InProcess.run(ranks: 2) { communicator in
            let rank = SavingRank(folder, StoppableDisk([.works, .works]), communicator)
            try rank.save(step: 10, isLast: true)
            do {
                try rank.save(step: 10, run: "another")
                return 0 as Int32
            } catch let error as RunError {
                return error.exitCode
            }
        }
        #expect(codes == [4, 4])
    }
}
