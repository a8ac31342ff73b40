import Checkpointing
import Communication
import Foundation
import Layers
import Tensors
import TestSupport
import Testing

/// A checkpoint of version 2 that a program wrote which knew no other: see Tests/Fixtures/format_2/README.md.
@Suite struct OlderFormatTests {
    private static let fixture = "\(packageRoot)/Tests/Fixtures/format_2/step-0000000002"
    private static let digest = "ebc29c14c8d8ab2ce497924eab37c736b1dff1a66ef4518cc492f8181896aa68"

    @Test func itIsReadAsItWas() throws {
        let reader = try CheckpointReader(path: Self.fixture)
        #expect(reader.manifest.formatVersion == 2)
        try reader.verify()
        #expect(try reader.digest() == Self.digest)
        #expect(try reader.partCount(of: "wte.weight") == 2)
    }

    /// What a run goes on with: the state, in whatever pieces, and the progress. Saved anew it has the digest.
    @Test(arguments: [1, 3, 4])
    func whatIsRestoredIsTheState(_ ranks: Int) throws {
        let folder = try TemporaryFolder()
        try InProcess.run(ranks: ranks) { communicator in
            let found = try #require(
                try CheckpointReader.newest(in: Self.fixture, communicator: communicator))
            let state = found.reader.manifest.tensors.map { entry in
                let (count, rank) = (entry.spec.shape.count, communicator.rank)
                let range = count * rank / ranks..<count * (rank + 1) / ranks
                return StateTensor(
                    name: entry.name, spec: entry.spec,
                    pieces: [.init(range: range, buffer: Tensor(zeros: [range.count]).buffer)])
            }
            try found.reader.restore(into: state, communicator: communicator)
            try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
                state, progress: found.reader.progress, communicator: communicator)
        }
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        #expect(reader.manifest.formatVersion == 3)
        #expect(try reader.digest() == Self.digest)
        #expect(reader.progress == (try CheckpointReader(path: Self.fixture)).progress)
    }

    @Test func aFlippedBitOfItIsFound() throws {
        let folder = try TemporaryFolder()
        for name in try FileManager.default.contentsOfDirectory(atPath: Self.fixture) {
            try folder.write(contents("\(Self.fixture)/\(name)"), as: name)
        }
        for name in try folder.names() {
            let sound = try contents("\(folder.path)/\(name)")
            for index in stride(from: 0, to: sound.count, by: max(1, sound.count / 40)) {
                var damaged = sound
                damaged[index] ^= 1 << UInt8(index % 8)
                try folder.write(damaged, as: name)
                let error = checkpointError { try CheckpointReader(path: folder.path).verify() }
                #expect(error?.message.contains("/\(name): ") == true, "\(name) \(index)")
            }
            try folder.write(sound, as: name)
        }
        try CheckpointReader(path: folder.path).verify()
    }
}
