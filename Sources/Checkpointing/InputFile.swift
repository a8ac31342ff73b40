import Files
import Tensors

#if canImport(Glibc)
    import Glibc
#endif

/// A folder opened for reading, so that its files are taken from it and from nowhere else.
final class InputFolder: Sendable {
    let path: String
    private let descriptor: Int32

    /// Throws where `path` is no folder; a link to one is taken only where links may be followed.
    init(_ path: String, followingLinks: Bool) throws(CheckpointError) {
        let links = followingLinks ? 0 : O_NOFOLLOW
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | links)
        guard descriptor >= 0 else {
            throw .opening(path, as: "a folder", S_IFDIR, followingLinks: followingLinks)
        }
        (self.path, self.descriptor) = (path, descriptor)
    }

    deinit { close(descriptor) }

    /// Opens a regular file of this folder; `name` is one path component.
    func open(_ name: String) throws(CheckpointError) -> InputFile {
        let path = "\(self.path)/\(name)"
        let file = openat(descriptor, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard file >= 0 else {
            throw .opening(path, as: "a file", S_IFREG, followingLinks: false)
        }
        return try InputFile(path: path, descriptor: file)
    }
}

/// A regular file opened for reading at any offset, by any thread.
final class InputFile: Sendable {
    let path: String
    let byteCount: Int
    private let descriptor: Int32

    convenience init(_ path: String) throws(CheckpointError) {
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw .opening(path, as: "a file", S_IFREG) }
        try self.init(path: path, descriptor: descriptor)
    }

    fileprivate init(path: String, descriptor: Int32) throws(CheckpointError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            close(descriptor)
            throw .opening(path, as: "a file", S_IFREG, code)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .unfit(path, FileKind.name(of: status.st_mode), as: "a regular file")
        }
        (self.path, self.descriptor, byteCount) = (path, descriptor, Int(status.st_size))
    }

    deinit { close(descriptor) }

    /// Bytes `offset` ..< `offset` + `count`.
    func bytes(at offset: Int, count: Int) throws(CheckpointError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var target = bytes.mutableSpan
        var rawTarget = target.mutableBytes
        try fill(&rawTarget, at: offset)
        return bytes
    }

    /// Fills `buffer` with the bytes from `offset` on.
    func read(into buffer: Buffer, at offset: Int) throws(CheckpointError) {
        var target = UnsafeMutableRawBufferPointer(
            start: buffer.bytes, count: buffer.byteCount
        ).mutableBytes
        try fill(&target, at: offset)
    }

    /// The digest of bytes `range`, read in blocks of a MiB.
    ///
    /// - Parameter directly: from the disk past the page cache, where the file system can: what nobody reads again
    ///   soon takes neither memory nor, for a copy of it, the processor.
    func digest(
        of range: Range<Int>, _ algorithm: PartDigest.Algorithm, directly: Bool = false
    ) throws(CheckpointError) -> String {
        var digest = PartDigest(algorithm)
        if directly, readDirectly(range, { digest.update($0) }) { return digest.labelled() }
        digest = PartDigest(algorithm)
        let block = Buffer(storage: Storage(byteCount: 1 << 20), count: 1 << 18)
        var position = range.lowerBound
        while position + block.byteCount <= range.upperBound {
            try read(into: block, at: position)
            digest.update(block)
            position += block.byteCount
        }
        let rest = try bytes(at: position, count: range.upperBound - position)
        digest.update(rest)
        return digest.labelled()
    }

    /// Hands over the bytes of `range` as the disk has them; false where that cannot be, some may then have been
    /// handed over.
    private func readDirectly(_ range: Range<Int>, _ take: (RawSpan) -> Void) -> Bool {
        let direct = Glibc.open("/proc/self/fd/\(descriptor)", O_RDONLY | O_CLOEXEC | __O_DIRECT)
        guard direct >= 0 else { return false }
        defer { close(direct) }
        let page = OutputFile.pageByteCount
        // Of this size the pool's blocks are aligned to pages, and kept from part to part.
        let storage = Storage(byteCount: 4 << 20)
        defer { withExtendedLifetime(storage) {} }
        let block = UnsafeMutableRawBufferPointer(
            start: storage.pointer, count: storage.byteCount)
        var position = range.lowerBound
        while position < range.upperBound {
            let start = position / page * page
            let wanted = min(block.count, (range.upperBound - start + page - 1) / page * page)
            let status = pread(direct, block.baseAddress, wanted, off_t(start))
            if status < 0 && errno == EINTR { continue }
            let end = min(range.upperBound, start + status)
            guard status > 0, end > position else { return false }
            take(UnsafeRawBufferPointer(rebasing: block[position - start..<end - start]).bytes)
            position = end
        }
        return true
    }

    private func fill(
        _ target: inout MutableRawSpan, at offset: Int
    ) throws(CheckpointError) {
        let count = target.byteCount
        let (filled, code) = target.withUnsafeMutableBytes { target -> (Int, Int32) in
            var filled = 0
            while filled < count {
                let status = pread(
                    descriptor, target.baseAddress! + filled, count - filled,
                    off_t(offset + filled))
                if status < 0 && errno == EINTR { continue }
                if status < 0 { return (filled, errno) }
                if status == 0 { break }
                filled += status
            }
            return (filled, 0)
        }
        guard code != EIO && code != ESTALE else {
            throw CheckpointError(
                .unreadable,
                "\(path.printablePath): expected to read at \(offset), found an I/O error")
        }
        guard code == 0 else { throw .system("read", path.printablePath, code) }
        guard filled == count else {
            throw CheckpointError(
                .unusable,
                "\(path.printablePath): expected \(count) bytes at offset \(offset), found \(filled)"
            )
        }
    }
}

extension CheckpointError {
    /// What is not there, or not what it should be, makes a checkpoint unusable; an error of the disk makes it
    /// unreadable; the rest is I/O.
    fileprivate static func opening(
        _ path: String, as expected: String, _ type: mode_t, followingLinks: Bool = true,
        _ code: Int32 = errno
    ) -> CheckpointError {
        let isDamage = [ENOENT, ELOOP, ENOTDIR, EISDIR, ENXIO].contains(code)
        if isDamage,
            let found = FileKind.unfit(path, for: type, followingLinks: followingLinks)
        {
            return unfit(path, found, as: expected)
        }
        let reason = String(cString: strerror(code))
        return CheckpointError(
            code == EIO || code == ESTALE ? .unreadable : isDamage ? .unusable : .io,
            "\(path.printablePath): expected \(expected), found: \(reason)\(hint(code))")
    }

    /// Something of another kind stands under the name.
    static func unfit(
        _ path: String, _ found: String, as expected: String
    ) -> CheckpointError {
        CheckpointError(
            .unusable,
            "\(path.printablePath): expected \(expected), found \(found)"
                + FileKind.hint(reading: found))
    }
}
