import Checkpointing
import Communication
import Foundation
import Layers
import Testing

@Suite struct CommitTests {
    private func steps(_ folder: TemporaryFolder) throws -> [String] {
        try folder.names("checkpoints").filter { $0.hasPrefix("step-") }
    }

    /// File operations of a rank in an undisturbed save of step 20 after step 10.
    private func operationCount(of rank: Int, among ranks: Int) throws -> Int {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: ranks)
        let saboteur = Saboteur(before: .max, of: rank)
        try save(
            into: folder, ranks: ranks, progress: SampleState.progress(step: 20), keep: 1,
            operations: saboteur.operations)
        return saboteur.log.count
    }

    /// Each operation of each rank.
    @Test(arguments: [(0, 1), (0, 2), (1, 2), (3, 4)], [true, false])
    func endedAnywhereASaveLeavesTheOldOrTheNew(
        _ victim: (rank: Int, ranks: Int), _ isKill: Bool
    ) throws {
        let (rank, ranks) = victim
        let old = try digest(seed: 1, step: 10)
        let new = try digest(seed: 2, step: 20)
        let count = try operationCount(of: rank, among: ranks)
        #expect(count > (rank == 0 ? 25 : 5))
        var outcomes: [String] = []
        for target in 0..<count {
            let folder = try TemporaryFolder()
            try save(into: folder, ranks: ranks, seed: 1)
            let saboteur = Saboteur(before: target, of: rank, isKill: isKill)
            let error = checkpointError {
                try save(
                    into: folder, ranks: ranks, seed: 2, progress: SampleState.progress(step: 20),
                    keep: 1, operations: saboteur.operations)
            }
            let found = try #require(try CheckpointReader.newest(in: folder.path))
            #expect(found.warnings.isEmpty)
            let digest = try found.reader.digest()
            #expect(digest == old || digest == new, "operation \(target)")
            // Success is only reported for what is there.
            if error == nil { #expect(digest == new, "operation \(target)") }
            outcomes.append(digest == old ? "old" : "new")
            // The next save succeeds, and clears away whatever was left.
            try save(
                into: folder, ranks: ranks, seed: 2, progress: SampleState.progress(step: 30),
                keep: 1)
            #expect(try folder.names("checkpoints") == ["step-0000000030"])
        }
        // All olds before all news: what the others do after the first rank has made one is read it back.
        #expect(outcomes == outcomes.sorted(by: >))
        #expect(Set(outcomes).count == 2)
    }

    @Test(arguments: [1, 4])
    func aFailedSaveIsTheSameErrorOnEveryRank(_ ranks: Int) throws {
        let folder = try TemporaryFolder()
        for target in [0, 3, 6, 15] {
            let error = checkpointError {
                try save(
                    into: folder, ranks: ranks,
                    operations: Saboteur(before: target).operations)
            }
            #expect(error?.message.contains("sabotaged") == true, "operation \(target)")
            guard case .io = error?.kind else {
                Issue.record("expected an I/O error, found \(String(describing: error))")
                continue
            }
        }
        try save(into: folder, ranks: ranks)
    }

    @Test func everyFileAndFolderIsMadeDurableBeforeTheRename() throws {
        let folder = try TemporaryFolder()
        let saboteur = Saboteur(before: .max)
        try save(into: folder, operations: saboteur.operations)
        let log = saboteur.log
        let rename = try #require(log.firstIndex(of: .rename))
        let files = log.filter { $0 == .createFile }.count
        #expect(files == 4)
        // Four files, the folder's parent when it is made, the temporary folder; then the parent.
        #expect(log[..<rename].filter { $0 == .synchronize }.count == files + 3)
        #expect(log[..<rename].filter { $0 == .close }.count == files)
        #expect(log[rename - 1] == .synchronize && log[rename + 1] == .synchronize)
    }

    @Test func theNewestAreKept() throws {
        let folder = try TemporaryFolder()
        for step in stride(from: 10, through: 50, by: 10) {
            try save(into: folder, progress: SampleState.progress(step: step), keep: 2)
        }
        #expect(try folder.names("checkpoints") == ["step-0000000040", "step-0000000050"])
    }

    @Test func onlyUsableOnesCountAndForeignOnesStay() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, progress: SampleState.progress(step: 10, run: "run-2"))
        for step in [20, 30, 40] {
            try save(into: folder, progress: SampleState.progress(step: step), keep: 5)
        }
        try folder.write([], as: "checkpoints/step-0000000030/manifest.json")
        try save(into: folder, progress: SampleState.progress(step: 50), keep: 2)
        // 50 and 40 are kept; 30 is damaged, 10 is another run's; 20 is removed.
        #expect(
            try steps(folder) == [
                "step-0000000010", "step-0000000030", "step-0000000040", "step-0000000050",
            ])
    }

    @Test func aStepOfAnotherRunIsNotOverwritten() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, seed: 1)
        let before = try contents("\(folder.path)/checkpoints/step-0000000010/manifest.json")
        let error = checkpointError {
            try save(into: folder, seed: 2, progress: SampleState.progress(run: "run-2"))
        }
        #expect(error?.message.contains("expected no checkpoint, or one of run run-2") == true)
        let after = try contents("\(folder.path)/checkpoints/step-0000000010/manifest.json")
        #expect(before == after)
        #expect(try folder.names("checkpoints") == ["step-0000000010"])
    }

    @Test func theSameStepAgainIsKeptOrReplaced() throws {
        let folder = try TemporaryFolder()
        try save(into: folder)
        try save(into: folder)
        let error = checkpointError { try save(into: folder, seed: 2) }
        #expect(error?.message.contains("found one of another") == true)
        // One of a newer format is somebody's work, whatever is in it.
        let manifest = "\(folder.path)/checkpoints/step-0000000010/manifest.json"
        let sound = try contents(manifest)
        try newerManifest(sound).write(to: URL(fileURLWithPath: manifest))
        let newer = checkpointError { try save(into: folder) }
        #expect(newer?.message.contains("a newer murmur wrote it") == true)
        try Data(sound).write(to: URL(fileURLWithPath: manifest))
        // A damaged one is replaced.
        try folder.write(
            [1, 2, 3], as: "checkpoints/step-0000000010/shard-00000-of-00001.safetensors")
        try save(into: folder, seed: 2)
        let found = try #require(try CheckpointReader.newest(in: folder.path))
        #expect(try found.reader.digest() == digest(seed: 2, step: 10))
        #expect(try folder.names("checkpoints") == ["step-0000000010"])
    }

    /// Going back to an older one would throw work away.
    @Test func aNewerFormatIsNotPassedOver() throws {
        let folder = try TemporaryFolder()
        try save(into: folder)
        try save(into: folder, progress: SampleState.progress(step: 20))
        let manifest = "\(folder.path)/checkpoints/step-0000000020/manifest.json"
        try newerManifest(try contents(manifest)).write(to: URL(fileURLWithPath: manifest))
        let error = checkpointError { _ = try CheckpointReader.newest(in: folder.path) }
        guard case .mismatch = error?.kind else {
            Issue.record("expected a mismatch, found \(String(describing: error))")
            return
        }
    }

    /// The manifest as a format to come would have it, rightly digested.
    private func newerManifest(_ manifest: [UInt8]) -> Data {
        let text = String(decoding: manifest.dropLast(85), as: UTF8.self)
            .replacing("\"version\": 3", with: "\"version\": 4")
        return Data("\(text)\"digest\": \"\(ContentDigest.labelled(Array(text.utf8)))\"}\n".utf8)
    }

    @Test func leftoversThatStayAreSaidAndStopNoSave() throws {
        let folder = try TemporaryFolder()
        try save(into: folder)
        for name in [".tmp-step-0000000005-1", ".trash-step-0000000004"] {
            try FileManager.default.createDirectory(
                atPath: "\(folder.path)/checkpoints/\(name)/nested",
                withIntermediateDirectories: true)
        }
        try folder.write([1], as: "checkpoints/.tmp-stray")
        let writer = CheckpointWriter(runDirectory: folder.path, keep: 1)
        let saved = try writer.save(
            SampleState.state(rank: 0, of: 1), progress: SampleState.progress(step: 20),
            communicator: InProcess.alone())
        #expect(saved.path == "\(folder.path)/checkpoints/step-0000000020")
        #expect(saved.warnings.count == 2)
        #expect(saved.warnings.first?.contains("/nested: expected unlink to succeed") == true)
        #expect(try steps(folder) == ["step-0000000020"])
        #expect(try !folder.names("checkpoints").contains(".tmp-stray"))
    }

    @Test func aStateThatCouldNotBeReadIsNotCommitted() throws {
        let folder = try TemporaryFolder()
        let writer = CheckpointWriter(runDirectory: folder.path, keep: 1)
        let unnamed = StateTensor(name: "a\nb", spec: ShardSpec(replicated: [0]), pieces: [])
        let error = checkpointError {
            _ = try writer.save(
                [unnamed], progress: SampleState.progress(), communicator: InProcess.alone())
        }
        #expect(error?.message.contains("expected a name") == true)
        #expect(try folder.names("checkpoints") == [])
    }

    @Test func aRunDirectoryThatIsMissingIsNamed() throws {
        let folder = try TemporaryFolder()
        let writer = CheckpointWriter(runDirectory: "\(folder.path)/missing", keep: 1)
        let error = checkpointError {
            _ = try writer.save(
                [], progress: SampleState.progress(), communicator: InProcess.alone())
        }
        #expect(error?.message.contains("missing/checkpoints: expected mkdir to succeed") == true)
    }

    private func digest(seed: UInt32, step: Int) throws -> String {
        let folder = try TemporaryFolder()
        try save(into: folder, seed: seed, progress: SampleState.progress(step: step))
        return try #require(try CheckpointReader.newest(in: folder.path)).reader.digest()
    }
}
