// Saving beside the training. A save begins with a copy of the state, which is all that the training waits
// for; a thread of each rank writes that rank's part; when every rank's is durable, all ranks together make
// it a checkpoint. The thread touches nothing but its file, and only training threads communicate.

import Communication
import Kernels
import Layers
import Tensors

/// How far a rank has come with the save that is under way.
public enum SaveStatus: Int, Sendable {
    case none, writing, durable, failed
}

/// A rank's part in the saves of a run, one at a time. One thread uses it; its methods are collective unless
/// they say otherwise, and throw the same on every rank.
public final class CheckpointSaver {
    private struct Save {
        let progress: TrainingProgress
        let tensors: [(name: String, spec: ShardSpec)]
        let parts: [[OwnedPart]]
        let work: BackgroundWork<Result<ShardReport, CheckpointError>>
    }

    private let writer: CheckpointWriter
    private let communicator: any Communicator
    private var save: Save?
    /// On rank 0, the folder that the save is written into.
    private var transaction: CheckpointTransaction?
    /// The copy of the state, kept between saves.
    private var staging = Buffer(count: 0)
    /// On rank 0, the removal of old checkpoints: what it warns of, and which it found sound.
    private var pruning: BackgroundWork<(warnings: [String], sound: Set<Int>)>?
    private var soundSteps: Set<Int> = []

    public init(_ writer: CheckpointWriter, communicator: any Communicator) {
        (self.writer, self.communicator) = (writer, communicator)
    }

    deinit {
        // A thread that still writes is left alone; its folder is a leftover to the next save.
        if status == .writing { transaction.take()?.abandon() }
    }

    /// Of this rank; not collective.
    public var status: SaveStatus {
        guard let save else { return .none }
        return switch save.work.value {
        case nil: .writing
        case .success: .durable
        case .failure: .failed
        }
    }

    /// The step that is being saved. Not collective.
    public var step: Int? { save?.progress.step }

    /// Copies the state and begins to write the copy. No other save may be under way.
    /// - Parameters:
    ///   - state: the same tensors on every rank; over all ranks their pieces cover each of them once.
    ///   - progress: the same on every rank.
    public func begin(
        _ state: [StateTensor], progress: TrainingProgress
    ) throws(CheckpointError) {
        precondition(save == nil, "CheckpointSaver: a save of step \(step ?? 0) is under way")
        precondition(
            (0..<10_000_000_000).contains(progress.step),
            "CheckpointSaver: expected a step of at most ten digits, got \(progress.step)")
        try waitForPruning()
        let cut = StateCut(state)
        let parts = try communicator.agreeOnParts(of: cut, step: progress.step)
        let paths = try communicator.agree(
            Result { () throws(CheckpointError) in
                guard communicator.rank == 0 else { return [] }
                try writer.folder.refuseForeignStep(progress)
                let opened = try CheckpointTransaction(
                    in: writer.folder, step: progress.step, operations: writer.operations)
                let path = opened.temporaryPath
                transaction = consume opened
                return Array(path.utf8)
            })
        copy(cut)
        let isFirst = communicator.rank == 0
        let (items, staging) = (cut.items, staging)
        let job = ShardJob(
            path: String(decoding: paths[0], as: UTF8.self),
            fileName: StateCut.fileName(rank: communicator.rank, of: communicator.size),
            items: items,
            fill: { (take) throws(CheckpointError) in
                var position = 0
                for item in items {
                    try take(staging[position..<position + item.shape.count])
                    position += item.shape.count
                }
            }, texts: isFirst ? progress.identity.texts : [],
            folder: isFirst ? writer.folder : nil, operations: writer.operations)
        save = Save(
            progress: progress, tensors: cut.tensors, parts: parts,
            work: BackgroundWork({ job.run() }, refusal: { .failure($0) }))
    }

    /// Waits until every rank's part is durable or has failed, for about so many seconds; returns the ranks
    /// that still write.
    public func wait(seconds: Double = .infinity) throws(CheckpointError) -> [Int] {
        try talk(seconds: seconds) { status == .writing }
    }

    /// Makes what was written a checkpoint, where every rank's part is durable, and begins to remove the oldest
    /// ones; returns its path. Where one has failed, or this does, the save is given up, and its error thrown.
    /// A usable checkpoint of the same step and state stays as it is.
    public func commit() throws(CheckpointError) -> String {
        guard let save = self.save.take() else {
            preconditionFailure("CheckpointSaver: no save is under way")
        }
        // A folder whose save was given up is removed.
        defer { transaction = nil }
        let reports = try communicator.agree(save.work.wait().map(\.encoded))
        _ = try communicator.agree(
            Result { () throws(CheckpointError) in
                if communicator.rank == 0 {
                    try commit(save, reports.map { ShardReport(encoded: $0) })
                }
                return []
            })
        let (writer, progress) = (writer, save.progress)
        if communicator.rank == 0 {
            let known = soundSteps.union([progress.step])
            pruning = BackgroundWork(
                {
                    var sound = known
                    let warnings = writer.folder.prune(
                        keep: writer.keep, upTo: progress.step, run: progress.identity.run,
                        sound: &sound, writer.operations)
                    return (warnings, sound)
                }, refusal: { ([$0.message], known) })
        }
        return writer.folder.path(ofStep: progress.step)
    }

    /// Waits for the removal of old checkpoints and returns, once, what could not be removed, and why; nothing
    /// on other ranks than rank 0. Collective.
    public func finishPruning() throws(CheckpointError) -> [String] {
        try waitForPruning()
        guard let outcome = pruning.take()?.wait() else { return [] }
        soundSteps = outcome.sound
        return outcome.warnings
    }

    // MARK: Parts of a save

    /// Waits until rank 0 has ended the removal of old checkpoints, which it reads before it counts on them.
    private func waitForPruning() throws(CheckpointError) {
        _ = try talk { pruning.map { $0.value == nil } ?? false }
    }

    /// Waits until no rank is busy, for about so many seconds; returns those that still are. The ranks keep
    /// talking meanwhile, so that a slow disk is not taken for a silent rank.
    private func talk(
        seconds: Double = .infinity, while isBusy: () -> Bool
    ) throws(CheckpointError) -> [Int] {
        let start = ContinuousClock.now
        var pause = 0.001
        while true {
            let isOver = ContinuousClock.now - start > .seconds(min(seconds, 1e9))
            let states = try communicator.exchange([isBusy() ? 1 : 0, isOver ? 1 : 0])
            let busy = states.indices.filter { states[$0][0] == 1 }
            if busy.isEmpty || states.contains(where: { $0[1] == 1 }) { return busy }
            sleep(seconds: pause)
            pause = min(2 * pause, 0.05)
        }
    }

    private func copy(_ cut: StateCut) {
        if staging.count < cut.elementCount { staging = Buffer(count: cut.elementCount) }
        let sources = cut.parts.flatMap(\.buffers)
        let starts = sources.reduce(into: [0]) { $0.append($0.last! + $1.count) }
        let staging = staging
        parallelRuns(of: sources.map(\.count), length: 1 << 20) { index, range in
            let target = starts[index] + range.lowerBound..<starts[index] + range.upperBound
            staging[target].copyBytes(from: sources[index][range])
        }
    }

    private func commit(_ save: Save, _ reports: [ShardReport]) throws(CheckpointError) {
        let tensors = zip(save.tensors, save.parts).map { tensor, parts in
            CheckpointManifest.Entry(
                name: tensor.name, spec: tensor.spec,
                parts: parts.map { part in
                    CheckpointManifest.Part(
                        file: StateCut.fileName(rank: part.rank, of: communicator.size),
                        key: StateCut.key(tensor.name, part.range), elements: part.range,
                        digest: reports[part.rank].digests[part.number])
                })
        }
        let manifest = CheckpointManifest(
            formatVersion: CheckpointManifest.version, progress: save.progress,
            files: reports.flatMap(\.files), tensors: tensors)
        guard let path = transaction?.temporaryPath else {
            preconditionFailure("CheckpointSaver: rank 0 has a folder to write into")
        }
        try writer.operations.writeFile(
            manifest.encoded(), to: "\(path)/\(CheckpointManifest.fileName)")
        // Only what can be opened is committed.
        let written = try CheckpointReader(path: path)
        if try !writer.folder.holdsState(of: written) { try transaction.take()?.commit() }
    }
}

extension CheckpointFolder {
    /// Throws where the step has a checkpoint of another run.
    fileprivate func refuseForeignStep(_ progress: TrainingProgress) throws(CheckpointError) {
        let path = path(ofStep: progress.step)
        let manifest = try unlessUnusable { () throws(CheckpointError) in
            try CheckpointManifest(
                reading: InputFolder(path, followingLinks: false).open(CheckpointManifest.fileName))
        }
        guard let run = manifest?.progress.identity.run, run != progress.identity.run else {
            return
        }
        throw CheckpointError(
            .mismatch,
            "\(path): expected no checkpoint, or one of run \(progress.identity.run), "
                + "found one of run \(run.printable); choose another run directory")
    }

    /// Whether the step that was written has a usable checkpoint of the same state already. Throws where it
    /// has one of another.
    fileprivate func holdsState(of written: CheckpointReader) throws(CheckpointError) -> Bool {
        let path = path(ofStep: written.progress.step)
        let found = try unlessUnusable { () throws(CheckpointError) in
            try CheckpointReader(path: path, followingLinks: false).digest()
        }
        guard let found else { return false }
        guard try found == written.digest() else {
            throw CheckpointError(
                .mismatch,
                "\(path): expected no checkpoint, or one of the same state, found one of another; "
                    + "move it away to save this one")
        }
        return true
    }

    /// nil where `body` finds damage, or nothing at all.
    private func unlessUnusable<Value>(
        _ body: () throws(CheckpointError) -> Value
    ) throws(CheckpointError) -> Value? {
        do throws(CheckpointError) {
            return try body()
        } catch {
            guard case .unusable = error.kind else { throw error }
            return nil
        }
    }
}
