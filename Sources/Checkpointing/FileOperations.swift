// The few operations that a save consists of, each announced before it is done, so that a test can stop a save
// before any one of them.

#if canImport(Glibc)
    import Glibc
#endif

/// What a save does to the file system.
package struct FileOperations: Sendable {
    package enum Operation: Sendable, Equatable {
        case createFolder, createFile, reserve, write, synchronize, close, rename, removeFile
        case removeFolder
        /// Of what was written, before older checkpoints go.
        case read
    }

    private let before: @Sendable (Operation, String) throws(CheckpointError) -> Void

    /// `before` is called with each operation and its path, and refuses it by throwing.
    package init(
        before: @escaping @Sendable (Operation, String) throws(CheckpointError) -> Void = {
            (_, _) throws(CheckpointError) in
        }
    ) {
        self.before = before
    }

    func createFolder(_ path: String) throws(CheckpointError) {
        try before(.createFolder, path)
        guard mkdir(path, 0o755) == 0 else { throw .system("mkdir", path) }
    }

    /// Creates a file and has the disk keep room for it.
    /// - Parameter byteCount: what is going to be written.
    func createFile(_ path: String, byteCount: Int) throws(CheckpointError) -> OutputFile {
        try before(.createFile, path)
        let file = try OutputFile(creating: path, byteCount: byteCount, before: before)
        try file.reserve()
        return file
    }

    /// Creates a whole file and makes it durable.
    func writeFile(_ bytes: [UInt8], to path: String) throws(CheckpointError) {
        let file = try createFile(path, byteCount: bytes.count)
        let span = bytes.span
        try file.write(span.bytes)
        try file.finish()
    }

    /// Makes the entries of a folder durable (`fsync` on the folder).
    func synchronizeFolder(_ path: String) throws(CheckpointError) {
        try before(.synchronize, path)
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", path) }
        let status = fsync(descriptor)
        let code = errno
        close(descriptor)
        guard status == 0 else { throw .system("fsync", path, code) }
    }

    func rename(_ source: String, to target: String) throws(CheckpointError) {
        try before(.rename, source)
        guard Glibc.rename(source, target) == 0 else { throw .system("rename", source) }
    }

    func removeFile(_ path: String) throws(CheckpointError) {
        try before(.removeFile, path)
        guard unlink(path) == 0 else { throw .system("unlink", path) }
    }

    func announceReading(_ path: String) throws(CheckpointError) { try before(.read, path) }

    func removeFolder(_ path: String) throws(CheckpointError) {
        try before(.removeFolder, path)
        guard rmdir(path) == 0 else { throw .system("rmdir", path) }
    }
}

/// Lets the calling thread sleep.
func sleep(seconds: Double) { usleep(UInt32(seconds * 1e6)) }

extension CheckpointError {
    /// What to do about an error of the system that a person can mend.
    static func hint(_ code: Int32) -> String {
        code == EMFILE || code == ENFILE ? "; raise the limit (ulimit -n)" : ""
    }

    /// A failed system call: its name, the path, and the space that was missing where it was that.
    static func system(
        _ call: String, _ path: String, _ code: Int32 = errno, wanted: Int? = nil
    ) -> CheckpointError {
        let reason = String(cString: strerror(code))
        guard code == ENOSPC || code == EDQUOT, let wanted else {
            return CheckpointError(
                .io, "\(path): expected \(call) to succeed, found: \(reason)\(hint(code))")
        }
        var volume = statvfs()
        let folder = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let known = statvfs(folder.joined(separator: "/"), &volume) == 0
        let free = known ? "\(UInt(volume.f_bavail) * UInt(volume.f_frsize)) bytes free" : reason
        return CheckpointError(
            .io,
            "\(path): expected room for \(wanted) more bytes, found \(free); "
                + "free space or keep fewer checkpoints (checkpoint.keep)")
    }
}
