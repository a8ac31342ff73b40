import Communication
import Files
import Layers
import Synchronization
import Tensors

/// A checkpoint opened for reading: its manifest and its texts. Which elements its other files have is read when it
/// is needed, and every file is opened when it is read: few are open at a time.
public final class CheckpointReader: Sendable {
    public let path: String
    public let manifest: CheckpointManifest
    public var progress: TrainingProgress { manifest.progress }

    /// What ranks compare to know that they have opened the same checkpoint.
    let identity: [UInt8]
    /// What a manifest before version 3 says of each file.
    let listed: [Int: [(tensor: Int, part: CheckpointManifest.Part)]]
    private let followsLinks: Bool
    private let indices: [String: Int]
    private let state = Mutex(State())

    private struct State {
        /// Of each tensor its parts in ascending order, once all headers are read.
        var table: [[StoredPart]]?
        /// Those of the share that was verified.
        var share: [StoredPart]?
        /// The folder, until it is released.
        var folder: InputFolder?
        /// Those that were opened last, the newest at the end.
        var open: [(number: Int, file: InputFile)] = []
        var openings = 0
    }

    /// Files that are open at once.
    private static let mostOpenFiles = 4

    /// Opens the folder of one checkpoint, and checks the sizes and headers of all of its files; the tensors' bytes are
    /// by `verify()`. Throws `unusable` with everything that is wrong.
    public convenience init(path: String) throws(CheckpointError) {
        try self.init(path: path, followingLinks: true)
        try check()
    }

    /// Opens the manifest and the texts.
    init(path: String, followingLinks: Bool) throws(CheckpointError) {
        self.path = path
        followsLinks = followingLinks
        let folder = try InputFolder(path, followingLinks: followingLinks)
        state.withLock { $0.folder = folder }
        let file = try folder.open(CheckpointManifest.fileName)
        var manifest = try CheckpointManifest(reading: file)
        identity = Array(try file.digest(of: 0..<file.byteCount, .sha256).utf8)
        try manifest.readTexts(in: folder)
        listed = try manifest.listedParts(path)
        indices = Dictionary(
            uniqueKeysWithValues: manifest.tensors.enumerated().map { ($1.name, $0) })
        self.manifest = manifest
    }

    /// The entry of a tensor; nil where the checkpoint has none of this name.
    public func entry(named name: String) -> CheckpointManifest.Entry? {
        indices[name].map { manifest.tensors[$0] }
    }

    /// How many parts the checkpoint has of a tensor.
    public func partCount(of name: String) throws(CheckpointError) -> Int {
        try indices[name].map { (tensor) throws(CheckpointError) in try parts()[tensor].count } ?? 0
    }

    func number(ofTensor name: String) -> Int? { indices[name] }

    // MARK: Files

    /// How often a file of tensors or a text was opened so far.
    package var openings: Int { state.withLock { $0.openings } }

    /// Opens a file of the manifest, where it is not open, and compares its size.
    func open(_ number: Int) throws(CheckpointError) -> InputFile {
        if let open = state.withLock({ $0.open.first { $0.number == number } }) { return open.file }
        let file = try openFolder().open(manifest.files[number])
        state.withLock {
            if $0.open.count == CheckpointReader.mostOpenFiles { $0.open.removeFirst() }
            $0.open.append((number, file))
            $0.openings += 1
        }
        return file
    }

    private func openFolder() throws(CheckpointError) -> InputFolder {
        if let folder = state.withLock({ $0.folder }) { return folder }
        let folder = try InputFolder(path, followingLinks: followsLinks)
        state.withLock { $0.folder = folder }
        return folder
    }

    /// Closes the files that are open; the folder stays what it was, whatever its name becomes.
    func close() { state.withLock { $0.open = [] } }

    /// Closes the folder too, and forgets what was found out: what is asked for next is opened by its name.
    func release() { state.withLock { $0 = State(openings: $0.openings) } }

    /// The parts that a file has, once its size, what its digest covers and its header are right.
    func parts(ofFile number: Int) throws(CheckpointError) -> [StoredPart] {
        let file = try open(number)
        try manifest.files[number].compare(file)
        return try parts(of: file, number: number)
    }

    /// Of each tensor its parts. Opens every file once.
    func parts() throws(CheckpointError) -> [[StoredPart]] {
        if let table = state.withLock({ $0.table }) { return table }
        defer { close() }
        return try keep(parts(ofShare: FileShare(0, of: 1, manifest)))
    }

    /// Keeps the parts of all files, which must cover every tensor once.
    private func keep(_ parts: [StoredPart]) throws(CheckpointError) -> [[StoredPart]] {
        let table = table(of: parts)
        for (entry, parts) in zip(manifest.tensors, table) {
            let end = parts.reduce(0 as Int?) {
                $1.elements.lowerBound == $0 ? $1.elements.upperBound : nil
            }
            guard end == entry.spec.shape.count else {
                throw CheckpointError(
                    .unusable,
                    "\(path.printablePath): tensor \(entry.name.printable): expected parts that cover "
                        + "\(entry.spec.shape.count) elements once, found others")
            }
        }
        state.withLock { $0.table = table }
        return table
    }

    /// Parts by tensor, in ascending order.
    func table(of parts: [StoredPart]) -> [[StoredPart]] {
        var table = [[StoredPart]](repeating: [], count: manifest.tensors.count)
        for part in parts { table[part.tensor].append(part) }
        for tensor in table.indices {
            table[tensor].sort {
                ($0.elements.lowerBound, $0.elements.upperBound)
                    < ($1.elements.lowerBound, $1.elements.upperBound)
            }
        }
        return table
    }

    // MARK: Verification

    /// Checks sizes, headers and what files have, and keeps none of it.
    func check() throws(CheckpointError) { try check { (_) throws(CheckpointError) in } }

    /// Reads every byte of every file and compares it with its digest.
    public func verify() throws(CheckpointError) {
        try check { (part) throws(CheckpointError) in try verify(part, false) }
    }

    /// The same, past the page cache: of what nobody is going to load.
    func verifyDirectly() throws(CheckpointError) {
        try check { (part) throws(CheckpointError) in try verify(part, true) }
    }

    private func check(
        _ body: (StoredPart) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        defer { close() }
        var sum = CoverageSum()
        try forEachPart(of: FileShare(0, of: 1, manifest)) { (part) throws(CheckpointError) in
            try body(part)
            sum.add(tensor: part.tensor, part.elements)
        }
        // Which tensor it is, all parts together tell.
        if sum != wholeCoverage { _ = try parts() }
    }

    /// Verifies one of `count` shares, which have about the same number of bytes. The sums of all shares must come to
    /// `wholeCoverage`.
    func verify(share: Int, of count: Int) throws(CheckpointError) -> CoverageSum {
        defer { close() }
        let own = FileShare(share, of: count, manifest)
        var parts: [StoredPart] = []
        try forEachPart(of: own) { (part) throws(CheckpointError) in
            try verify(part, false)
            parts.append(part)
        }
        if count == 1 { _ = try keep(parts) }
        state.withLock { $0.share = parts }
        return CoverageSum(parts.lazy.map { ($0.tensor, $0.elements) })
    }

    var wholeCoverage: CoverageSum {
        CoverageSum(whole: manifest.tensors.map(\.spec.shape.count))
    }

    /// The parts of the share that this rank has verified, or reads now.
    func parts(share: Int, of count: Int) throws(CheckpointError) -> [StoredPart] {
        if let parts = state.withLock({ $0.share }) { return parts }
        return try parts(ofShare: FileShare(share, of: count, manifest))
    }

    private func parts(ofShare share: FileShare) throws(CheckpointError) -> [StoredPart] {
        var parts: [StoredPart] = []
        try forEachPart(of: share) { (part) throws(CheckpointError) in parts.append(part) }
        return parts
    }

    /// Goes through the parts of the files of a share that begin in it. Names up to ten files with which something is
    /// wrong.
    private func forEachPart(
        of share: FileShare, _ body: (StoredPart) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        var problems: [CheckpointError] = []
        for (number, bytes) in share.files {
            do throws(CheckpointError) {
                for part in try parts(ofFile: number) where bytes.contains(part.offset) {
                    try body(part)
                }
            } catch {
                guard error.isOfOneCheckpoint else { throw error }
                problems.append(error)
            }
        }
        if let problem = CheckpointError(joining: problems) { throw problem }
    }

    func verify(_ part: StoredPart, _ directly: Bool) throws(CheckpointError) {
        let file = try open(part.file)
        try compare(
            file.digest(of: part.bytes, PartDigest.Algorithm(of: part.digest), directly: directly),
            with: part)
    }

    func compare(_ digest: String, with part: StoredPart) throws(CheckpointError) {
        guard digest == part.digest else {
            let name = "\(path)/\(manifest.files[part.file].name)".printablePath
            throw CheckpointError(
                .unusable,
                "\(name): tensor \(manifest.tensors[part.tensor].name.printable): "
                    + "expected \(part.digest), found \(digest)")
        }
    }
}
