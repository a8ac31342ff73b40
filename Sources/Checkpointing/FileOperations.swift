// The write side of the file system: the few operations a save consists of, each announced before it is
// done, so that a test can stop a save before any one of them.

#if canImport(Glibc)
    import Glibc
#endif

/// What a save does to the file system.
package struct FileOperations: Sendable {
    package enum Operation: Sendable, Equatable {
        case createFolder, createFile, write, synchronize, close, rename, removeFile, removeFolder
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

    /// - Parameter byteCount: what is going to be written, for messages of a full disk.
    func createFile(_ path: String, byteCount: Int = 0) throws(CheckpointError) -> OutputFile {
        try before(.createFile, path)
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = open(path, flags, 0o644)
        guard descriptor >= 0 else { throw .system("open", path) }
        return OutputFile(
            path: path, wanted: byteCount, descriptor: descriptor, before: before)
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

    func removeFolder(_ path: String) throws(CheckpointError) {
        try before(.removeFolder, path)
        guard rmdir(path) == 0 else { throw .system("rmdir", path) }
    }
}

/// Lets the calling thread sleep.
func sleep(seconds: Double) { usleep(UInt32(seconds * 1e6)) }

/// A file being written from its beginning to its end. It exists on disk once `finish()` has returned.
final class OutputFile {
    let path: String
    private(set) var byteCount = 0
    private let wanted: Int
    private var descriptor: Int32
    private let before: @Sendable (FileOperations.Operation, String) throws(CheckpointError) -> Void

    fileprivate init(
        path: String, wanted: Int, descriptor: Int32,
        before:
            @escaping @Sendable (FileOperations.Operation, String) throws(CheckpointError) ->
            Void
    ) {
        (self.path, self.wanted, self.descriptor, self.before) = (path, wanted, descriptor, before)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func write(_ bytes: RawSpan) throws(CheckpointError) {
        try before(.write, path)
        let code = bytes.withUnsafeBytes { source -> Int32 in
            var written = 0
            while written < source.count {
                let status = Glibc.write(
                    descriptor, source.baseAddress! + written, source.count - written)
                if status < 0 && errno == EINTR { continue }
                guard status > 0 else { return status < 0 ? errno : EIO }
                written += status
            }
            return 0
        }
        guard code == 0 else {
            throw .system("write", path, code, wanted: max(wanted - byteCount, bytes.byteCount))
        }
        byteCount += bytes.byteCount
    }

    /// Makes the file durable and closes it. A failed `fsync` loses the file: it is not tried again.
    func finish() throws(CheckpointError) {
        try before(.synchronize, path)
        guard fsync(descriptor) == 0 else { throw .system("fsync", path, wanted: byteCount) }
        try before(.close, path)
        let status = close(descriptor)
        descriptor = -1
        guard status == 0 else { throw .system("close", path, wanted: byteCount) }
    }
}

extension CheckpointError {
    /// A failed system call: its name, the path, and the space that was missing where it was that.
    static func system(
        _ call: String, _ path: String, _ code: Int32 = errno, wanted: Int? = nil
    ) -> CheckpointError {
        let reason = String(cString: strerror(code))
        guard code == ENOSPC || code == EDQUOT, let wanted else {
            return CheckpointError(.io, "\(path): expected \(call) to succeed, found: \(reason)")
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
