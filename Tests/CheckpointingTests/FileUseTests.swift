import Checkpointing
import Communication
import Foundation
import Glibc
import Layers
import Synchronization
import Tensors
import Testing

/// Which files of a checkpoint are opened, how many at a time, and what is compared when they are read.
@Suite struct FileUseTests {
    /// The names of what this process has open in a folder, and below.
    private func open(in folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
            let path = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/fd/\($0)")
            return path.flatMap { $0.hasPrefix("\(folder.path)/") ? $0 : nil }
        }
    }

    private func isShard(_ path: String) -> Bool { path.contains("/shard-") }

    /// 16 files: a rank that goes on as it was opens its share of the headers and what it holds, not the 18 files
    /// that there are.
    @Test func aRankOpensWhatItNeeds() throws {
        let (folder, ranks) = (try TemporaryFolder(), 16)
        try save(into: folder, ranks: ranks)
        let openings = try InProcess.run(ranks: ranks) { communicator in
            let reader = try #require(
                try CheckpointReader.newest(in: folder.path, communicator: communicator)
            ).reader
            let state = SampleState.state(rank: communicator.rank, of: ranks, seed: nil)
            try reader.restore(into: state, communicator: communicator)
            let expected = SampleState.state(rank: communicator.rank, of: ranks)
            #expect(bitPatterns(state) == bitPatterns(expected))
            return reader.openings
        }
        // Of the share at most the file that it begins in, one whole one and the one that it ends in; the first rank's
        // has the texts too.
        #expect(openings.allSatisfy { $0 <= 6 }, "\(openings)")
        // The control: whoever needs everything opens every file twice, for its header and to be read.
        let alone = try #require(try CheckpointReader.newest(in: folder.path)).reader
        try alone.restore(into: SampleState.state(rank: 0, of: 1, seed: nil))
        #expect(alone.openings >= 18 + ranks)
    }

    @Test func fewFilesAreOpenAtATimeAndNoneAfterwards() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 16)
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        #expect(try open(in: folder).filter(isShard) == [])
        try reader.restore(into: SampleState.state(rank: 0, of: 1, seed: nil))
        #expect(try open(in: folder) == [])
        for (name, _) in SampleState.specs { _ = try reader.loadTensor(name) }
        let (some, spare) = (try open(in: folder).filter(isShard), try reader.digest())
        #expect(some.count <= 4 && spare.count == 64, "\(some)")
        #expect(try open(in: folder).filter(isShard) == [])
    }

    /// However many there are, and as long as their readers are held.
    @Test func whatIsListedIsNotOpen() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 2)
        let listed = try CheckpointReader.list(in: folder.path)
        #expect(try listed.count == 1 && open(in: folder) == [])
        #expect(try listed[0].reader.get().digest().count == 64)
    }

    @Test func pruningHoldsNothingOpen() throws {
        let folder = try TemporaryFolder()
        let most = Mutex(0)
        for step in 1...6 {
            try save(
                into: folder, ranks: 4, progress: SampleState.progress(step: step),
                keep: step < 6 ? 6 : 2,
                operations: { _ in
                    FileOperations { (operation, path) throws(CheckpointError) in
                        guard operation == .removeFile || operation == .rename else { return }
                        let count = (try? open(in: folder).filter(isShard).count) ?? -1
                        most.withLock { $0 = max($0, count) }
                    }
                })
        }
        #expect(try folder.names("checkpoints") == ["step-0000000005", "step-0000000006"])
        #expect(most.withLock { $0 } <= 4, "\(most.withLock { $0 })")
    }

    /// The disk gave the right bytes when the checkpoint was verified, and gives others when it is loaded.
    @Test(arguments: [1, 2])
    func aRestoreComparesWhatItReads(_ ranks: Int) throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 2)
        let shard = "checkpoints/step-0000000010/shard-00001-of-00002.safetensors"
        let sound = try contents("\(folder.path)/\(shard)")
        let barrier = Mutex(false)
        // A rank alone has read all headers, and reads none again.
        let places = [(sound.count - 1, "tensor "), (100, ": expected xxh64:")].prefix(ranks)
        for (offset, what) in places {
            try folder.write(sound, as: shard)
            barrier.withLock { $0 = false }
            let messages = try InProcess.run(ranks: ranks) { communicator in
                let reader = try #require(
                    try CheckpointReader.newest(in: folder.path, communicator: communicator)
                ).reader
                try communicator.barrier().wait()
                try barrier.withLock { isDamaged in
                    guard !isDamaged else { return }
                    var damaged = sound
                    damaged[offset] ^= 4
                    try folder.write(damaged, as: shard)
                    isDamaged = true
                }
                try communicator.barrier().wait()
                let state = SampleState.state(rank: communicator.rank, of: ranks, seed: nil)
                return checkpointError {
                    try reader.restore(into: state, communicator: communicator)
                }?.message
            }
            let message = messages[0] ?? "restored"
            #expect(message.contains("\(shard): ") && message.contains(what), "\(message)")
            #expect(Set(messages).count == 1)
        }
    }

    /// A part that a rank needs less than half of is not read whole.
    @Test func littleOfAPartIsReadAlone() throws {
        let folder = try TemporaryFolder()
        let spec = ShardSpec(replicated: [1 << 16])
        let values = Tensor((0..<1 << 16).map { Float($0) }, shape: [1 << 16])
        try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
            [
                StateTensor(
                    name: "w", spec: spec,
                    pieces: [.init(range: 0..<1 << 16, buffer: values.buffer)])
            ], progress: SampleState.progress(), communicator: InProcess.alone())
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        let shard = "checkpoints/step-0000000010/shard-00000-of-00001.safetensors"
        var damaged = try contents("\(folder.path)/\(shard)")
        damaged[damaged.count - 1] ^= 1
        try folder.write(damaged, as: shard)
        for (count, isWhole) in [((1 << 15) - 1, false), (1 << 15, true)] {
            let target = Tensor(zeros: [count])
            let error = checkpointError {
                try reader.restore(
                    into: [
                        StateTensor(
                            name: "w", spec: spec,
                            pieces: [.init(range: 0..<count, buffer: target.buffer)])
                    ])
            }
            #expect((error != nil) == isWhole, "\(count): \(String(describing: error))")
            #expect(isWhole || target.array == (0..<count).map { Float($0) })
        }
    }
}
