// Saving beside the training. A save begins with a copy of the state, which is all that the training waits
// for; a thread of each rank writes that rank's part; when every rank's is durable, a thread of rank 0 makes
// them a checkpoint, which a thread of each rank then reads a share of, before older ones go. Such threads touch
// nothing but files; only training threads communicate, and where they wait for files they keep talking, so that no
// disk makes a rank look silent.
//
// Where memory has no room for the copy, the state is written from where it lies, and must stay as it is meanwhile.

import Communication
import Kernels
import Layers
import Tensors

/// How far a rank has come with what the save that is under way is at; reading back counts as writing.
public enum SaveStatus: Int, Sendable {
    case none, writing, durable, failed
}

/// A rank's part in the saves of a run, one at a time. One thread uses it; its methods are collective unless
/// they say otherwise, and throw the same on every rank.
public final class CheckpointSaver {
    private struct Save {
        let progress: TrainingProgress
        let tensors: [(name: String, spec: ShardSpec)]
        let companion: (@Sendable () -> Void)?
        var work: Work
    }

    /// What a thread of this rank is at.
    private enum Work {
        /// Writing the rank's part, as every rank does.
        case part(BackgroundWork<Result<ShardReport, CheckpointError>>)
        /// Making all parts a checkpoint, which is rank 0's and ends with the steps that are to be read; the
        /// others have nothing to do.
        case whole(BackgroundWork<Result<[Int], CheckpointError>>?)
        /// Reading the rank's share of the checkpoint, and of others that nobody has read yet.
        case readBack(BackgroundWork<ReadBack.Findings>, ReadBack.Stop)
    }

    private let writer: CheckpointWriter
    private let communicator: any Communicator
    private var save: Save?
    /// On rank 0, the folder that the save is written into.
    private var transaction: CheckpointTransaction?
    /// The copy of the state, kept between saves.
    private var staging = Buffer(count: 0)
    /// On rank 0, the removal of what dead saves have left, then that of old checkpoints: what it warns of,
    /// and what it has found out.
    private var pruning: BackgroundWork<Pruning>?
    private var known = KnownCheckpoints()

    /// Begins to remove what dead saves have left. Not collective.
    /// - Parameter savedUpdates: those of the checkpoint that the run goes on from, if there is one.
    public init(
        _ writer: CheckpointWriter, communicator: any Communicator, savedUpdates: Int? = nil
    ) {
        (self.writer, self.communicator) = (writer, communicator)
        self.savedUpdates = savedUpdates
        guard communicator.rank == 0 else { return }
        remove {
            Pruning(warnings: writer.folder.removeLeftovers(writer.operations))
        }
    }

    deinit {
        // A thread that still writes is left alone; its folder is a leftover to the next run.
        if status == .writing { transaction?.abandon() }
    }

    /// Of this rank; not collective.
    public var status: SaveStatus {
        switch save?.work {
        case nil: .none
        case .part(let work): SaveStatus(work.value)
        case .whole(let work): work.map { SaveStatus($0.value) } ?? .durable
        case .readBack(let work, _): work.value == nil ? .writing : .durable
        }
    }

    /// Whether training goes on while a save is written.
    public var copiesState: Bool { writer.copiesState }

    /// Updates of the state that was saved last, or is being saved; nil where there is none, or it is lost or
    /// damaged. The same on every rank. Not collective.
    public private(set) var savedUpdates: Int?

    /// The step that is being saved, or read back. Not collective.
    public var step: Int? { save?.progress.step }

    /// Whether there is a checkpoint of that step already, which is read back. Not collective.
    public var isCommitted: Bool {
        if case .readBack = save?.work { true } else { false }
    }

    /// Throws `mismatch` where a state that is cut like this cannot be saved, whatever is in it: to be known before
    /// anything is computed.
    public func requireSavable(_ state: [StateTensor]) throws(CheckpointError) {
        try communicator.agree(on: StateCut(state), step: 0)
    }

    /// Begins to write the state: a copy of it, or, where the writer makes none, what is there, which then may not
    /// change until no rank is `writing`. No other save may be under way.
    /// - Parameters:
    ///   - state: the same tensors on every rank; over all ranks their pieces cover each of them once.
    ///   - progress: the same on every rank.
    ///   - companion: what a thread of rank 0 does before it makes the parts a checkpoint: for what must be durable
    ///     before that is.
    public func begin(
        _ state: [StateTensor], progress: TrainingProgress,
        companion: (@Sendable () -> Void)? = nil
    ) throws(CheckpointError) {
        precondition(save == nil, "CheckpointSaver: a save of step \(step ?? 0) is under way")
        precondition(
            (0..<10_000_000_000).contains(progress.step),
            "CheckpointSaver: expected a step of at most ten digits, got \(progress.step)")
        _ = try waitForPruning()
        savedUpdates = nil
        let cut = StateCut(state)
        try communicator.agree(on: cut, step: progress.step)
        let path = try openFolder(for: progress)
        let job = ShardJob(
            path: path,
            fileName: StateCut.fileName(rank: communicator.rank, of: communicator.size),
            items: cut.items, fill: writer.copiesState ? copy(cut) : cut.blocks(),
            texts: communicator.rank == 0 ? progress.identity.texts : [],
            operations: writer.operations)
        save = Save(
            progress: progress, tensors: cut.tensors, companion: companion,
            work: .part(BackgroundWork({ job.run() }, refusal: { .failure($0) })))
        savedUpdates = progress.optimizerUpdates
    }

    /// Waits until no rank writes, for about so many seconds; returns the ranks that still do.
    public func wait(seconds: Double = .infinity) throws(CheckpointError) -> [Int] {
        try talk(seconds: seconds) { status == .writing }
    }

    /// Goes on with a save of which no rank is `writing`. After the parts rank 0 begins to make them a checkpoint.
    /// After that there is one, whose path is returned, and which all ranks begin to read back. After that the removal
    /// of the oldest begins, and the save has ended: `step` is nil.
    ///
    /// Where anything has failed on any rank, the save is given up, and its error thrown. A usable checkpoint of the
    /// same step and state stays as it is.
    public func advance() throws(CheckpointError) -> String? {
        guard let save else { preconditionFailure("CheckpointSaver: no save is under way") }
        do throws(CheckpointError) {
            switch save.work {
            case .part(let work):
                let reports = try communicator.agree(work.wait().map(\.encoded))
                self.save?.work = .whole(beginCommit(of: save, reports))
                return nil
            case .whole(let work):
                let steps = try communicator.agree((work?.wait() ?? .success([])).map(\.encoded))
                let stop = ReadBack.Stop()
                self.save?.work = .readBack(beginReading([Int](encoded: steps[0]), stop), stop)
                return writer.folder.path(ofStep: save.progress.step)
            case .readBack(let work, _):
                let findings = try communicator.exchange(work.wait().encoded)
                    .map { ReadBack.Findings(encoded: $0) }
                if findings.contains(where: { $0.hasProblem(ofStep: save.progress.step) }) {
                    savedUpdates = nil
                }
                beginPruning(upTo: save.progress, findings)
                self.save = nil
                return nil
            }
        } catch {
            if let transaction = transaction.take() {
                remove {
                    transaction.discard()
                    return Pruning()
                }
            }
            self.save = nil
            savedUpdates = nil
            throw error
        }
    }

    /// Leaves a checkpoint that is there unread, and the old ones as they are. Nothing where none is being read back.
    /// Not collective, but called on all ranks.
    public func skipReadingBack() {
        guard case .readBack(_, let stop) = save?.work else { return }
        stop.set()
        save = nil
        guard let transaction = transaction.take() else { return }
        remove {
            transaction.discard()
            return Pruning()
        }
    }

    /// Waits until rank 0 has ended the removal of old checkpoints, for about so many seconds; whether it has.
    public func waitForPruning(seconds: Double = .infinity) throws(CheckpointError) -> Bool {
        try talk(seconds: seconds) { pruning.map { $0.value == nil } ?? false }.isEmpty
    }

    /// Waits for the removal of old checkpoints and returns, once, what could not be removed, and why, and which
    /// are damaged; nothing on other ranks than rank 0.
    public func finishPruning() throws(CheckpointError) -> [String] {
        _ = try waitForPruning()
        guard let outcome = pruning.take()?.wait() else { return [] }
        if let found = outcome.known { known = found }
        return outcome.warnings
    }

    // MARK: Parts of a save

    /// Rank 0 makes the folder that all ranks write into; returns its path. Collective.
    private func openFolder(for progress: TrainingProgress) throws(CheckpointError) -> String {
        var opening: BackgroundWork<Result<CheckpointTransaction, CheckpointError>>?
        if communicator.rank == 0 {
            let writer = writer
            opening = BackgroundWork(
                {
                    Result { () throws(CheckpointError) in
                        try writer.folder.refuseForeignStep(progress)
                        return try CheckpointTransaction(
                            in: writer.folder, step: progress.step, operations: writer.operations)
                    }
                }, refusal: { .failure($0) })
        }
        _ = try talk { opening.map { $0.value == nil } ?? false }
        let paths = try communicator.agree(
            Result { () throws(CheckpointError) in
                transaction = try opening?.wait().get()
                return Array((transaction?.temporaryPath ?? "").utf8)
            })
        return String(decoding: paths[0], as: UTF8.self)
    }

    /// On rank 0; nil on the others.
    private func beginCommit(
        of save: Save, _ reports: [[UInt8]]
    ) -> BackgroundWork<Result<[Int], CheckpointError>>? {
        guard let transaction else { return nil }
        let manifest = manifest(of: save, reports.map { ShardReport(encoded: $0) })
        let (writer, known, companion) = (writer, known, save.companion)
        return BackgroundWork(
            {
                Result { () throws(CheckpointError) in
                    companion?()
                    try transaction.commit(manifest)
                    return writer.folder.unread(
                        upTo: manifest.progress, keep: writer.keep, known)
                }
            }, refusal: { .failure($0) })
    }

    private func beginReading(
        _ steps: [Int], _ stop: ReadBack.Stop
    ) -> BackgroundWork<ReadBack.Findings> {
        let reading = ReadBack(
            folder: writer.folder, steps: steps, rank: communicator.rank,
            rankCount: communicator.size, operations: writer.operations, stop: stop)
        return BackgroundWork(
            { reading.run() }, refusal: { ReadBack.Findings(of: steps, $0) })
    }

    /// On rank 0, which knows of every checkpoint whether it is sound.
    private func beginPruning(upTo progress: TrainingProgress, _ findings: [ReadBack.Findings]) {
        guard let transaction = transaction.take() else { return }
        let (warnings, doubtful) = known.take(findings)
        let (writer, known) = (writer, known)
        remove {
            // Where the step had the same checkpoint already, this one is not needed.
            transaction.discard()
            var pruning = writer.folder.prune(
                keep: writer.keep, upTo: progress.step, run: progress.identity.run, known,
                doubtful, writer.operations)
            pruning.warnings = warnings + pruning.warnings
            return pruning
        }
    }

    /// Lets a thread of rank 0 remove something.
    private func remove(_ body: @escaping @Sendable () -> Pruning) {
        pruning = BackgroundWork(body, refusal: { Pruning(warnings: [$0.message]) })
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
            pause = min(2 * pause, 0.02)
        }
    }

    /// Returns what hands the copy over.
    private func copy(
        _ cut: StateCut
    ) -> @Sendable (StreamedTensor.Take) throws(CheckpointError) -> Void {
        if staging.count < cut.elementCount { staging = Buffer(count: cut.elementCount) }
        let sources = cut.parts.flatMap(\.buffers)
        let starts = sources.reduce(into: [0]) { $0.append($0.last! + $1.count) }
        let staging = staging
        parallelRuns(of: sources.map(\.count), length: 1 << 20) { index, range in
            let target = starts[index] + range.lowerBound..<starts[index] + range.upperBound
            staging[target].copyBytes(from: sources[index][range])
        }
        let copied = staging[0..<cut.elementCount]
        return { (take) throws(CheckpointError) in try take(copied) }
    }

    private func manifest(of save: Save, _ reports: [ShardReport]) -> CheckpointManifest {
        CheckpointManifest(
            formatVersion: CheckpointManifest.version, progress: save.progress,
            files: reports.flatMap(\.files),
            tensors: save.tensors.map { CheckpointManifest.Entry(name: $0.name, spec: $0.spec) })
    }
}

extension SaveStatus {
    fileprivate init<Value>(_ outcome: Result<Value, CheckpointError>?) {
        switch outcome {
        case nil: self = .writing
        case .success: self = .durable
        case .failure: self = .failed
        }
    }
}
