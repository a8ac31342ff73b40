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
        if !exists(folder.path) {
            try operations.createFolder(folder.path)
            try operations.synchronizeFolder("\(folder.path)/..")
        }
        try operations.createFolder(temporaryPath)
    }

    /// Leaves the folder to the next save, where somebody may still write into it.
    func abandon() { isOpen.store(false, ordering: .relaxed) }

    deinit {
        // What cannot be removed now is a dead save's leftover to the next one.
        if isOpen.load(ordering: .relaxed) { try? operations.removeFlatFolder(temporaryPath) }
    }

    /// Makes the checkpoint visible, and durable. An unusable folder in its place is put aside.
    func commit() throws(CheckpointError) {
        try operations.synchronizeFolder(temporaryPath)
        if exists(target) { try operations.rename(target, to: trashPath) }
        try operations.rename(temporaryPath, to: target)
        abandon()
        try operations.synchronizeFolder(folder.path)
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

    /// Removes the checkpoints of run `run` that are older than its `keep` newest sound ones up to `step`; returns
    /// what went wrong. Damaged ones, later ones and those of other runs are not counted; only what opens as a
    /// checkpoint of the run is removed.
    ///
    /// - Parameter sound: steps whose every byte is known to be as it was saved; others are read, and added.
    func prune(
        keep: Int, upTo step: Int, run: String, sound: inout Set<Int>,
        _ operations: FileOperations
    ) -> [String] {
        do throws(CheckpointError) {
            var kept = 0
            for older in try steps() where older <= step {
                let reader = try? CheckpointReader(path: path(ofStep: older), followingLinks: false)
                guard let reader, reader.progress.identity.run == run else { continue }
                if kept < keep {
                    if !sound.contains(older), (try? reader.verify()) == nil { continue }
                    sound.insert(older)
                    kept += 1
                } else {
                    let name = CheckpointFolder.name(ofStep: older)
                    try operations.rename("\(path)/\(name)", to: "\(path)/.trash-\(name)")
                    try operations.synchronizeFolder(path)
                }
            }
        } catch {
            return [error.message] + removeLeftovers(operations)
        }
        return removeLeftovers(operations)
    }
}

extension FileOperations {
    /// Removes a folder of files. A link is removed, not followed.
    fileprivate func removeFlatFolder(_ path: String) throws(CheckpointError) {
        guard isFolder(path) else { return try removeFile(path) }
        for name in try folderNames(path) { try removeFile("\(path)/\(name)") }
        try removeFolder(path)
    }
}
