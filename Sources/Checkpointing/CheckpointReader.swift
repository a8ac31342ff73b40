import Communication
import Layers
import Tensors

/// A checkpoint opened for reading. Its manifest, its texts and the headers and sizes of all of its files
/// are checked; the tensors' bytes are by `verify()`.
public final class CheckpointReader: Sendable {
    public let path: String
    public let manifest: CheckpointManifest
    public var progress: TrainingProgress { manifest.progress }

    private let manifestDigest: [UInt8]
    private let files: [String: SafetensorsReader]
    private let indices: [String: Int]

    /// Opens the folder of one checkpoint. Throws `unusable` with everything that is wrong.
    public convenience init(path: String) throws(CheckpointError) {
        try self.init(path: path, followingLinks: true)
    }

    init(path: String, followingLinks: Bool) throws(CheckpointError) {
        self.path = path
        let folder = try InputFolder(path, followingLinks: followingLinks)
        let manifestFile = try folder.open(CheckpointManifest.fileName)
        var manifest = try CheckpointManifest(reading: manifestFile)
        manifestDigest = Array(
            try manifestFile.digest(of: 0..<manifestFile.byteCount, .sha256).utf8)

        let opened = try CheckpointReader.open(manifest.files, in: folder)
        var files: [String: SafetensorsReader] = [:]
        for file in manifest.files where file.name.hasSuffix(".safetensors") {
            files[file.name] = try opened[file.name].map { (file) throws(CheckpointError) in
                try SafetensorsReader(file)
            }
        }
        manifest.progress.identity.configuration = try CheckpointReader.text(
            CheckpointManifest.configurationName, of: opened, path)
        manifest.progress.identity.tokenizer = try CheckpointReader.text(
            CheckpointManifest.tokenizerName, of: opened, path)
        (self.manifest, self.files) = (manifest, files)
        indices = Dictionary(
            uniqueKeysWithValues: manifest.tensors.enumerated().map { ($1.name, $0) })
        try checkParts()
    }

    /// The entry of a tensor; nil where the checkpoint has none of this name.
    public func entry(named name: String) -> CheckpointManifest.Entry? {
        indices[name].map { manifest.tensors[$0] }
    }

    // MARK: Verification

    /// Reads every byte of every tensor and compares it with its digest.
    public func verify() throws(CheckpointError) { try verify(share: 0, of: 1) }

    /// The same, past the page cache: of what nobody is going to load.
    func verifyDirectly() throws(CheckpointError) { try verify(share: 0, of: 1, directly: true) }

    /// Verifies the parts of one of `shareCount` shares, which have about the same number of bytes.
    func verify(
        share: Int, of shareCount: Int, directly: Bool = false
    ) throws(CheckpointError) {
        var loads = [Int](repeating: 0, count: shareCount)
        let parts = manifest.tensors.flatMap { entry in entry.parts.map { (entry, $0) } }
        let order = parts.indices.sorted {
            (parts[$0].1.elements.count, $1) > (parts[$1].1.elements.count, $0)
        }
        for index in order {
            let lightest = loads.indices.min { loads[$0] < loads[$1] } ?? 0
            loads[lightest] += parts[index].1.elements.count + 1
            guard lightest == share else { continue }
            try verify(parts[index].1, of: parts[index].0, directly)
        }
    }

    private func verify(
        _ part: CheckpointManifest.Part, of entry: CheckpointManifest.Entry, _ directly: Bool
    ) throws(CheckpointError) {
        let (file, stored) = stored(part)
        let digest = try file.digest(
            of: stored, PartDigest.Algorithm(of: part.digest), directly: directly)
        guard digest == part.digest else {
            throw CheckpointError(
                .unusable,
                "\(file.path.printablePath): tensor \(entry.name.printable): expected \(part.digest), "
                    + "found \(digest)")
        }
    }

    private func stored(
        _ part: CheckpointManifest.Part
    ) -> (file: SafetensorsReader, entry: SafetensorsEntry) {
        guard let file = files[part.file], let stored = file.entry(named: part.key) else {
            preconditionFailure("CheckpointReader: parts are checked when it is opened")
        }
        return (file, stored)
    }

    /// A digest of the whole state, 64 hexadecimal digits, that is the same however the state was cut;
    /// see docs/checkpoint-format.md. Verifies every tensor.
    public func digest() throws(CheckpointError) -> String {
        try verify()
        var digests: [(name: String, shape: Shape, digest: String)] = []
        for entry in manifest.tensors {
            digests.append((entry.name, entry.spec.shape, try logicalDigest(of: entry)))
        }
        return stateDigest(of: progress, tensors: digests)
    }

    private func logicalDigest(
        of entry: CheckpointManifest.Entry
    ) throws(CheckpointError) -> String {
        var digest = ContentDigest()
        let block = Buffer(count: min(entry.spec.shape.count, 1 << 20))
        var position = 0
        while position < entry.spec.shape.count {
            let count = min(block.count, entry.spec.shape.count - position)
            try read(entry, elements: position..<position + count, into: block[0..<count])
            digest.update(block[0..<count])
            position += count
        }
        return digest.hexadecimal()
    }

    // MARK: Loading

    /// A whole tensor in logical order, Float32.
    public func loadTensor(_ name: String) throws(CheckpointError) -> Tensor {
        guard let entry = entry(named: name) else {
            throw CheckpointError(
                .mismatch,
                "\(path.printablePath): expected tensor \(name.printable), found none of that name")
        }
        let tensor = Tensor(uninitialized: entry.spec.shape)
        try read(entry, elements: 0..<tensor.shape.count, into: tensor.buffer)
        return tensor
    }

    /// Fills the pieces that a rank holds, whatever the layout of the run that saved them.
    ///
    /// Throws `mismatch` before anything is changed where names or shapes are not those of `state`.
    public func restore(into state: [StateTensor]) throws(CheckpointError) {
        try restore(into: state, blockElementCount: 1 << 20, gap: 1 << 10)
    }

    /// Throws `mismatch` where the weights are not those of a model: before any memory is taken for them.
    public func requireModel(of weights: [(name: String, shape: Shape)]) throws(CheckpointError) {
        try checkTensors(weights, among: manifest.tensors.filter { !isOptimizers($0.name) })
    }

    /// Fills the weights of a model, as `restore(into:)` does, and leaves what the optimizer keeps.
    public func restoreModel(into state: [StateTensor]) throws(CheckpointError) {
        try requireModel(of: state.map { ($0.name, $0.spec.shape) })
        try fill(state, blockElementCount: 1 << 20, gap: 1 << 10)
    }

    /// Reads blocks of at most `blockElementCount` elements, in which at most `gap` unneeded ones lie
    /// between two that are needed.
    package func restore(
        into state: [StateTensor], blockElementCount: Int, gap: Int
    ) throws(CheckpointError) {
        try checkTensors(state.map { ($0.name, $0.spec.shape) }, among: manifest.tensors)
        try fill(state, blockElementCount: blockElementCount, gap: gap)
    }

    private func fill(
        _ state: [StateTensor], blockElementCount: Int, gap: Int
    ) throws(CheckpointError) {
        for tensor in state {
            guard let entry = entry(named: tensor.name) else { continue }
            try read(
                entry, into: tensor.pieces.map(\.buffer), ranges: tensor.pieces.map(\.range),
                order: tensor.spec, blockElementCount: blockElementCount, gap: gap)
        }
    }

    /// `restore(into:)` on every rank; throws the same on all. Collective over `communicator`.
    public func restore(
        into state: [StateTensor], communicator: any Communicator
    ) throws(CheckpointError) {
        _ = try communicator.agree(
            Result { () throws(CheckpointError) in
                try restore(into: state)
                return manifestDigest
            })
    }

    /// What ranks compare to know that they have opened the same checkpoint.
    var identity: [UInt8] { manifestDigest }

    /// Fills `buffer` with elements `range` of a tensor in logical order.
    package func read(
        _ entry: CheckpointManifest.Entry, elements range: Range<Int>, into buffer: Buffer
    ) throws(CheckpointError) {
        try read(
            entry, into: [buffer], ranges: [range], order: ShardSpec(replicated: entry.spec.shape),
            blockElementCount: 1 << 20, gap: 1 << 10)
    }

    /// Fills buffers with ranges of a tensor as `order` lays it out in memory. What is contiguous in a file
    /// and in a buffer is read where it belongs; the rest by way of blocks.
    private func read(
        _ entry: CheckpointManifest.Entry, into buffers: [Buffer], ranges: [Range<Int>],
        order: ShardSpec, blockElementCount: Int, gap: Int
    ) throws(CheckpointError) {
        let transfers = transfers(
            from: PieceLocation.numbered(entry.parts.map(\.elements)),
            in: manifest.order(of: entry), to: PieceLocation.numbered(ranges), in: order)
        var index = 0
        while index < transfers.count {
            let first = transfers[index]
            var (next, end) = (index + 1, first.sourceEnd)
            while next < transfers.count, transfers[next].source == first.source,
                transfers[next].sourceOffset - end <= gap,
                transfers[next].sourceEnd - first.sourceOffset <= blockElementCount
            {
                end = transfers[next].sourceEnd
                next += 1
            }
            let (file, stored) = stored(entry.parts[first.source])
            if next == index + 1 {
                try file.read(
                    stored, elements: first.sourceOffset..<end,
                    into: buffers[first.target][
                        first.targetOffset..<first.targetOffset + first.count])
            } else {
                let block = Buffer(count: end - first.sourceOffset)
                try file.read(stored, elements: first.sourceOffset..<end, into: block)
                for transfer in transfers[index..<next] {
                    let start = transfer.sourceOffset - first.sourceOffset
                    buffers[transfer.target][
                        transfer.targetOffset..<transfer.targetOffset + transfer.count
                    ].copyBytes(from: block[start..<start + transfer.count])
                }
            }
            index = next
        }
    }
}

extension CheckpointReader {
    /// Opens the files of a manifest, and compares their sizes and what their digests cover. Names all
    /// that are missing or of another size at once.
    static func open(
        _ files: [CheckpointManifest.File], in folder: InputFolder
    ) throws(CheckpointError) -> [String: InputFile] {
        var opened: [String: InputFile] = [:]
        var problems: [String] = []
        var kind = CheckpointError.Kind.unusable
        for file in files {
            do throws(CheckpointError) {
                let input = try folder.open(file.name)
                guard input.byteCount == file.byteCount else {
                    throw CheckpointError(
                        .unusable,
                        "\(input.path.printablePath): expected \(file.byteCount) bytes, "
                            + "found \(input.byteCount)")
                }
                let digest = try input.digest(
                    of: 0..<file.digestedByteCount, PartDigest.Algorithm(of: file.digest))
                guard digest == file.digest else {
                    throw CheckpointError(
                        .unusable,
                        "\(input.path.printablePath): expected \(file.digest), found \(digest)")
                }
                opened[file.name] = input
            } catch {
                guard error.isOfOneCheckpoint else { throw error }
                if case .unreadable = error.kind { kind = error.kind }
                problems.append(error.message)
            }
        }
        guard problems.isEmpty else {
            let more = problems.count > 10 ? "; and \(problems.count - 10) more" : ""
            throw CheckpointError(kind, problems.prefix(10).joined(separator: "; ") + more)
        }
        return opened
    }

    private static func text(
        _ name: String, of files: [String: InputFile], _ path: String
    ) throws(CheckpointError) -> String {
        guard let file = files[name] else {
            throw CheckpointError(
                .unusable,
                "\(path.printablePath): expected a file \(name), found none in the manifest")
        }
        guard file.byteCount <= CheckpointManifest.longest else {
            throw CheckpointError(
                .unusable,
                "\(file.path.printablePath): expected at most \(CheckpointManifest.longest) "
                    + "bytes, found \(file.byteCount)")
        }
        let bytes = try file.bytes(at: 0, count: file.byteCount)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError(.unusable, "\(file.path.printablePath): expected UTF-8")
        }
        return text
    }

    /// Compares every part of the manifest with the headers of the safetensors files.
    private func checkParts() throws(CheckpointError) {
        var keys: [String: Set<String>] = [:]
        for entry in manifest.tensors {
            for part in entry.parts {
                let stored = files[part.file]?.entry(named: part.key)
                guard let stored, stored.type == .float32,
                    stored.shape.count == part.elements.count
                else {
                    let found = stored.map { "\($0.type.rawValue) \($0.shape)" } ?? "none"
                    throw CheckpointError(
                        .unusable,
                        "\(path.printablePath)/\(part.file.printable): tensor \(entry.name.printable): "
                            + "expected \(part.elements.count) elements of F32, found \(found)")
                }
                keys[part.file, default: []].insert(part.key)
            }
        }
        for (name, file) in files.sorted(by: { $0.key < $1.key })
        where keys[name, default: []].count != file.entries.count {
            throw CheckpointError(
                .unusable,
                "\(file.path.printablePath): expected \(keys[name, default: []].count) tensors, "
                    + "found \(file.entries.count)")
        }
    }

    /// Names and shapes of a state against those of the checkpoint.
    private func checkTensors(
        _ state: [(name: String, shape: Shape)], among entries: [CheckpointManifest.Entry]
    ) throws(CheckpointError) {
        var problems: [String] = []
        for tensor in state {
            let found = entry(named: tensor.name)?.spec.shape
            if found != tensor.shape {
                problems.append(
                    "tensor \(tensor.name): expected \(tensor.shape), "
                        + "found \(found.map(\.description) ?? "no tensor of that name")")
            }
        }
        let wanted = Set(state.map(\.name))
        for entry in entries where !wanted.contains(entry.name) {
            problems.append(
                "tensor \(entry.name.printable): expected none of that name, found \(entry.spec.shape)"
            )
        }
        guard let first = problems.first else { return }
        let more = problems.count > 1 ? " (and \(problems.count - 1) more)" : ""
        throw CheckpointError(
            .mismatch, "\(path.printablePath): \(first)\(more); it is a checkpoint of another model"
        )
    }
}
