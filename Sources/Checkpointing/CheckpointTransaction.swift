// The commit protocol: everything is written and made durable in a folder that no reader looks at, which
// one rename then turns into a checkpoint. Whatever ends a save before that leaves the old ones as they
// were; whatever ends it afterwards leaves the new one whole.

import Synchronization

/// A checkpoint that is being written: visible to readers as a whole once committed, or never.
final class CheckpointTransaction: Sendable {
    /// Where its files are written.
    let temporaryPath: String

    private let folder: CheckpointFolder
    private let target: String
    private let trashPath: String
    private let operations: FileOperations
    private let isOpen = Atomic(true)

    /// Makes the folder to write into, and the folder of checkpoints where it is missing.
    init(
        in folder: CheckpointFolder, step: Int, operations: FileOperations
    ) throws(CheckpointError) {
        let nonce = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        let name = "\(CheckpointFolder.name(ofStep: step))-\(nonce)"
        (self.folder, self.operations) = (folder, operations)
        target = folder.path(ofStep: step)
        trashPath = "\(folder.path)/.trash-\(name)"
        temporaryPath = "\(folder.path)/.tmp-\(name)"
        if !exists(folder.path) { try operations.createFolder(folder.path) }
        // Whoever made it may have been ended before this.
        try operations.synchronizeFolder("\(folder.path)/..")
        try operations.createFolder(temporaryPath)
    }

    deinit { discard() }

    /// Leaves the folder to the next run, where somebody may still write into it.
    func abandon() { isOpen.store(false, ordering: .relaxed) }

    /// Removes what was not committed; what cannot be removed now is a leftover.
    func discard() {
        guard isOpen.exchange(false, ordering: .relaxed) else { return }
        try? operations.removeFlatFolder(temporaryPath)
    }

    /// Writes the manifest, and makes the checkpoint visible, and durable. A usable one of the same state stays
    /// in its place; an unusable folder there is put aside.
    func commit(_ manifest: CheckpointManifest) throws(CheckpointError) {
        try operations.writeFile(
            manifest.encoded(), to: "\(temporaryPath)/\(CheckpointManifest.fileName)")
        // Only what can be opened is committed.
        let written = try CheckpointReader(path: temporaryPath)
        if try folder.holdsState(of: written) { return }
        try operations.synchronizeFolder(temporaryPath)
        if exists(target) { try operations.rename(target, to: trashPath) }
        try operations.rename(temporaryPath, to: target)
        abandon()
        do throws(CheckpointError) {
            try operations.synchronizeFolder(folder.path)
        } catch {
            throw CheckpointError(
                error.kind,
                "\(error.message); \(target) is there, but a power cut may take it away")
        }
    }
}

extension CheckpointFolder {
    /// Removes what dead saves and removals have left, as far as it can be; returns why the rest stays.
    /// No save may be under way.
    func removeLeftovers(_ operations: FileOperations) -> [String] {
        var warnings: [String] = []
        let names = (try? names()) ?? []
        for name in names where CheckpointFolder.isLeftover(name) {
            do throws(CheckpointError) {
                try operations.removeFlatFolder("\(path)/\(name)")
            } catch {
                warnings.append(error.message)
            }
        }
        return warnings
    }

    /// Removes the checkpoints of run `run` that are older than its `keep` newest sound ones up to `step`, and those
    /// that a sound one of a later step repeats. Damaged ones, later ones and those of other runs are not counted;
    /// only what opens as a checkpoint of the run is removed.
    ///
    /// - Parameters:
    ///   - known: what was found out before; where others are counted, every byte of them is read.
    ///   - doubtful: steps that other ranks find damaged, and why: they are read here too.
    func prune(
        keep: Int, upTo step: Int, run: String, _ known: KnownCheckpoints,
        _ doubtful: [(step: Int, reason: String)], _ operations: FileOperations
    ) -> Pruning {
        var (known, warnings) = (known, [String]())
        do throws(CheckpointError) {
            for (step, reason) in doubtful {
                let isSound = "\(reason); the first rank reads it, and finds it sound"
                warnings.append(try known.check(step, in: self) ?? isSound)
            }
            let own = try checkpoints(of: run, upTo: step)
            let mayRemove = own.staying(keep).count < own.count
            var kept: Set<Int> = []
            for older in own where mayRemove {
                if kept.count < keep, !kept.contains(older.updates) {
                    if let warning = try known.check(older.step, in: self) {
                        warnings.append(warning)
                    }
                    if known.sound.contains(older.step) { kept.insert(older.updates) }
                } else if known.sound.contains(older.step) ? true : try opens(older.step) {
                    let name = CheckpointFolder.name(ofStep: older.step)
                    try operations.rename("\(path)/\(name)", to: "\(path)/.trash-\(name)")
                    try operations.synchronizeFolder(path)
                }
            }
        } catch {
            warnings.append("\(error.message); older checkpoints stay")
        }
        return Pruning(warnings: warnings + removeLeftovers(operations), known: known)
    }
}

extension CheckpointFolder {
    /// The checkpoints of a run up to a step, newest first; throws where nobody can tell, which says nothing of them.
    func checkpoints(
        of run: String, upTo last: Int
    ) throws(CheckpointError) -> [OwnCheckpoint] {
        var own: [OwnCheckpoint] = []
        for step in try steps() where step <= last {
            let manifest = try unlessOfOne { () throws(CheckpointError) in
                try CheckpointManifest(
                    reading: InputFolder(path(ofStep: step), followingLinks: false)
                        .open(CheckpointManifest.fileName))
            }
            guard let progress = manifest?.progress else { continue }
            if progress.identity.run == run, progress.step == step {
                own.append(OwnCheckpoint(step: step, updates: progress.optimizerUpdates))
            }
        }
        return own
    }

    /// Whether a step has a checkpoint whose files are all there with their headers.
    private func opens(_ step: Int) throws(CheckpointError) -> Bool {
        try unlessOfOne { () throws(CheckpointError) in
            try CheckpointReader(path: path(ofStep: step), followingLinks: false).check()
        } != nil
    }

    /// nil where something is wrong with the one checkpoint that `body` reads.
    private func unlessOfOne<Value>(
        _ body: () throws(CheckpointError) -> Value
    ) throws(CheckpointError) -> Value? {
        do throws(CheckpointError) {
            return try body()
        } catch {
            if case .mismatch = error.kind { return nil }
            guard error.isOfOneCheckpoint else { throw error }
            return nil
        }
    }
}

/// A checkpoint of a run, by what its manifest says.
struct OwnCheckpoint: Sendable {
    let step: Int
    /// Of two with as many, the later one repeats the other: all steps in between were skipped.
    let updates: Int
}

extension [OwnCheckpoint] {
    /// Those that stay where all are sound, newest first: of each number of updates the newest, and `keep` of them.
    func staying(_ keep: Int) -> ArraySlice<OwnCheckpoint> {
        var seen: Set<Int> = []
        return filter { seen.insert($0.updates).inserted }.prefix(keep)
    }
}

/// What the removal of old checkpoints came to.
struct Pruning: Sendable {
    var warnings: [String] = []
    /// nil where it did not look at any.
    var known: KnownCheckpoints?
}

/// Checkpoints of which a run has read every byte, by step.
struct KnownCheckpoints: Sendable {
    var sound: Set<Int> = []
    var damaged: Set<Int> = []

    func contains(_ step: Int) -> Bool { sound.contains(step) || damaged.contains(step) }

    /// What is said of a damaged one, after what is wrong with it.
    static let damage = "this checkpoint is not counted, and stays"

    /// Reads one that is not known yet; returns a warning where it is damaged.
    fileprivate mutating func check(
        _ step: Int, in folder: CheckpointFolder
    ) throws(CheckpointError) -> String? {
        guard !contains(step) else { return nil }
        do throws(CheckpointError) {
            try CheckpointReader(path: folder.path(ofStep: step), followingLinks: false)
                .verifyDirectly()
            sound.insert(step)
            return nil
        } catch {
            guard error.isOfOneCheckpoint else { throw error }
            damaged.insert(step)
            return "\(error.message); \(KnownCheckpoints.damage)"
        }
    }
}

extension FileOperations {
    /// Removes a folder of files. A link is removed, not followed.
    fileprivate func removeFlatFolder(_ path: String) throws(CheckpointError) {
        guard isFolder(path) else { return try removeFile(path) }
        for name in try folderNames(path) { try removeFile("\(path)/\(name)") }
        if isFolder(path) { try removeFolder(path) }
    }
}
