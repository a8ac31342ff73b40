// What a save costs on this machine and disk, and what the disk could do at most: for benchmarks.

import Communication
import Layers
import Tensors

/// Seconds of one save and of what it consists of, on the slowest rank; bytes of all ranks.
package struct SaveTiming: Sendable {
    package let byteCount: Int
    /// In which the training stands still: the ranks' agreement and the copy, or the writing where there is none.
    package let pause: Double
    /// From there until the checkpoint is durable; where there is no copy, from the beginning.
    package let writing: Double
    /// The same number of bytes written to the same disk in the same blocks, and nothing else done.
    package let diskAlone: Double
    /// The digests of those bytes, and nothing else done.
    package let digestAlone: Double

    /// Saves once into an empty directory, and writes as much beside it. Collective.
    package static func measure(
        _ state: [StateTensor], with saver: CheckpointSaver, directory: String,
        progress: TrainingProgress, communicator: any Communicator
    ) throws(CheckpointError) -> SaveTiming {
        func timed(_ body: () throws(CheckpointError) -> Void) throws(CheckpointError) -> Double {
            _ = try communicator.exchange([])
            let start = ContinuousClock.now
            let outcome = Result(catching: body)
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            return try communicator.agree(outcome.map { Array("\(seconds)".utf8) })
                .compactMap { Double(String(decoding: $0, as: UTF8.self)) }.max() ?? 0
        }
        let cut = StateCut(state)
        let copy = Buffer(count: cut.elementCount)
        copy.clear()
        let path = "\(directory)/disk-\(communicator.rank)"
        let diskAlone = try timed { () throws(CheckpointError) in
            let file = try FileOperations().createFile(path, byteCount: copy.byteCount)
            try copy.writeInBlocks { (block) throws(CheckpointError) in
                try block.withRawSpan { (bytes) throws(CheckpointError) in try file.write(bytes) }
            }
            try file.finish()
        }
        try FileOperations().removeFile(path)
        let pause = try timed { () throws(CheckpointError) in
            try saver.begin(state, progress: progress)
            if !saver.copiesState { _ = try saver.wait() }
        }
        let writing = try timed { () throws(CheckpointError) in
            repeat { _ = try saver.wait() } while try saver.advance() == nil
        }
        let digestAlone = try timed { () throws(CheckpointError) in
            var digest = PartDigest()
            try copy.writeInBlocks { (block) throws(CheckpointError) in digest.update(block) }
            _ = digest.labelled()
        }
        while saver.step != nil {
            _ = try saver.wait()
            _ = try saver.advance()
        }
        _ = try saver.finishPruning()
        return SaveTiming(
            byteCount: state.reduce(0) { $0 + 4 * $1.spec.shape.count }, pause: pause,
            writing: saver.copiesState ? writing : pause + writing, diskAlone: diskAlone,
            digestAlone: digestAlone)
    }
}

extension Buffer {
    fileprivate func writeInBlocks(
        _ take: (Buffer) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        for start in stride(from: 0, to: count, by: SafetensorsWriter.blockElementCount) {
            try take(self[start..<min(count, start + SafetensorsWriter.blockElementCount)])
        }
    }
}
