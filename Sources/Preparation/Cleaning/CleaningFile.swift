// Small files that cleaning reads whole: block lists and language models.

import Datasets
import Files
import Foundation

enum CleaningFile {
    /// The bytes of a regular file.
    /// - Parameter limit: bytes beyond which the file is refused unread.
    static func read(_ path: String, limit: Int) throws(DatasetError) -> [UInt8] {
        if let found = FileKind.unfit(path) {
            throw DatasetError(
                .missing,
                "\(path.printablePath): expected a regular file, found \(found)"
                    + FileKind.hint(reading: found))
        }
        // A pipe that came in the meantime is not waited for.
        let number = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard number >= 0 else { throw failure(path, "open") }
        defer { _ = close(number) }
        var status = stat()
        guard fstat(number, &status) == 0 else { throw failure(path, "stat") }
        guard status.st_size <= limit else {
            throw DatasetError(
                .tooLarge,
                "\(path.printablePath): expected at most \(limit) bytes, found \(status.st_size)")
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limit {
            let count = buffer.withUnsafeMutableBytes {
                Foundation.read(number, $0.baseAddress, $0.count)
            }
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw failure(path, "read")
            }
            bytes += buffer[..<count]
        }
        throw DatasetError(
            .tooLarge, "\(path.printablePath): expected at most \(limit) bytes, found more")
    }

    /// Writes a file whole or not at all; one that is there is replaced.
    static func write(_ bytes: [UInt8], to path: String) throws(DatasetError) {
        let draft = "\(path).\(getpid()).partial"
        let number = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw failure(draft, "open") }
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Foundation.write(number, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw abandoned(draft, number, "write to") }
            done += count
        }
        guard fsync(number) == 0 else { throw abandoned(draft, number, "synchronise") }
        guard close(number) == 0 else { throw failure(draft, "close") }
        guard rename(draft, path) == 0 else {
            let error = failure(path, "rename to")
            _ = unlink(draft)
            throw error
        }
    }

    private static func abandoned(_ path: String, _ number: Int32, _ action: String)
        -> DatasetError
    {
        let error = failure(path, action)
        _ = close(number)
        _ = unlink(path)
        return error
    }

    private static func failure(_ path: String, _ action: String) -> DatasetError {
        let code = errno
        let reason = String(cString: strerror(code))
        return DatasetError(
            code == ENOENT ? .missing : .inputOutput,
            "\(path.printablePath): expected to \(action) it, found: \(reason)")
    }

    /// Lines of a block list without white space around them; blank ones and those that begin with `#` are left out.
    static func entries(_ path: String) throws(DatasetError) -> [(line: Int, text: [UInt8])] {
        let bytes = try read(path, limit: 1 << 28)
        guard CleaningFile.isText(bytes) else {
            throw DatasetError(
                .invalidText, "\(path.printablePath): expected UTF-8, found other bytes")
        }
        var entries: [(line: Int, text: [UInt8])] = []
        var (start, line) = (0, 0)
        // A byte-order mark is no part of the first word.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { start = 3 }
        while start < bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != 0x0A { end += 1 }
            line += 1
            let range = TextCharacters.trimmed(bytes.span, start..<end)
            if !range.isEmpty, bytes[range.lowerBound] != 0x23 {
                entries.append((line, Array(bytes[range])))
            }
            start = end + 1
        }
        return entries
    }
}
