import Checkpointing
import Communication
import Foundation
import Layers
import Tensors
import Testing

/// Saves that are written from where the state lies: the files of those that are written from a copy.
@Suite struct StreamedSaveTests {
    private func files(_ folder: TemporaryFolder) throws -> [String: [UInt8]] {
        let checkpoint = "checkpoints/step-0000000010"
        return try Dictionary(
            uniqueKeysWithValues: folder.names(checkpoint).map {
                ($0, try contents("\(folder.path)/\(checkpoint)/\($0)"))
            })
    }

    @Test(arguments: [1, 2, 3, 4]) func theFilesAreTheSame(_ ranks: Int) throws {
        func files(copiesState: Bool, seed: UInt32 = 1) throws -> [String: [UInt8]] {
            let folder = try TemporaryFolder()
            try save(into: folder, ranks: ranks, seed: seed, copiesState: copiesState)
            return try self.files(folder)
        }
        let copied = try files(copiesState: true)
        #expect(try files(copiesState: false) == copied && copied.count == 3 + ranks)
        #expect(try files(copiesState: false, seed: 2) != copied, "control: another state")
    }

    /// More than a block, in pieces that end inside of it.
    @Test func blocksThatFillAreTheSame() throws {
        let counts = [3_000_001, 1, 2_500_003]
        let state = counts.enumerated().map { index, count in
            let buffer = Buffer(count: count)
            for element in 0..<count { buffer.floats[element] = Float(element &* 31 &+ index) }
            let border = count / 3
            return StateTensor(
                name: "w\(index)", spec: ShardSpec(replicated: [count]),
                pieces: [0..<border, border..<count].map { .init(range: $0, buffer: buffer[$0]) })
        }
        let files = try [true, false].map { copiesState in
            let folder = try TemporaryFolder()
            let writer = CheckpointWriter(
                runDirectory: folder.path, keep: 1, copiesState: copiesState)
            try writer.save(
                state, progress: SampleState.progress(), communicator: InProcess.alone())
            let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
            #expect(try reader.loadTensor("w2").array.last == Float(2_500_002 * 31 + 2))
            return try self.files(folder)
        }
        #expect(files[0] == files[1])
    }
}
