import Files
import Foundation

/// File names with `*`, `?`, `[…]` within a part of a path, and `**` for any depth of folders.
package enum FilePattern {
    /// The regular files that `patterns` name, each once, sorted by the bytes of their paths.
    ///
    /// A pattern that names nothing is an error; all such patterns are reported at once. Hidden files
    /// match only a part that starts with a dot, and `**` does not follow symbolic links. A name that is no UTF-8 is an
    /// error where it matches, as it could not be written down anywhere, and so is a folder that cannot be looked into:
    /// nothing is passed over in silence.
    package static func expand(_ patterns: [String]) throws(DatasetError) -> [String] {
        let lists = try files(of: patterns)
        var found = lists.count == 1 ? lists[0] : lists.flatMap { $0 }
        found.sortInByteOrder()
        return found.withoutRepetitions()
    }

    /// The same files, pattern after pattern, those of one sorted by the bytes of their paths: for lists of which each
    /// place belongs to one of another list. A file that two patterns name is there twice.
    package static func expand(
        inOrderOf patterns: [String]
    ) throws(DatasetError) -> [String] {
        var files: [String] = []
        for var found in try self.files(of: patterns) {
            found.sortInByteOrder()
            files += found.withoutRepetitions()
        }
        return files
    }

    /// What each pattern names, in no order.
    private static func files(of patterns: [String]) throws(DatasetError) -> [[String]] {
        guard !patterns.isEmpty else {
            throw DatasetError(.missing, "files: expected at least 1 name or pattern, found 0")
        }
        var (found, errors): ([[String]], [DatasetError]) = ([], [])
        for pattern in patterns {
            var search = PatternSearch()
            search.run(pattern)
            errors += search.errors
            if search.files.isEmpty, search.errors.isEmpty { errors.append(nothingFound(pattern)) }
            found.append(search.files)
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        return found
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

    fileprivate static func isWild(_ part: String) -> Bool { part.contains { "*?[".contains($0) } }
}

/// The files that one pattern names. Millions of them are found in seconds: what an entry of a folder is comes with its
/// name, and asks the file system for nothing more.
private struct PatternSearch {
    private(set) var files: [String] = []
    private(set) var errors: [DatasetError] = []

    mutating func run(_ pattern: String) {
        // Neighbouring `**` name what one does.
        let parts = pattern.split(separator: "/").map(String.init).reduce(into: [String]()) {
            if $1 != "**" || $0.last != "**" { $0.append($1) }
        }
        collect(parts[...], below: pattern.hasPrefix("/") ? "/" : "")
    }

    private mutating func collect(_ parts: ArraySlice<String>, below folder: String) {
        guard let part = parts.first else {
            if PatternSearch.isRegular(folder) { files.append(folder) }
            return
        }
        let rest = parts.dropFirst()
        if part == "**" {
            collect(rest, below: folder)
            for entry in entries(of: folder) where !entry.isHidden {
                let path = PatternSearch.join(folder, entry.name)
                guard entry.isFolderItself(at: path), isWritable(entry, in: folder) else {
                    continue
                }
                collect(parts, below: path)
            }
        } else if FilePattern.isWild(part) {
            for entry in entries(of: folder)
            where fnmatch(part, entry.name, FNM_PERIOD) == 0 {
                if rest.isEmpty, entry.type != .unknown, entry.type != .regular { continue }
                guard isWritable(entry, in: folder) else { continue }
                let path = PatternSearch.join(folder, entry.name)
                if rest.isEmpty, entry.type == .regular {
                    files.append(path)
                } else {
                    collect(rest, below: path)
                }
            }
        } else {
            let path = PatternSearch.join(folder, part)
            if Folder.exists(path) { collect(rest, below: path) }
        }
    }

    private mutating func entries(of folder: String) -> [FolderEntry] {
        if let entries = FolderEntry.all(of: folder) { return entries }
        let code = errno
        // What is no folder, or leads to none, has no entries.
        if [ENOENT, ENOTDIR, ELOOP].contains(code) { return [] }
        errors.append(
            DatasetError(
                .inputOutput,
                "\((folder.isEmpty ? "." : folder).printablePath): expected to look into this folder, found "
                    + "\"\(String(cString: strerror(code)))\"; allow it, or name files that leave it out"
            ))
        return []
    }

    private mutating func isWritable(_ entry: FolderEntry, in folder: String) -> Bool {
        if entry.isUTF8 { return true }
        let place = (folder.isEmpty ? "." : folder).printablePath
        errors.append(
            DatasetError(
                .inputOutput,
                "\(place): expected names in UTF-8, found \(entry.name.printable.debugDescription); "
                    + "rename it"))
        return false
    }

    private static func join(_ folder: String, _ name: String) -> String {
        folder.isEmpty ? name : folder.utf8.last == 0x2F ? folder + name : folder + "/" + name
    }

    private static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}

/// A name in a folder, and what the folder says of it.
private struct FolderEntry {
    enum Kind { case regular, folder, other, unknown }

    let name: String
    /// Whether `name` is what is on the disk.
    let isUTF8: Bool
    /// A link is unknown: it is what it leads to.
    let type: Kind
    private let isLink: Bool

    var isHidden: Bool { name.utf8.first == 0x2E }

    /// Whether it is a folder and no link to one.
    func isFolderItself(at path: String) -> Bool {
        guard type == .unknown, !isLink else { return type == .folder }
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// All but `.` and `..`; nil, with `errno`, where the folder cannot be read.
    static func all(of folder: String) -> [FolderEntry]? {
        guard let stream = opendir(folder.isEmpty ? "." : folder) else { return nil }
        defer { closedir(stream) }
        var entries: [FolderEntry] = []
        while let entry = readdir(stream) {
            if let entry = FolderEntry(entry) { entries.append(entry) }
        }
        return entries
    }

    private init?(_ entry: UnsafeMutablePointer<dirent>) {
        // The name goes on behind the struct that Swift would copy, so it is read where it is.
        guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return nil }
        let start = UnsafeRawPointer(entry) + offset
        let bytes = UnsafeRawBufferPointer(
            start: start, count: strlen(start.assumingMemoryBound(to: CChar.self)))
        if bytes.elementsEqual([0x2E]) || bytes.elementsEqual([0x2E, 0x2E]) { return nil }
        let valid = String(validating: bytes, as: UTF8.self)
        (name, isUTF8) = (valid ?? String(decoding: bytes, as: UTF8.self), valid != nil)
        let type = Int32(entry.pointee.d_type)
        isLink = type == Int32(DT_LNK)
        switch type {
        case Int32(DT_REG): self.type = .regular
        case Int32(DT_DIR): self.type = .folder
        case Int32(DT_LNK), Int32(DT_UNKNOWN): self.type = .unknown
        default: self.type = .other
        }
    }
}

extension [String] {
    /// Leaves out each that is the same as the one before it.
    fileprivate func withoutRepetitions() -> [String] {
        guard indices.dropFirst().contains(where: { self[$0].isSame(as: self[$0 - 1]) }) else {
            return self
        }
        return indices.filter { $0 == 0 || !self[$0].isSame(as: self[$0 - 1]) }.map { self[$0] }
    }

    fileprivate mutating func sortInByteOrder() { sort { $0.precedes($1) } }
}

extension String {
    /// Byte by byte: two spellings of one character are two names.
    fileprivate func isSame(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }

    fileprivate func precedes(_ other: String) -> Bool {
        let order = utf8.withContiguousStorageIfAvailable { own in
            other.utf8.withContiguousStorageIfAvailable { others in
                guard let first = own.baseAddress, let second = others.baseAddress else {
                    return own.count < others.count
                }
                let common = memcmp(first, second, min(own.count, others.count))
                return common == 0 ? own.count < others.count : common < 0
            }
        }
        return order.flatMap { $0 } ?? utf8.lexicographicallyPrecedes(other.utf8)
    }
}

extension Sequence<String> {
    /// Sorted by the bytes of UTF-8, the same whatever the locale.
    var inByteOrder: [String] { sorted { $0.precedes($1) } }
}
