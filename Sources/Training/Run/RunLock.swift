import Foundation

/// The right to write into a run directory, for as long as this is alive: two runs in one place would
/// take each other's rows and checkpoints for their own. A file system without locks gives none.
final class RunLock {
    private let descriptor: Int32

    /// Makes the directory where it is missing. Throws where it cannot be written to, or where another
    /// process holds it.
    init(directory: String) throws(RunError) {
        let path = "\(directory)/.lock"
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw RunLock.refused(directory, systemReason(error))
        }
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw RunLock.refused(directory, String(cString: strerror(errno)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
            close(descriptor)
            throw RunError(
                .usage,
                "\(directory): expected no other run in it, found one that is under way; wait for it, or "
                    + "name another run.directory")
        }
        // What a read-only or full disk refuses, it refuses now; and the directory is there after a power cut,
        // as far as its parent, which may not be readable, can be asked.
        _ = RunLock.synchronize("\(directory)/..")
        guard ftruncate(descriptor, 1) == 0, fsync(descriptor) == 0,
            RunLock.synchronize(directory)
        else {
            let reason = String(cString: strerror(errno))
            close(descriptor)
            throw RunLock.refused(directory, reason)
        }
    }

    deinit { close(descriptor) }

    private static func synchronize(_ directory: String) -> Bool {
        let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return fsync(descriptor) == 0
    }

    private static func refused(_ directory: String, _ reason: String) -> RunError {
        RunError(
            .inputOutput,
            "\(directory): expected a folder to write to, found \(reason); check run.directory and its "
                + "permissions")
    }
}
