import Checkpointing
import Communication
import Foundation
import Testing

@Suite struct DamageTests {
    private let folder: TemporaryFolder
    private let checkpoint = "checkpoints/step-0000000020"

    init() throws {
        folder = try TemporaryFolder()
        try save(into: folder, ranks: 2, seed: 1)
        try save(into: folder, ranks: 2, seed: 2, progress: SampleState.progress(step: 20))
    }

    /// Expects the newest to be passed over, for a reason that names it, and the older to be taken.
    private func expectFallBack(_ what: String, naming part: String) throws {
        let found = try #require(try CheckpointReader.newest(in: folder.path), "\(what)")
        #expect(found.reader.progress.step == 10, "\(what)")
        #expect(found.warnings.count == 1, "\(what)")
        #expect(found.warnings.first?.contains(part) == true, "\(what): \(found.warnings)")
    }

    @Test func aManifestCutAtAnyByteIsTorn() throws {
        let bytes = try contents("\(folder.path)/\(checkpoint)/manifest.json")
        for count in 0..<bytes.count {
            try folder.write(Array(bytes.prefix(count)), as: "\(checkpoint)/manifest.json")
            try expectFallBack("\(count) bytes", naming: "manifest.json: expected a last line")
        }
        try folder.write(bytes, as: "\(checkpoint)/manifest.json")
        let found = try #require(try CheckpointReader.newest(in: folder.path))
        #expect(found.reader.progress.step == 20 && found.warnings.isEmpty)
    }

    @Test(arguments: [
        "manifest.json", "shard-00000-of-00002.safetensors", "shard-00001-of-00002.safetensors",
        "tokenizer.json",
        "configuration.yaml",
    ])
    func aFlippedBitIsFound(_ name: String) throws {
        let bytes = try contents("\(folder.path)/\(checkpoint)/\(name)")
        for index in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 150)) {
            var damaged = bytes
            damaged[index] ^= 1 << UInt8(index % 8)
            try folder.write(damaged, as: "\(checkpoint)/\(name)")
            try expectFallBack("byte \(index)", naming: "\(checkpoint)/\(name): ")
        }
    }

    @Test func aFlippedBitOfATensorIsNamed() throws {
        var bytes = try contents("\(folder.path)/\(checkpoint)/shard-00000-of-00002.safetensors")
        bytes[bytes.count - 1] ^= 0x80
        try folder.write(bytes, as: "\(checkpoint)/shard-00000-of-00002.safetensors")
        try expectFallBack(
            "last byte",
            naming: "shard-00000-of-00002.safetensors: tensor wte.weight: expected xxh64:")
    }

    @Test func allMissingAndTruncatedFilesAreNamedAtOnce() throws {
        let path = "\(folder.path)/\(checkpoint)"
        let size = try contents("\(path)/shard-00000-of-00002.safetensors").count
        try FileManager.default.removeItem(atPath: "\(path)/shard-00001-of-00002.safetensors")
        try folder.write([0], as: "\(checkpoint)/shard-00000-of-00002.safetensors")
        try expectFallBack(
            "both", naming: "shard-00000-of-00002.safetensors: expected \(size) bytes, found 1")
        try expectFallBack(
            "both", naming: "shard-00001-of-00002.safetensors: expected a file, found: No such")
    }

    @Test func anotherStepsFileIsFound() throws {
        for name in ["shard-00000-of-00002.safetensors", "shard-00001-of-00002.safetensors"] {
            let other = try contents("\(folder.path)/checkpoints/step-0000000010/\(name)")
            let own = try contents("\(folder.path)/\(checkpoint)/\(name)")
            #expect(other.count == own.count && other != own)
            try folder.write(other, as: "\(checkpoint)/\(name)")
            // Its header has the digests of its own tensors.
            try expectFallBack(name, naming: "/\(name): expected xxh64:")
        }
    }

    @Test func linksAndOtherNamesAreNotFollowed() throws {
        let checkpoints = "\(folder.path)/checkpoints"
        try FileManager.default.createSymbolicLink(
            atPath: "\(checkpoints)/step-0000000099", withDestinationPath: "step-0000000010")
        for name in ["step-30", "step-00000000300", "step-000000003x", "Step-0000000030"] {
            try FileManager.default.copyItem(
                atPath: "\(checkpoints)/step-0000000010", toPath: "\(checkpoints)/\(name)")
        }
        let found = try #require(try CheckpointReader.newest(in: folder.path))
        #expect(found.reader.progress.step == 20)
        #expect(found.warnings.count == 1)
        #expect(found.warnings.first?.contains("step-0000000099: expected a folder") == true)

        try FileManager.default.removeItem(atPath: "\(checkpoints)/step-0000000099")
        let model = "\(folder.path)/\(checkpoint)/shard-00000-of-00002.safetensors"
        try FileManager.default.moveItem(atPath: model, toPath: "\(folder.path)/elsewhere")
        try FileManager.default.createSymbolicLink(
            atPath: model, withDestinationPath: "\(folder.path)/elsewhere")
        try expectFallBack(
            "a link to a sound file", naming: "shard-00000-of-00002.safetensors: expected a file")
    }

    @Test(arguments: [1, 2, 4])
    func allRanksFallBackTogether(_ ranks: Int) throws {
        var bytes = try contents("\(folder.path)/\(checkpoint)/shard-00000-of-00002.safetensors")
        bytes[bytes.count - 1] ^= 1
        try folder.write(bytes, as: "\(checkpoint)/shard-00000-of-00002.safetensors")
        let path = folder.path
        let found = try InProcess.run(ranks: ranks) { communicator in
            let found = try CheckpointReader.newest(in: path, communicator: communicator)
            return [found.map { "\($0.reader.progress.step)" } ?? "none"] + (found?.warnings ?? [])
        }
        #expect(found[0].count == 2 && found[0][0] == "10")
        #expect(Set(found).count == 1)
    }

    @Test func noneUsableIsAnErrorAndNoneAtAllIsNot() throws {
        for step in [10, 20] {
            try folder.write([], as: "checkpoints/step-00000000\(step)/manifest.json")
        }
        let error = checkpointError { _ = try CheckpointReader.newest(in: folder.path) }
        #expect(error?.message.contains("expected a usable checkpoint, found none among 2") == true)
        let empty = try TemporaryFolder()
        #expect(try CheckpointReader.newest(in: empty.path)?.reader == nil)
    }

    @Test func aCheckpointIsTakenByItsOwnPath() throws {
        let path = "\(folder.path)/checkpoints/step-0000000010"
        let found = try #require(try CheckpointReader.newest(in: path))
        #expect(found.reader.progress.step == 10)
        try FileManager.default.moveItem(atPath: path, toPath: "\(folder.path)/best")
        let moved = try #require(try CheckpointReader.newest(in: "\(folder.path)/best"))
        #expect(try moved.reader.digest() == found.reader.digest())
        // A link that the user names is followed.
        try FileManager.default.createSymbolicLink(
            atPath: "\(folder.path)/link", withDestinationPath: "best")
        #expect(try CheckpointReader.newest(in: "\(folder.path)/link")?.reader.progress.step == 10)
    }
}
