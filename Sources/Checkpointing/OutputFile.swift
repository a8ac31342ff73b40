#if canImport(Glibc)
    import Glibc
#endif

/// A file being written from its beginning to its end. It exists on disk once `finish()` has returned.
///
/// Blocks that begin and end at multiples of `pageByteCount`, in memory and in the file, go to the disk
/// straight from where they are (O_DIRECT): the system's copy of what nobody reads soon would take the
/// processor from the training, and its page cache from the data. A file system without that gets the copy.
final class OutputFile {
    /// What a block must be aligned to: no disk in use has larger sectors.
    static let pageByteCount = 4096

    /// fallocate(2), which is no part of POSIX and so of no header that Swift sees. POSIX's own would write
    /// every block where the file system cannot keep room.
    private static let allocate: (@convention(c) (Int32, Int32, off_t, off_t) -> Int32)? = {
        dlsym(nil, "fallocate").map {
            unsafeBitCast($0, to: (@convention(c) (Int32, Int32, off_t, off_t) -> Int32).self)
        }
    }()

    let path: String
    private(set) var byteCount = 0
    private let expectedByteCount: Int
    private var descriptor: Int32
    /// Of the same file; negative where the file system has no direct access.
    private var directDescriptor: Int32 = -1
    private let before: @Sendable (FileOperations.Operation, String) throws(CheckpointError) -> Void

    /// - Parameter byteCount: what is going to be written.
    init(
        creating path: String, byteCount: Int,
        before:
            @escaping @Sendable (FileOperations.Operation, String) throws(CheckpointError) ->
            Void
    ) throws(CheckpointError) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        descriptor = open(path, flags, 0o644)
        guard descriptor >= 0 else { throw .system("open", path) }
        (self.path, expectedByteCount, self.before) = (path, byteCount, before)
        guard byteCount > OutputFile.pageByteCount else { return }
        directDescriptor = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | __O_DIRECT)
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if directDescriptor >= 0 { close(directDescriptor) }
    }

    /// Has the disk keep room for the whole file, so that a full one is met before anything is written
    /// and takes the room of nobody else. A file system that cannot do that meets it later.
    func reserve() throws(CheckpointError) {
        guard expectedByteCount > OutputFile.pageByteCount, let allocate = OutputFile.allocate
        else { return }
        try before(.reserve, path)
        var status: Int32
        repeat {
            status = allocate(descriptor, 0, 0, off_t(expectedByteCount))
        } while status != 0 && errno == EINTR
        let code = errno
        guard status != 0, ![EOPNOTSUPP, ENOSYS, EINVAL].contains(code) else { return }
        // What it has of the room, it gives back.
        _ = ftruncate(descriptor, 0)
        throw .system("fallocate", path, code, wanted: expectedByteCount)
    }

    func write(_ bytes: RawSpan) throws(CheckpointError) {
        try before(.write, path)
        let code = bytes.withUnsafeBytes { source -> Int32 in
            let direct = writeDirect(source)
            if direct.code != 0 { return direct.code }
            return write(
                UnsafeRawBufferPointer(rebasing: source[direct.count...]), to: descriptor,
                at: byteCount + direct.count
            ).code
        }
        guard code == 0 else {
            throw .system(
                "write", path, code, wanted: max(expectedByteCount - byteCount, bytes.byteCount))
        }
        byteCount += bytes.byteCount
    }

    /// Leaves out so many bytes at the beginning, which `writeHead` writes.
    func leaveHead(_ headByteCount: Int) {
        precondition(byteCount == 0, "OutputFile: \(byteCount) bytes of \(path) are written")
        byteCount = headByteCount
    }

    /// Writes what was left out.
    func writeHead(_ bytes: RawSpan) throws(CheckpointError) {
        try before(.write, path)
        let code = bytes.withUnsafeBytes { write($0, to: descriptor, at: 0).code }
        guard code == 0 else { throw .system("write", path, code, wanted: bytes.byteCount) }
    }

    /// Makes the file durable and closes it. A failed `fsync` loses the file: it is not tried again.
    func finish() throws(CheckpointError) {
        precondition(
            byteCount == expectedByteCount,
            "OutputFile: \(byteCount) of \(expectedByteCount) bytes of \(path) were written")
        try before(.synchronize, path)
        guard fsync(descriptor) == 0 else { throw .system("fsync", path, wanted: byteCount) }
        try before(.close, path)
        if directDescriptor >= 0 { close(directDescriptor) }
        let status = close(descriptor)
        (descriptor, directDescriptor) = (-1, -1)
        guard status == 0 else { throw .system("close", path, wanted: byteCount) }
    }

    /// Writes whole pages from the beginning of `source`, as far as they may go to the disk directly.
    private func writeDirect(_ source: UnsafeRawBufferPointer) -> (count: Int, code: Int32) {
        let page = OutputFile.pageByteCount
        let whole = source.count / page * page
        guard directDescriptor >= 0, whole > 0, byteCount % page == 0,
            Int(bitPattern: source.baseAddress) % page == 0
        else { return (0, 0) }
        let pages = UnsafeRawBufferPointer(rebasing: source[..<whole])
        let written = write(pages, to: directDescriptor, at: byteCount)
        guard written.code != 0, ![ENOSPC, EDQUOT, EIO, EROFS].contains(written.code) else {
            return written
        }
        // Some file systems say only now, and each in its way, that they have no direct access.
        close(directDescriptor)
        directDescriptor = -1
        return (0, 0)
    }

    private func write(
        _ source: UnsafeRawBufferPointer, to descriptor: Int32, at offset: Int
    ) -> (count: Int, code: Int32) {
        var written = 0
        while written < source.count {
            let status = pwrite(
                descriptor, source.baseAddress! + written, source.count - written,
                off_t(offset + written))
            if status < 0 && errno == EINTR { continue }
            guard status > 0 else { return (written, status < 0 ? errno : EIO) }
            written += status
        }
        return (written, 0)
    }
}
