import Files
import Foundation

/// File names with `*`, `?`, `[…]` within a part of a path, and `**` for any depth of folders.
package enum FilePattern {
    /// The regular files that `patterns` name, each once, sorted by the bytes of their paths.
    ///
    /// A pattern that names nothing is an error; all such patterns are reported at once. Hidden files
    /// match only a part that starts with a dot, and `**` does not follow symbolic links.
    package static func expand(_ patterns: [String]) throws(DatasetError) -> [String] {
        guard !patterns.isEmpty else {
            throw DatasetError(.missing, "files: expected at least 1 name or pattern, found 0")
        }
        var (found, errors): (Set<String>, [DatasetError]) = ([], [])
        for pattern in patterns {
            let matches = files(matching: pattern)
            if matches.isEmpty { errors.append(nothingFound(pattern)) }
            found.formUnion(matches)
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        return found.inByteOrder
    }

    private static func nothingFound(_ pattern: String) -> DatasetError {
        if !isWild(pattern), let found = FileKind.unfit(pattern) {
            let hint =
                found == "a folder"
                ? "; name its files: \(pattern)/*" : FileKind.hint(reading: found)
            return DatasetError(.missing, "\(pattern): expected a file, found \(found)\(hint)")
        }
        let base = String(
            pattern.prefix { !"*?[".contains($0) }.reversed().drop { $0 != "/" }.reversed())
        if !base.isEmpty, Folder.exists(base), access(base, R_OK | X_OK) != 0 {
            return DatasetError(
                .inputOutput,
                "\(pattern): expected to look into \(base), found that it may not be read")
        }
        let expected = isWild(pattern) ? "a file of this pattern" : "this file"
        return DatasetError(
            .missing,
            "\(pattern): expected \(expected), found none; paths are relative to "
                + FileManager.default.currentDirectoryPath)
    }

    private static func files(matching pattern: String) -> [String] {
        let parts = pattern.split(separator: "/").map(String.init)
        var paths: [String] = []
        collect(parts[...], below: pattern.hasPrefix("/") ? "/" : "", into: &paths)
        return paths.filter { kind(of: $0) == .typeRegular }
    }

    private static func collect(
        _ parts: ArraySlice<String>, below folder: String, into paths: inout [String]
    ) {
        guard let part = parts.first else {
            paths.append(folder)
            return
        }
        let rest = parts.dropFirst()
        if part == "**" {
            collect(rest, below: folder, into: &paths)
            for entry in entries(of: folder) where !entry.hasPrefix(".") {
                let path = Folder.join(folder, entry)
                if isFolderItself(path) { collect(parts, below: path, into: &paths) }
            }
        } else if isWild(part) {
            for entry in entries(of: folder) where fnmatch(part, entry, FNM_PERIOD) == 0 {
                collect(rest, below: Folder.join(folder, entry), into: &paths)
            }
        } else {
            let path = Folder.join(folder, part)
            if Folder.exists(path) { collect(rest, below: path, into: &paths) }
        }
    }

    private static func isWild(_ part: String) -> Bool { part.contains { "*?[".contains($0) } }

    private static func entries(of folder: String) -> [String] {
        let path = folder.isEmpty ? "." : folder
        return (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    }

    private static func isFolderItself(_ path: String) -> Bool {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        return attributes?[.type] as? FileAttributeType == .typeDirectory
    }

    private static func kind(of path: String) -> FileAttributeType? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return status.st_mode & S_IFMT == S_IFREG ? .typeRegular : nil
    }
}

extension Sequence<String> {
    /// Sorted by the bytes of UTF-8, the same whatever the locale.
    var inByteOrder: [String] { sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) } }
}
