import Checkpointing
import Communication
import Foundation
import Layers
import Tensors
import Testing

/// A folder that is removed with the value that made it.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        let name = "murmuration-\(UInt64.random(in: 0...UInt64.max))"
        path = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func names(_ folder: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(path)/\(folder)").sorted()
    }

    /// Writes a file and returns its path.
    @discardableResult
    func write(_ bytes: [UInt8], as name: String) throws -> String {
        let path = "\(self.path)/\(name)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }
}

func contents(_ path: String) throws -> [UInt8] {
    try Array(Data(contentsOf: URL(fileURLWithPath: path)))
}

/// A made-up training state: the kinds of sharding that models have, odd sizes included.
enum SampleState {
    static let specs: [(name: String, spec: ShardSpec)] = [
        ("wte.weight", ShardSpec([65, 6], axis: 0, slices: 4)),
        ("wpe.weight", ShardSpec(replicated: [7, 6])),
        (
            "h.0.attn.c_attn.weight",
            ShardSpec(
                [36, 5], axis: 0,
                segments: Array(repeating: .init(units: 4, unitSize: 3), count: 3), slices: 4)
        ),
        ("h.0.attn.c_proj.weight", ShardSpec([5, 13], axis: 1, slices: 4)),
        ("h.0.ln_1.bias", ShardSpec(replicated: [6])),
        ("empty", ShardSpec(replicated: [0, 3])),
        ("scalar", ShardSpec(replicated: [])),
        ("optimizer.first_moment.wte.weight", ShardSpec([65, 6], axis: 0, slices: 4)),
        (
            "optimizer.first_moment.h.0.attn.c_proj.weight",
            ShardSpec([5, 13], axis: 1, slices: 4)
        ),
    ]

    /// Elements in logical order: bit patterns of every kind, NaN and −0 among them.
    static func values(of name: String, count: Int, seed: UInt32) -> [Float] {
        var state = name.utf8.reduce(seed &+ 2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(bitPattern: state)
        }
    }

    /// What rank `rank` of `rankCount` holds: the memory order of each tensor in uneven pieces, dealt out
    /// so that pieces cut runs and a rank may hold none, one or two of a tensor. Without a seed the
    /// values are all 7.
    static func state(
        rank: Int, of rankCount: Int, seed: UInt32? = 1, slices: Int = 4
    ) -> [StateTensor] {
        specs.enumerated().map { index, item in
            let count = item.spec.shape.count
            let spec = item.spec.cut(into: slices)
            let memory = seed.map { memoryOrder(item.name, spec, seed: $0) }
            var pieces: [StateTensor.Piece] = []
            let pieceCount = rankCount == 1 ? 1 : rankCount + index % 2
            for piece in 0..<pieceCount where (piece + index) % rankCount == rank {
                let range = count * piece / pieceCount..<count * (piece + 1) / pieceCount
                let tensor = Tensor(
                    memory.map { Array($0[range]) } ?? [Float](repeating: 7, count: range.count),
                    shape: [range.count])
                pieces.append(StateTensor.Piece(range: range, buffer: tensor.buffer))
            }
            return StateTensor(name: item.name, spec: spec, pieces: pieces)
        }
    }

    private static func memoryOrder(_ name: String, _ spec: ShardSpec, seed: UInt32) -> [Float] {
        let logical = values(of: name, count: spec.shape.count, seed: seed)
        var memory = logical
        for run in spec.runs {
            for index in 0..<run.count {
                memory[run.memoryOffset + index] = logical[run.logicalOffset + index]
            }
        }
        return memory
    }

    static func progress(
        step: Int = 10, updates: Int? = nil, run: String = "run-1"
    ) -> TrainingProgress {
        TrainingProgress(
            step: step, optimizerUpdates: updates ?? step - 1, samples: step * 12,
            identity: TrainingProgress.Identity(
                run: run, configuration: "run: {seed: 1}\n", configurationDigest: "c",
                tokenizer: "{\"type\": \"é\"}", tokenizerDigest: "t", datasetDigest: "d",
                build: "1 \"native\"", blas: "OpenBLAS\\0.3"))
    }
}

extension ShardSpec {
    /// The same tensor in so many slices.
    func cut(into slices: Int) -> ShardSpec {
        axis.map { ShardSpec(shape, axis: $0, segments: segments, slices: slices) } ?? self
    }
}

/// Saves the sample state from `ranks` threads.
func save(
    into folder: TemporaryFolder, ranks: Int = 1, seed: UInt32 = 1,
    progress: TrainingProgress = SampleState.progress(), keep: Int = 3, slices: Int = 4,
    copiesState: Bool = true,
    operations: @escaping @Sendable (_ rank: Int) -> FileOperations = { _ in FileOperations() }
) throws {
    try InProcess.run(ranks: ranks) { communicator in
        let rank = communicator.rank
        let writer = CheckpointWriter(
            runDirectory: folder.path, keep: keep, copiesState: copiesState,
            operations: operations(rank))
        _ = try writer.save(
            SampleState.state(rank: rank, of: ranks, seed: seed, slices: slices),
            progress: progress, communicator: communicator)
    }
}

func bitPatterns(_ state: [StateTensor]) -> [[UInt32]] {
    state.flatMap { tensor in
        tensor.pieces.map { piece in
            Tensor(buffer: piece.buffer, shape: [piece.buffer.count]).array.map(\.bitPattern)
        }
    }
}

/// The error that `body` throws.
func checkpointError(_ body: () throws -> Void) -> CheckpointError? {
    do {
        try body()
        return nil
    } catch {
        return error as? CheckpointError
    }
}
