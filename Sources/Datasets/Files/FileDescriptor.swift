import Files
import Foundation

/// An open regular file: positional reads, appending writes, and every return code looked at.
package struct FileDescriptor: ~Copyable {
    package let path: String
    private var number: Int32

    /// Opens an existing regular file for reading.
    package init(reading path: String) throws(DatasetError) {
        // Non-blocking, so that a pipe given by mistake is refused and not waited for.
        number = try FileDescriptor.open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        self.path = path
    }

    /// Makes a file that must not exist yet, for writing.
    package init(creating path: String) throws(DatasetError) {
        number = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC)
        self.path = path
    }

    /// Runs `body` while no other process does so on this file, which is made where it is missing. A
    /// file system without locks gives none.
    package static func withLock<Result>(
        on path: String, _ body: () throws(DatasetError) -> Result
    ) throws(DatasetError) -> Result {
        let number = try open(path, O_RDWR | O_CREAT | O_CLOEXEC)
        defer { _ = Foundation.close(number) }  // which also lets go of the lock
        while flock(number, LOCK_EX) != 0 && errno == EINTR {}
        return try body()
    }

    /// Opens a folder, only to make its entries durable with `synchronize`.
    package init(folder path: String) throws(DatasetError) {
        number = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        self.path = path
    }

    private static func open(_ path: String, _ flags: Int32) throws(DatasetError) -> Int32 {
        let number = Foundation.open(path, flags, 0o644)
        if number < 0 {
            let failure = error(path, "open")
            guard let found = FileKind.unfit(path) else { throw failure }
            throw DatasetError(
                failure.kind,
                "\(path): expected a regular file, found \(found)"
                    + FileKind.hint(reading: found))
        }
        var status = stat()
        let isFolder = flags & O_DIRECTORY != 0
        guard fstat(number, &status) == 0, isFolder || status.st_mode & S_IFMT == S_IFREG else {
            _ = Foundation.close(number)
            let found = FileKind.name(of: status.st_mode)
            throw DatasetError(
                .missing,
                "\(path): expected a regular file, found \(found)" + FileKind.hint(reading: found))
        }
        return number
    }

    deinit {
        if number >= 0 { _ = Foundation.close(number) }
    }

    /// Bytes the file has now.
    package func byteCount() throws(DatasetError) -> Int {
        var status = stat()
        if fstat(number, &status) != 0 { throw FileDescriptor.error(path, "stat") }
        return Int(status.st_size)
    }

    /// Reads up to `count` bytes from `offset` on into the start of `buffer`; fewer only at the end.
    package func read(_ count: Int, at offset: Int, into buffer: inout [UInt8]) throws(DatasetError)
        -> Int
    {
        if buffer.count < count { buffer = [UInt8](repeating: 0, count: count) }
        var done = 0
        while done < count {
            let result = buffer.withUnsafeMutableBytes {
                pread(number, $0.baseAddress! + done, count - done, off_t(offset + done))
            }
            if result == 0 { break }
            if result < 0 {
                if errno == EINTR { continue }
                throw FileDescriptor.error(path, "read")
            }
            done += result
        }
        return done
    }

    /// Reads exactly `count` bytes; fewer are an error, which says how many there were.
    package func readExactly(_ count: Int, at offset: Int) throws(DatasetError) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let found = try read(count, at: offset, into: &buffer)
        guard found == count else {
            throw DatasetError(
                .corrupt, "\(path): expected \(count) bytes at offset \(offset), found \(found)")
        }
        return buffer
    }

    /// Appends at the current position.
    package func append(_ bytes: [UInt8]) throws(DatasetError) {
        var done = 0
        while done < bytes.count {
            let result = bytes.withUnsafeBytes {
                write(number, $0.baseAddress! + done, bytes.count - done)
            }
            if result < 0 {
                if errno == EINTR { continue }
                throw FileDescriptor.error(path, "write \(bytes.count) bytes to")
            }
            done += result
        }
    }

    /// Writes over what stands at the start.
    package func overwriteStart(_ bytes: [UInt8]) throws(DatasetError) {
        let result = bytes.withUnsafeBytes { pwrite(number, $0.baseAddress!, bytes.count, 0) }
        if result != bytes.count { throw FileDescriptor.error(path, "write to") }
    }

    package func synchronize() throws(DatasetError) {
        if fsync(number) != 0 { throw FileDescriptor.error(path, "fsync") }
    }

    /// Closes now, so that a late write error is seen.
    package mutating func close() throws(DatasetError) {
        let closing = number
        number = -1
        if Foundation.close(closing) != 0 { throw FileDescriptor.error(path, "close") }
    }

    /// The error that `errno` tells of.
    package static func error(_ path: String, _ operation: String) -> DatasetError {
        let code = errno
        let reason = String(cString: strerror(code))
        return DatasetError(
            code == ENOENT ? .missing : .inputOutput,
            "\(path): expected to \(operation) it, found the error \"\(reason)\"")
    }
}
