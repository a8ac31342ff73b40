import Foundation

/// What stands under a name where a regular file is expected, in words.
package enum FileKind {
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

    /// What stands in the way of a folder at `path`, there or at a parent that it names; nil where nothing does.
    package static func obstacle(toFolder path: String) -> String? {
        var here = path
        while here.count > 1, here.hasSuffix("/") { here.removeLast() }
        let folder = here
        while !here.isEmpty {
            var status = stat()
            let isThere = stat(here, &status) == 0
            if isThere, status.st_mode & S_IFMT == S_IFDIR { return nil }
            if let found = isThere ? name(of: status.st_mode) : unfit(here) {
                return here == folder ? found : "\(found) at \(here)"
            }
            let parent = (here as NSString).deletingLastPathComponent
            if parent == here { return nil }
            here = parent
        }
        return nil
    }
}
