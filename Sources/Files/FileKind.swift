import Foundation

/// What stands under a name where a regular file is expected, in words.
package enum FileKind {
    package static func name(of mode: mode_t) -> String {
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
    package static func unfit(_ path: String) -> String? { unfit(path, for: S_IFREG) }

    /// What is at `path` and of another type than `type` (`S_IFREG`, `S_IFDIR`); nil where it is of that type, or
    /// nothing is there.
    /// - Parameter followingLinks: whether a link is taken for what it leads to.
    package static func unfit(
        _ path: String, for type: mode_t, followingLinks: Bool = true
    ) -> String? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        guard status.st_mode & S_IFMT == S_IFLNK else { return unfit(status.st_mode, for: type) }
        let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
        let link = "a link to \(target?.printablePath ?? "something")"
        if !followingLinks { return link }
        if stat(path, &status) == 0 { return unfit(status.st_mode, for: type) }
        return "\(link) that leads nowhere"
    }

    private static func unfit(_ mode: mode_t, for type: mode_t) -> String? {
        mode & S_IFMT == type ? nil : name(of: mode)
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

    /// What a person does about what `unfit` has found where a file is read: `; …`, or nothing.
    package static func hint(reading found: String) -> String {
        switch found {
        case "a named pipe", "a device", "a socket": "; write what it gives to a file first"
        case _ where found.hasPrefix("a link"): "; mend or remove the link"
        default: ""
        }
    }

    /// The same where a file is written.
    package static func hint(writing found: String) -> String {
        found.hasPrefix("a link") ? "; mend or remove the link" : "; move it away"
    }
}
