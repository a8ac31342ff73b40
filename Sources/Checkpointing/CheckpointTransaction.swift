// The commit protocol: everything is written and made durable in a folder that no reader looks at, which
// one rename then turns into a checkpoint. Whatever ends a save before that leaves the old ones as they
// were; whatever ends it afterwards leaves the new one whole.

/// A checkpoint that is being written: visible to readers as a whole once committed, or never.
struct CheckpointTransaction: ~Copyable {
    /// Where its files are written.
    let temporaryPath: String

    private let folder: CheckpointFolder
    private let step: Int
    private let operations: FileOperations
    private let nonce: String
    private var isOpen = true

    /// Makes the folder to write into, and the folder of checkpoints where it is missing. Removes what
    /// dead saves have left; one save at a time may write into a run.
    init(
        in folder: CheckpointFolder, step: Int, operations: FileOperations
    ) throws(CheckpointError) {
        nonce = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        (self.folder, self.step, self.operations) = (folder, step, operations)
        temporaryPath = "\(folder.path)/.tmp-\(CheckpointFolder.name(ofStep: step))-\(nonce)"
        if !exists(folder.path) {
            try operations.createFolder(folder.path)
            try operations.synchronizeFolder("\(folder.path)/..")
        }
        for name in try folder.names() where CheckpointFolder.isLeftover(name) {
            try operations.removeFlatFolder("\(folder.path)/\(name)")
        }
        try operations.createFolder(temporaryPath)
    }

    deinit {
        // What cannot be removed now is a dead save's leftover to the next one.
        if isOpen { try? operations.removeFlatFolder(temporaryPath) }
    }

    /// Writes a whole file and makes it durable.
    func write(_ bytes: [UInt8], as name: String) throws(CheckpointError) {
        let file = try operations.createFile("\(temporaryPath)/\(name)")
        let span = bytes.span
        try file.write(span.bytes)
        try file.finish()
    }

    /// Makes the checkpoint visible, and durable. An unusable folder in its place is put aside.
    consuming func commit() throws(CheckpointError) {
        let target = folder.path(ofStep: step)
        try operations.synchronizeFolder(temporaryPath)
        if exists(target) {
            try operations.rename(target, to: trashPath(ofStep: step))
        }
        try operations.rename(temporaryPath, to: target)
        isOpen = false
        try operations.synchronizeFolder(folder.path)
        if exists(trashPath(ofStep: step)) {
            try operations.removeFlatFolder(trashPath(ofStep: step))
        }
    }

    private func trashPath(ofStep step: Int) -> String {
        "\(folder.path)/.trash-\(CheckpointFolder.name(ofStep: step))-\(nonce)"
    }
}

extension FileOperations {
    /// Removes a folder of files. A link is removed, not followed.
    func removeFlatFolder(_ path: String) throws(CheckpointError) {
        guard isFolder(path) else { return try removeFile(path) }
        for name in try folderNames(path) { try removeFile("\(path)/\(name)") }
        try removeFolder(path)
    }
}

extension CheckpointFolder {
    /// Removes the checkpoints of run `run` that are older than its `keep` newest usable ones up to
    /// `step`. Unusable ones, later ones and those of other runs are not counted, and not touched.
    func prune(
        keep: Int, upTo step: Int, run: String, operations: FileOperations
    ) throws(CheckpointError) {
        var kept = 0
        for older in try steps() where older <= step {
            guard let reader = try? CheckpointReader(path: path(ofStep: older)),
                reader.progress.identity.run == run
            else { continue }
            kept += 1
            guard kept > keep else { continue }
            let name = CheckpointFolder.name(ofStep: older)
            try operations.rename("\(path)/\(name)", to: "\(path)/.trash-\(name)")
            try operations.synchronizeFolder(path)
            try operations.removeFlatFolder("\(path)/.trash-\(name)")
        }
    }
}
