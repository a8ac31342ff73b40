// When the saves of a run become checkpoints, and what becomes of one that fails.

import Checkpointing
import Communication
import Kernels
import Layers

/// A rank's side of a run's checkpoints: one save at a time, written beside the training. Its methods are
/// collective and throw the same on every rank.
package final class RunCheckpoints {
    /// Saves in a row that may fail before the run ends.
    package static let patience = 3

    private let saver: CheckpointSaver
    private let note: (String) -> Void
    private var failures = 0

    /// - Parameters:
    ///   - savedUpdates: those of the checkpoint that the run goes on from, if there is one.
    ///   - note: tells a line to a person, on the rank that does.
    package init(
        _ writer: CheckpointWriter, communicator: any Communicator, savedUpdates: Int? = nil,
        note: @escaping (String) -> Void
    ) {
        saver = CheckpointSaver(writer, communicator: communicator, savedUpdates: savedUpdates)
        self.note = note
    }

    /// Throws where the configuration cuts the state so that it cannot be saved. Collective.
    package func requireSavable(_ state: [StateTensor]) throws(RunError) {
        do throws(CheckpointError) {
            try saver.requireSavable(state)
        } catch {
            guard case .mismatch = error.kind else { throw RunError(error) }
            throw RunError(.usage, error.message, isShared: true)
        }
    }

    /// How far this rank is with the save under way; what the agreement of a step tells the others. Not
    /// collective.
    package var status: SaveStatus { saver.status }

    /// Goes on with the save under way once every rank has ended what it was at: after the parts, with making
    /// them a checkpoint; after that, with reading it back.
    ///
    /// - Parameter statuses: the ranks', as they were agreed on in a step: the same on all.
    package func advance(_ statuses: [SaveStatus]) throws(RunError) {
        guard saver.step != nil, !statuses.contains(.writing) else { return }
        try goOn(isLast: false)
    }

    /// The step whose save is under way. Not collective.
    package var stepUnderWay: Int? { saver.step }

    /// Whether the newest checkpoint, or the save under way, has all of so many updates. Not collective.
    package func holds(updates: Int) -> Bool { saver.savedUpdates == updates }

    /// Copies the state and begins to write it, after the save under way has ended; where there is no copy, the state
    /// is written when this returns. The last save of a run ends it where it fails; `finish` waits for it. It does not
    /// wait for an older checkpoint to be read back.
    /// - Parameter companion: what a thread of the first rank does before it makes a checkpoint of what is written.
    package func save(
        _ state: [StateTensor], progress: TrainingProgress, isLast: Bool,
        companion: (@Sendable () -> Void)? = nil
    ) throws(RunError) {
        if isLast { saver.skipReadingBack() }
        do throws(RunError) {
            try settle(isLast: false)
        } catch {
            // Too many failures end a run, but not without a last try.
            guard isLast, error.kind == .inputOutput, saver.step == nil else { throw error }
            note("warning: \(error.message)")
        }
        do throws(CheckpointError) {
            while try !saver.waitForPruning(seconds: 30) {
                note("checkpoint of step \(progress.step): waiting for old ones to be removed")
            }
            try saver.begin(state, progress: progress, companion: companion)
        } catch {
            return try bear(error, step: progress.step, isLast: isLast)
        }
        guard !saver.copiesState else { return }
        // What is written from where it lies must stay as it is until then.
        while try !waitForRanks() {}
    }

    /// Waits for the last save of a run to become a checkpoint, and for the removal of older ones.
    package func finish() throws(RunError) {
        try settle(isLast: true)
        try tellWarnings()
    }

    /// Waits for the save under way, if there is one, to become a checkpoint, and for the removal of older ones; after
    /// about so many seconds each is left as it is.
    package func leave(seconds: Double) throws(RunError) {
        try settle(isLast: false, seconds: seconds)
        _ = try checkpointing { () throws(CheckpointError) in
            try saver.waitForPruning(seconds: seconds)
        }
    }

    private func settle(isLast: Bool, seconds: Double = .infinity) throws(RunError) {
        var turns = (seconds / 30).rounded(.up)
        while let step = saver.step {
            if try waitForRanks() {
                try goOn(isLast: isLast)
                continue
            }
            turns -= 1
            guard turns > 0 else {
                let state = saver.isCommitted ? "not read back" : "not saved"
                return note("warning: checkpoint of step \(step): \(state)")
            }
        }
    }

    /// Waits for half a minute until no rank writes; says which ones still do, and returns whether none does.
    private func waitForRanks() throws(RunError) -> Bool {
        let step = saver.step ?? 0
        let late: [Int]
        do throws(CheckpointError) {
            late = try saver.wait(seconds: 30)
        } catch {
            throw RunError(error).located(step: step)
        }
        guard !late.isEmpty else { return true }
        let ranks = late.map(String.init).joined(separator: ", ")
        let work = saver.isCommitted ? "read it back" : "write"
        note("checkpoint of step \(step): waiting for rank \(ranks) to \(work)")
        return false
    }

    private func goOn(isLast: Bool) throws(RunError) {
        let span = Trace.begin(.checkpoint, "commit")
        defer { span.end() }
        let step = saver.step ?? 0
        try tellWarnings()
        do throws(CheckpointError) {
            if let path = try saver.advance() {
                note("saved \(path)")
                failures = 0
            }
        } catch {
            // Another state in the place of this step's stands in the way of no other step.
            return try bear(error, step: step, isLast: isLast, mayDiffer: true)
        }
    }

    private func tellWarnings() throws(RunError) {
        let warnings = try checkpointing { () throws(CheckpointError) in
            try saver.finishPruning()
        }
        for warning in warnings { note("warning: \(warning)") }
    }

    /// A disk that is full or fails costs a save, not the run: until it has cost several in a row, or the last.
    private func bear(
        _ error: CheckpointError, step: Int, isLast: Bool, mayDiffer: Bool = false
    ) throws(RunError) {
        switch error.kind {
        case .io, .unusable, .unreadable: break
        case .mismatch where mayDiffer && !isLast: break
        case .mismatch:
            var failure = RunError(error).located(step: step)
            failure.isShared = true
            throw failure
        case .communication: throw RunError(error).located(step: step)
        }
        failures += 1
        let message = "checkpoint not saved: \(error.message)"
        guard !isLast, failures < RunCheckpoints.patience else {
            // What was written of it is removed, where the disk lets us.
            _ = try? saver.waitForPruning(seconds: 30)
            let count = failures > 1 ? "; \(failures) saves in a row have failed" : ""
            throw RunError(.inputOutput, message + count, step: step, isShared: true)
        }
        note("warning: step \(step): \(message); the run goes on and tries again at the next turn")
    }
}
