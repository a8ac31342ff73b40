import Foundation

extension String {
    /// This path with a leading `~` or `~user` replaced by that home, as a shell does; where there is no such
    /// user it is a name like any other. Every path that a person gives goes through here once: later
    /// readers disagree about what `~` is.
    package var expandingHome: String {
        guard hasPrefix("~") else { return self }
        if self == "~" || hasPrefix("~/"), let home = ProcessInfo.processInfo.environment["HOME"],
            !home.isEmpty
        {
            return home + dropFirst()
        }
        return (self as NSString).expandingTildeInPath
    }

    /// Whether this text holds this process's home, as a path does that began with `~`.
    package var namesHome: Bool {
        let home = ProcessInfo.processInfo.environment["HOME"] ?? ""
        return home.count > 1 && contains(home)
    }
}
