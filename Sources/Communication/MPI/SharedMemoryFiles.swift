import Glibc

/// Files in /dev/shm through which Open MPI's ranks exchange messages. A job that is killed leaves its own
/// there, 4 MiB a rank, and nobody else takes them away.
package enum SharedMemoryFiles {
    /// Of messages in Open MPI 4 and in 5, and of windows.
    private static let prefixes = ["vader_segment.", "sm_segment.", "osc_sm."]

    // Of <fcntl.h>, which Swift does not import.
    private static let setLease: Int32 = 1024
    private static let setSignal: Int32 = 10

    /// Removes this user's files of Open MPI that no process has open or mapped, wherever it runs; returns
    /// their names.
    ///
    /// The kernel grants a write lease only on a file that nobody else has open, and a mapping keeps its
    /// file open: that holds across containers, and for a job that starts at this moment. Where the kernel
    /// grants no lease, the file stays.
    @discardableResult
    package static func removeAbandoned(in folder: String = "/dev/shm") -> [String] {
        names(in: folder).filter { name in
            prefixes.contains(where: name.hasPrefix) && removeIfAbandoned("\(folder)/\(name)")
        }
    }

    private static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) { name in
                    name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                })
        }
        return names.sorted()
    }

    private static func removeIfAbandoned(_ path: String) -> Bool {
        let descriptor = open(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        // Closing gives the lease back.
        defer { close(descriptor) }
        var information = stat()
        guard fstat(descriptor, &information) == 0, information.st_uid == geteuid(),
            information.st_mode & S_IFMT == S_IFREG
        else { return false }
        // Who opens the file meanwhile is told so with a signal that is ignored by default; the usual one ends
        // the process.
        guard fcntl(descriptor, setSignal, SIGURG) == 0,
            fcntl(descriptor, setLease, Int32(F_WRLCK)) == 0
        else { return false }
        return unlink(path) == 0
    }
}
