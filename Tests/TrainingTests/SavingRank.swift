import Checkpointing
import Communication
import Foundation
import Layers
import Synchronization
import Tensors
import TestSupport
import Training

/// A disk that a test can stop or break for one rank.
final class StoppableDisk: Sendable {
    enum State: Sendable { case works, hangs, fails }

    private let states: Mutex<[State]>
    private let file: String
    private let kind: FileOperations.Operation

    /// - Parameter file: what the paths that it stops or breaks have in them.
    init(
        _ states: [State], file: String = "/shard-", _ kind: FileOperations.Operation = .write
    ) {
        self.states = Mutex(states)
        (self.file, self.kind) = (file, kind)
    }

    func set(_ state: State, rank: Int) { states.withLock { $0[rank] = state } }

    func operations(of rank: Int) -> FileOperations {
        FileOperations { [self] (operation, path) throws(CheckpointError) in
            guard operation == kind, path.contains(file) else { return }
            while states.withLock({ $0[rank] }) == .hangs { usleep(1000) }
            if states.withLock({ $0[rank] }) == .fails {
                throw CheckpointError(.io, "\(path): no space")
            }
        }
    }
}

/// A rank of a run that saves one tensor of `count` elements, all of one value.
final class SavingRank {
    static let count = 1000
    let checkpoints: RunCheckpoints
    let communicator: any Communicator
    private let buffer: Buffer
    private let range: Range<Int>
    private(set) var notes: [String] = []

    init(
        _ folder: TemporaryFolder, _ disk: StoppableDisk, _ communicator: any Communicator,
        keep: Int = 9,
        copiesState: Bool = true
    ) {
        let (rank, size) = (communicator.rank, communicator.size)
        range = Self.count * rank / size..<Self.count * (rank + 1) / size
        buffer = Buffer(count: range.count)
        self.communicator = communicator
        let writer = CheckpointWriter(
            runDirectory: folder.path, keep: keep, copiesState: copiesState,
            operations: disk.operations(of: rank))
        let told = Told()
        self.told = told
        checkpoints = RunCheckpoints(writer, communicator: communicator) { told.lines.append($0) }
    }

    private final class Told { var lines: [String] = [] }
    private let told: Told
    var lines: [String] { told.lines }

    func set(_ value: Float) { for index in 0..<buffer.count { buffer.floats[index] = value } }

    func save(
        step: Int, value: Float? = nil, isLast: Bool = false, finishes: Bool = true,
        run: String = "r"
    ) throws {
        set(value ?? Float(step))
        let state = StateTensor(
            name: "w", spec: ShardSpec(replicated: [Self.count]),
            pieces: [.init(range: range, buffer: buffer)])
        try checkpoints.save(
            [state],
            progress: TrainingProgress(
                step: step, optimizerUpdates: step, samples: step,
                identity: .init(
                    run: run, configuration: "", configurationDigest: "", tokenizer: "",
                    tokenizerDigest: "", datasetDigest: "", build: "", blas: "")), isLast: isLast)
        if isLast && finishes { try checkpoints.finish() }
    }

    /// What the agreement of a step does.
    func advance() throws {
        let statuses = try communicator.gatherAll([UInt8(checkpoints.status.rawValue)])
        try checkpoints.advance(statuses.map { SaveStatus(rawValue: Int($0[0]))! })
    }

    /// Steps until the save under way has ended: the parts, then the whole.
    func advanceUntilWritten() throws {
        while checkpoints.status != .none {
            while checkpoints.status == .writing { usleep(500) }
            try communicator.barrier().wait()
            try advance()
        }
    }
}
