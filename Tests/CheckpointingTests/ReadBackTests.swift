import Checkpointing
import Communication
import Foundation
import Synchronization
import Testing

/// What is done to the files of the checkpoint of step 20 when they are durable, before anybody reads them back,
/// and which rank reads which.
private final class Tamperer: Sendable {
    private let isDone = Mutex(false)
    private let reads = Mutex<[Int: [String]]>([:])
    private let change: @Sendable (_ checkpoint: String) throws -> Void

    init(_ change: @escaping @Sendable (_ checkpoint: String) throws -> Void = { _ in }) {
        self.change = change
    }

    /// Names of files, by rank.
    var readFiles: [Int: [String]] { reads.withLock { $0 } }

    @Sendable func operations(of rank: Int) -> FileOperations {
        FileOperations { [self] (operation, path) throws(CheckpointError) in
            let checkpoint = "\(path)/step-0000000020"
            if operation == .synchronize, path.hasSuffix("/checkpoints"),
                FileManager.default.fileExists(atPath: checkpoint),
                isDone.withLock({ isDone in
                    defer { isDone = true }
                    return !isDone
                })
            {
                do { try change(checkpoint) } catch { Issue.record(error) }
            }
            let name = path.split(separator: "/").last.map(String.init) ?? ""
            if operation == .read { reads.withLock { $0[rank, default: []].append(name) } }
        }
    }
}

@Suite struct ReadBackTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try save(into: folder, ranks: 2, seed: 1)
    }

    private func shard(_ rank: Int, of ranks: Int) -> String {
        "shard-0000\(rank)-of-0000\(ranks).safetensors"
    }

    /// Saves step 20, of which one is kept; returns the warnings.
    private func saveNext(
        ranks: Int, updates: Int? = nil, _ tamperer: Tamperer
    ) throws -> [String] {
        try InProcess.run(ranks: ranks) { communicator in
            let writer = CheckpointWriter(
                runDirectory: folder.path, keep: 1,
                operations: tamperer.operations(of: communicator.rank))
            let saved = try writer.save(
                SampleState.state(rank: communicator.rank, of: ranks, seed: 2),
                progress: SampleState.progress(step: 20, updates: updates),
                communicator: communicator)
            return saved.warnings
        }.flatMap { $0 }
    }

    /// Each file by one rank, and by no rank that wrote it where there is another.
    @Test(arguments: [1, 2, 3, 4]) func theRanksShareItOut(_ ranks: Int) throws {
        let tamperer = Tamperer()
        #expect(try saveNext(ranks: ranks, tamperer) == [])
        for rank in 0..<ranks {
            #expect(tamperer.readFiles[rank] == [shard((rank + 1) % ranks, of: ranks)])
        }
        #expect(try folder.names("checkpoints") == ["step-0000000020"])
    }

    /// A bit of any rank's file that did not come to the disk as it was written: named, and the older one stays, also
    /// where the new one repeats it.
    @Test(arguments: [(1, 0), (2, 0), (2, 1), (4, 3)], [19, 9])
    func damageIsNamedAndTheOlderOneStays(place: (ranks: Int, victim: Int), updates: Int) throws {
        let (ranks, victim) = place
        let name = shard(victim, of: ranks)
        let warnings = try saveNext(
            ranks: ranks, updates: updates,
            Tamperer { checkpoint in
                var bytes = try contents("\(checkpoint)/\(name)")
                bytes[bytes.count - 1] ^= 1
                try Data(bytes).write(to: URL(fileURLWithPath: "\(checkpoint)/\(name)"))
            })
        let form = try Regex(
            ".*/step-0000000020/\(name): tensor wte.weight: expected xxh64:.*, found xxh64:.*; this checkpoint is not counted, and stays"
        )
        #expect(warnings.count == 1 && warnings[0].wholeMatch(of: form) != nil, "\(warnings)")
        #expect(try folder.names("checkpoints") == ["step-0000000010", "step-0000000020"])
        let found = try #require(try CheckpointReader.newest(in: folder.path))
        #expect(found.reader.progress.step == 10)
    }

    @Test(arguments: ["manifest.json", "tokenizer.json", "shard-00002-of-00003.safetensors"])
    func aFileThatIsGoneIsNamed(_ name: String) throws {
        let warnings = try saveNext(
            ranks: 3,
            Tamperer { try FileManager.default.removeItem(atPath: "\($0)/\(name)") })
        #expect(warnings.count == 1 && warnings[0].contains("/\(name): "), "\(warnings)")
        #expect(try folder.names("checkpoints") == ["step-0000000010", "step-0000000020"])
    }

    /// What a rank cannot read for a reason of its own says nothing of the checkpoint: the first one reads it
    /// again.
    @Test func whatARankCannotReadIsReadAgain() throws {
        let tamperer = Saboteur(before: 0, of: 1, only: .read)
        let warnings = try InProcess.run(ranks: 2) { communicator in
            let writer = CheckpointWriter(
                runDirectory: folder.path, keep: 1,
                operations: tamperer.operations(of: communicator.rank))
            return try writer.save(
                SampleState.state(rank: communicator.rank, of: 2, seed: 2),
                progress: SampleState.progress(step: 20), communicator: communicator
            ).warnings
        }.flatMap { $0 }
        #expect(warnings.count == 1 && warnings[0].hasSuffix("sabotaged; it is read again"))
        #expect(try folder.names("checkpoints") == ["step-0000000020"])
    }

    /// A run that goes on knows none of its older ones: all ranks read those that may stay.
    @Test func olderOnesThatMayStayAreReadByAllRanks() throws {
        try save(into: folder, ranks: 3, progress: SampleState.progress(step: 15))
        let tamperer = Tamperer()
        try save(
            into: folder, ranks: 3, progress: SampleState.progress(step: 20), keep: 2,
            operations: tamperer.operations)
        for rank in 0..<3 {
            let shards = tamperer.readFiles[rank]?.filter { $0.hasPrefix("shard-") }
            #expect(shards == Array(repeating: shard((rank + 1) % 3, of: 3), count: 2))
        }
        #expect(try folder.names("checkpoints") == ["step-0000000015", "step-0000000020"])
    }
}
