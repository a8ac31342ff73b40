import Foundation

/// What stands under a name where a regular file is expected, in words.
enum FileKind {
    static func name(of mode: mode_t) -> String {
        switch mode & S_IFMT {
        case S_IFREG: "a regular file"
        case S_IFDIR: "a folder"
        case S_IFIFO: "a named pipe"
        case S_IFCHR, S_IFBLK: "a device"
        case S_IFSOCK: "a socket"
        default: "something else"
        }
    }

    /// What is at `path` and no regular file; nil where one is, or nothing.
    static func unfit(_ path: String) -> String? {
        var status = stat()
        if stat(path, &status) == 0 {
            return status.st_mode & S_IFMT == S_IFREG ? nil : name(of: status.st_mode)
        }
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return nil }
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
        return "a link to \(target ?? "something") that leads nowhere"
    }
}
