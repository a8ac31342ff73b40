import Files

#if canImport(Glibc)
    import Glibc
#endif

/// The folder of a run's checkpoints, `<run directory>/checkpoints`, and the names in it.
struct CheckpointFolder: Sendable {
    let path: String

    init(run directory: String) { path = "\(directory)/checkpoints" }

    /// `step-` and ten digits.
    static func name(ofStep step: Int) -> String {
        let digits = String(step)
        return "step-" + String(repeating: "0", count: max(0, 10 - digits.count)) + digits
    }

    /// The step of a name that matches `^step-[0-9]{10}$` exactly.
    static func step(ofName name: some StringProtocol) -> Int? {
        let digits = name.utf8.dropFirst(5)
        guard name.hasPrefix("step-"), digits.count == 10,
            digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return Int(name.dropFirst(5))
    }

    /// What a save that ended before its time has left: half-written or half-removed folders.
    static func isLeftover(_ name: String) -> Bool {
        name.hasPrefix(".tmp-") || name.hasPrefix(".trash-")
    }

    func path(ofStep step: Int) -> String { "\(path)/\(CheckpointFolder.name(ofStep: step))" }

    /// The names in the folder, sorted; none where there is no folder. Throws `unusable` where something else
    /// has its name: a run whose disk is away must not begin anew.
    func names() throws(CheckpointError) -> [String] {
        var status = stat()
        if stat(path, &status) != 0 {
            if !exists(path) { return [] }
            guard [ENOENT, ENOTDIR, ELOOP].contains(errno) else {
                throw .system("stat", path.printablePath)
            }
        }
        if let found = FileKind.unfit(path, for: S_IFDIR) {
            throw .unfit(path, found, as: "a folder")
        }
        return try folderNames(path)
    }

    /// Steps that have a checkpoint, newest first.
    func steps() throws(CheckpointError) -> [Int] {
        try names().compactMap { CheckpointFolder.step(ofName: $0) }.sorted(by: >)
    }
}

/// The names in a folder, sorted, without `.` and `..`; none where there is no folder.
func folderNames(_ path: String) throws(CheckpointError) -> [String] {
    guard let folder = opendir(path) else {
        if errno == ENOENT || errno == ENOTDIR { return [] }
        throw .system("opendir", path.printablePath)
    }
    defer { closedir(folder) }
    var names: [String] = []
    errno = 0
    while let entry = readdir(folder) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { names.append(name) }
        errno = 0
    }
    guard errno == 0 else { throw .system("readdir", path.printablePath) }
    return names.sorted()
}

/// Whether anything has this path, a dangling link included.
func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
}

/// Whether the path is a folder itself, not a link to one.
func isFolder(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}
