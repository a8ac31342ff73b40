import Files
import Foundation

/// The right to write into a run directory, for as long as this is alive: two runs in one place would
/// take each other's rows and checkpoints for their own. A file system without locks gives none.
package final class RunLock {
    /// Why two runs could meet here, where the file system has no locks.
    package let warning: String?
    private let descriptor: Int32

    /// Makes the directory where it is missing. Throws where it cannot be written to, or where another
    /// process holds it.
    package init(directory: String) throws(RunError) {
        let path = "\(directory)/.lock"
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw RunLock.refused(directory, systemReason(error))
        }
        descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o644)
        let reason = String(cString: strerror(errno))
        if let found = FileKind.unfit(path, for: S_IFREG, followingLinks: false) {
            if descriptor >= 0 { close(descriptor) }
            throw RunError(
                .inputOutput,
                "\(path): expected a regular file, found \(found)\(FileKind.hint(writing: found))")
        }
        guard descriptor >= 0 else { throw RunLock.refused(directory, reason) }
        let status = flock(descriptor, LOCK_EX | LOCK_NB)
        let code = errno
        guard status == 0 || code != EWOULDBLOCK else {
            let holder = RunLock.holder(descriptor)
            close(descriptor)
            throw RunError(
                .usage,
                "\(directory): expected no other run in it, found one that is under way\(holder); wait for "
                    + "it, or name another run.directory")
        }
        warning =
            status == 0
            ? nil
            : "\(path): expected to lock it, found \(String(cString: strerror(code))); let no other run "
                + "write to \(directory)"
        let owner = Array("\(ProcessInfo.processInfo.hostName) \(getpid())\n".utf8)
        // What a read-only or full disk refuses, it refuses now; and the directory is there after a power cut,
        // as far as its parent, which may not be readable, can be asked.
        _ = RunLock.synchronize("\(directory)/..")
        guard ftruncate(descriptor, 0) == 0,
            pwrite(descriptor, owner, owner.count, 0) == owner.count, fsync(descriptor) == 0,
            RunLock.synchronize(directory)
        else {
            // All is set, so that `deinit` closes it.
            throw RunLock.refused(directory, String(cString: strerror(errno)))
        }
    }

    deinit { close(descriptor) }

    /// The host and process of who holds the lock, as it wrote them.
    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = max(0, pread(descriptor, &bytes, bytes.count, 0))
        let words = String(decoding: bytes.prefix(count), as: UTF8.self).split(separator: " ")
        guard words.count == 2, let process = Int(words[1].filter(\.isNumber)) else { return "" }
        return
            " (host \(words[0].prefix(64).filter { $0.isLetter || $0.isNumber || "-._".contains($0) }), "
            + "process \(process))"
    }

    private static func synchronize(_ directory: String) -> Bool {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return fsync(descriptor) == 0
    }

    private static func refused(_ directory: String, _ reason: String) -> RunError {
        if let obstacle = FileKind.obstacle(toFolder: directory) {
            return RunError(
                .inputOutput,
                "\(directory): expected a folder to write to, found \(obstacle); move it, or name another "
                    + "run.directory")
        }
        return RunError(
            .inputOutput,
            "\(directory): expected a folder to write to, found \(reason); check run.directory and its "
                + "permissions")
    }
}
