import Checkpointing
import Communication
import Foundation
import Synchronization
import Tensors
import Testing

@Suite struct StreamedCheckpointTests {
    /// The sample state, handed over in blocks of 7 elements that share their memory.
    private static func streamed(seed: UInt32 = 1) -> [StreamedTensor] {
        SampleState.state(rank: 0, of: 1, seed: seed).map { tensor in
            StreamedTensor(name: tensor.name, spec: tensor.spec) { (take) throws(CheckpointError) in
                let block = Tensor(zeros: [7]).buffer
                for piece in tensor.pieces {
                    let values = Tensor(buffer: piece.buffer, shape: [piece.buffer.count]).array
                    for start in stride(from: 0, to: values.count, by: 7) {
                        let part = values[start..<min(start + 7, values.count)]
                        for (index, value) in part.enumerated() { block.floats[index] = value }
                        try take(block[0..<part.count])
                    }
                }
            }
        }
    }

    @discardableResult
    private static func stream(
        into folder: TemporaryFolder, step: Int = 10, operations: FileOperations = FileOperations()
    ) throws -> String {
        try CheckpointWriter(runDirectory: folder.path, keep: 1, operations: operations).save(
            streaming: streamed(), progress: SampleState.progress(step: step))
    }

    private static func isUnused(_ folder: TemporaryFolder) -> Bool {
        CheckpointWriter.isUnused(runDirectory: folder.path)
    }

    @Test func aStreamGivesTheFilesOfASave() throws {
        let (streamed, saved) = (try TemporaryFolder(), try TemporaryFolder())
        let path = try Self.stream(into: streamed)
        try save(into: saved)
        let name = "checkpoints/step-0000000010"
        #expect(path == "\(streamed.path)/\(name)")
        #expect(try streamed.names("checkpoints") == ["step-0000000010"])
        let names = try saved.names(name)
        #expect(try streamed.names(name) == names && names.count == 4)
        for file in names {
            #expect(
                try contents("\(streamed.path)/\(name)/\(file)")
                    == contents("\(saved.path)/\(name)/\(file)"), "\(file)")
        }
    }

    @Test func zerosAreOfEverySize() throws {
        for zeros in StreamedTensor.zeros(like: Self.streamed(), named: { "zero.\($0)" }) {
            var count = 0
            try zeros.forEachBlock { (block) throws(CheckpointError) in
                #expect(Tensor(buffer: block, shape: [block.count]).array.allSatisfy { $0 == 0 })
                count += block.count
            }
            #expect(count == zeros.spec.shape.count && zeros.name.hasPrefix("zero."))
        }
    }

    /// Each operation fails once, or is the last that the process does.
    @Test(arguments: [true, false])
    func endedAnywhereItLeavesNothingOrTheWhole(isKill: Bool) throws {
        let reference = try TemporaryFolder()
        let digest = try CheckpointReader(path: Self.stream(into: reference)).digest()
        var (target, outcomes) = (0, [String]())
        while true {
            let folder = try TemporaryFolder()
            let state = Mutex(0)
            let operations = FileOperations { [target] (_, path) throws(CheckpointError) in
                let number = state.withLock { state in
                    defer { state += 1 }
                    return state
                }
                if number == target || isKill && number > target {
                    throw CheckpointError(.io, "\(path): sabotaged")
                }
            }
            let error = checkpointError { try Self.stream(into: folder, operations: operations) }
            guard let error else { break }
            #expect(error.message.contains("sabotaged"), "operation \(target): \(error)")
            let found = try CheckpointReader.newest(in: folder.path)
            #expect(try found.map { try $0.reader.digest() } ?? digest == digest)
            outcomes.append(found == nil ? "nothing" : "whole")
            #expect(Self.isUnused(folder) == (found == nil), "operation \(target)")
            if found == nil {
                try Self.stream(into: folder)
                #expect(
                    try folder.names("checkpoints") == ["step-0000000010"], "operation \(target)")
            }
            target += 1
        }
        #expect(target > 15 && outcomes.first == "nothing" && outcomes.last == "whole")
        #expect(outcomes == outcomes.sorted(), "\(outcomes)")
    }

    /// What makes the elements may fail too: a disk that is read, say.
    @Test func aFailingStreamLeavesNothing() throws {
        let folder = try TemporaryFolder()
        let failing = StreamedTensor(name: "wte.weight", spec: SampleState.specs[0].spec) {
            (take) throws(CheckpointError) in
            try take(Tensor(zeros: [5]).buffer)
            throw CheckpointError(.unusable, "model.safetensors: cut")
        }
        let error = checkpointError {
            _ = try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
                streaming: [failing], progress: SampleState.progress())
        }
        #expect(error?.message == "model.safetensors: cut")
        #expect(try folder.names("checkpoints") == [])
    }

    @Test func whatIsThereIsNotReplaced() throws {
        let folder = try TemporaryFolder()
        #expect(Self.isUnused(folder))
        try save(into: folder, seed: 2)
        let before = try CheckpointReader.newest(in: folder.path)?.reader.digest()
        let error = checkpointError { try Self.stream(into: folder) }
        #expect(error?.message.contains("expected no checkpoint yet, found one") == true)
        #expect(try CheckpointReader.newest(in: folder.path)?.reader.digest() == before)
        #expect(!Self.isUnused(folder))
        try Self.stream(into: folder, step: 20)
        #expect(try folder.names("checkpoints") == ["step-0000000010", "step-0000000020"])
    }
}
