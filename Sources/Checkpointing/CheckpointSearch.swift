import Communication
import Files

#if canImport(Glibc)
    import Glibc
#endif

/// The newest usable checkpoint of a run.
public struct FoundCheckpoint: Sendable {
    public let reader: CheckpointReader
    /// Why newer ones were passed over, one line each.
    public let warnings: [String]
}

extension CheckpointReader {
    /// Finds, opens and verifies the newest usable checkpoint.
    ///
    /// `path` is a checkpoint or the directory of a run; nil is returned where that has no checkpoint yet.
    /// Throws `unusable` where it has some and none can be used. Collective over `communicator`, if there
    /// is one: each rank verifies a share of the tensors, all take the same checkpoint.
    public static func newest(
        in path: String, communicator: (any Communicator)? = nil
    ) throws(CheckpointError) -> FoundCheckpoint? {
        let listing = try agree(communicator) { () throws(CheckpointError) in
            Array(try candidates(in: path).joined(separator: "\n").utf8)
        }
        let names = String(decoding: listing[0], as: UTF8.self).split(separator: "\n")
        var warnings: [String] = []
        for name in names {
            let folder = name == "." ? path : "\(path)/checkpoints/\(name)"
            do throws(CheckpointError) {
                let reader = try openTogether(folder, isOwn: name == ".", communicator)
                return FoundCheckpoint(reader: reader, warnings: warnings)
            } catch {
                guard error.isOfOneCheckpoint else { throw error }
                warnings.append(error.message)
            }
        }
        guard !names.isEmpty else { return nil }
        throw CheckpointError(
            .unusable,
            "\(path.printablePath): expected a usable checkpoint, found none among \(names.count): "
                + warnings.joined(separator: "; "))
    }

    /// The checkpoint that `path` is, or those of the run that it is the directory of, newest first,
    /// where they can be opened; none stays open. Not collective.
    public static func list(
        in path: String
    ) throws(CheckpointError) -> [(path: String, reader: Result<CheckpointReader, CheckpointError>)]
    {
        try candidates(in: path).map { name in
            let isOwn = name == "."
            let folder = isOwn ? path : "\(path)/checkpoints/\(name)"
            return (
                folder,
                Result { () throws(CheckpointError) in
                    let reader = try CheckpointReader(candidate: folder, isOwn: isOwn)
                    try reader.check()
                    reader.release()
                    return reader
                }
            )
        }
    }

    /// Folders that may be checkpoints, newest first; `.` is `path` itself.
    private static func candidates(in path: String) throws(CheckpointError) -> [String] {
        if let found = FileKind.unfit(path, for: S_IFDIR) {
            throw .unfit(path, found, as: "a checkpoint or the directory of a run")
        }
        let name = path.split(separator: "/").last ?? ""
        if CheckpointFolder.step(ofName: name) != nil
            || exists("\(path)/\(CheckpointManifest.fileName)")
        {
            return ["."]
        }
        return try CheckpointFolder(run: path).steps().map { CheckpointFolder.name(ofStep: $0) }
    }

    /// - Parameter isOwn: `path` is a person's own choice, whatever its name; not a folder found in a run.
    private convenience init(candidate path: String, isOwn: Bool) throws(CheckpointError) {
        try self.init(path: path, followingLinks: isOwn)
        let name = CheckpointFolder.name(ofStep: progress.step)
        guard isOwn || path.hasSuffix("/\(name)") else {
            throw CheckpointError(
                .unusable,
                "\(path.printablePath): expected the checkpoint of that step, found that of step "
                    + "\(progress.step); its folder was \(name)")
        }
    }

    private static func openTogether(
        _ path: String, isOwn: Bool, _ communicator: (any Communicator)?
    ) throws(CheckpointError) -> CheckpointReader {
        var opened: CheckpointReader?
        let messages = try agree(communicator) { () throws(CheckpointError) in
            let reader = try CheckpointReader(candidate: path, isOwn: isOwn)
            let covered = try reader.verify(
                share: communicator?.rank ?? 0, of: communicator?.size ?? 1)
            opened = reader
            return covered.encoded + reader.identity
        }
        guard let opened else { preconditionFailure("CheckpointReader: agreed on, but not opened") }
        if let other = messages.firstIndex(where: { $0.dropFirst(8) != messages[0].dropFirst(8) }) {
            throw CheckpointError(
                .unusable,
                "\(path.printablePath): expected the same manifest on every rank, "
                    + "found another on rank \(other) than on rank 0")
        }
        let sum = messages.reduce(CoverageSum()) { $0 + CoverageSum(encoded: $1.prefix(8)) }
        guard sum == opened.wholeCoverage else {
            throw CheckpointError(
                .unusable,
                "\(path.printablePath): expected parts that cover every tensor once, found others; "
                    + "murmur checkpoint verify names one")
        }
        return opened
    }

    private static func agree(
        _ communicator: (any Communicator)?,
        _ body: () throws(CheckpointError) -> [UInt8]
    ) throws(CheckpointError) -> [[UInt8]] {
        guard let communicator else { return [try body()] }
        return try communicator.agree(Result(catching: body), joining: true)
    }
}
