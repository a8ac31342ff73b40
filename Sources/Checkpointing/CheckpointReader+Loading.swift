// Filling tensors from a checkpoint, however the run that saved it had cut them.

import Communication
import Files
import Layers
import Tensors

extension CheckpointReader {
    /// A digest of the whole state, 64 hexadecimal digits, that is the same however the state was cut;
    /// see docs/checkpoint-format.md. Verifies every tensor.
    public func digest() throws(CheckpointError) -> String {
        let table = try parts()
        defer { close() }
        var digests: [(name: String, shape: Shape, digest: String)] = []
        for (entry, parts) in zip(manifest.tensors, table) {
            digests.append((entry.name, entry.spec.shape, try logicalDigest(of: entry, parts)))
        }
        return stateDigest(of: progress, tensors: digests)
    }

    /// Reads the parts once, where the tensor may be held; otherwise for their own digests, and in logical order.
    private func logicalDigest(
        of entry: CheckpointManifest.Entry, _ parts: [StoredPart]
    ) throws(CheckpointError) -> String {
        var digest = ContentDigest()
        let count = entry.spec.shape.count
        guard count > 1 << 26 else {
            let tensor = Buffer(count: count)
            try read(entry, parts, elements: 0..<count, into: tensor)
            digest.update(tensor)
            return digest.hexadecimal()
        }
        for part in parts {
            try compare(
                open(part.file).digest(of: part.bytes, PartDigest.Algorithm(of: part.digest)),
                with: part)
        }
        let block = Buffer(count: 1 << 20)
        for position in stride(from: 0, to: count, by: block.count) {
            let elements = position..<min(count, position + block.count)
            try read(entry, parts, elements: elements, into: block[0..<elements.count])
            digest.update(block[0..<elements.count])
        }
        return digest.hexadecimal()
    }

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

    /// Fills the pieces that a rank holds, whatever the layout of the run that saved them. Where at least half of a
    /// part is needed, all of it is read, and compared with its digest.
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
        try fill(state, from: try parts(), Blocks())
    }

    /// Reads blocks of at most `blockElementCount` elements, in which at most `gap` unneeded ones lie
    /// between two that are needed.
    package func restore(
        into state: [StateTensor], blockElementCount: Int, gap: Int
    ) throws(CheckpointError) {
        try checkTensors(state.map { ($0.name, $0.spec.shape) }, among: manifest.tensors)
        try fill(state, from: try parts(), Blocks(elementCount: blockElementCount, gap: gap))
        release()
    }

    /// `restore(into:)` on every rank; throws the same on all. A rank opens the files that have something of what it
    /// holds, and those of its share of the headers. Collective over `communicator`.
    public func restore(
        into state: [StateTensor], communicator: any Communicator
    ) throws(CheckpointError) {
        guard communicator.size > 1 else { return try restore(into: state) }
        var share: [StoredPart] = []
        _ = try communicator.agree(
            Result { () throws(CheckpointError) in
                try checkTensors(state.map { ($0.name, $0.spec.shape) }, among: manifest.tensors)
                share = try parts(share: communicator.rank, of: communicator.size)
                return []
            })
        let files = try filesHolding(state, share, communicator)
        _ = try communicator.agree(
            Result { () throws(CheckpointError) in
                var parts: [StoredPart] = []
                for number in files { parts += try self.parts(ofFile: number) }
                try fill(state, from: table(of: parts), Blocks())
                return []
            })
        release()
    }

    /// The files that hold something of `state`, by their numbers: the ranks tell each other, in rounds, what the
    /// headers say that each has read, and each notes what it needs. Collective.
    private func filesHolding(
        _ state: [StateTensor], _ share: [StoredPart], _ communicator: any Communicator
    ) throws(CheckpointError) -> [Int] {
        let needs = Dictionary(
            uniqueKeysWithValues: state.compactMap { tensor in
                number(ofTensor: tensor.name).map { ($0, tensor) }
            })
        var files = Set<Int>()
        var position = 0
        while true {
            let end = min(share.count, position + CheckpointReader.partsOfARound)
            let tables = try communicator.exchange(share[position..<end].flatMap(\.encodedPlace))
            position = end
            if tables.allSatisfy(\.isEmpty) { return files.sorted() }
            for place in tables.joined().places {
                if let tensor = needs[place.tensor], holds(tensor, place) {
                    files.insert(place.file)
                }
            }
        }
    }

    /// Parts that a rank tells of at once: of 1,024 ranks these are 12 MiB.
    private static let partsOfARound = 512

    /// Whether a rank needs something of a part of this tensor: perhaps, where it is cut otherwise.
    private func holds(_ tensor: StateTensor, _ place: PartPlace) -> Bool {
        let isSame = manifest.order(of: manifest.tensors[place.tensor]) == tensor.spec
        return tensor.pieces.contains {
            isSame ? $0.range.overlaps(place.elements) : !$0.range.isEmpty
        }
    }

    private func fill(
        _ state: [StateTensor], from table: [[StoredPart]], _ blocks: Blocks
    ) throws(CheckpointError) {
        defer { close() }
        for tensor in state {
            guard let number = number(ofTensor: tensor.name) else { continue }
            try read(
                manifest.tensors[number], table[number], into: tensor.pieces.map(\.buffer),
                ranges: tensor.pieces.map(\.range), order: tensor.spec, blocks)
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

/// What ranks tell each other of a part.
private struct PartPlace {
    let file: Int
    let tensor: Int
    let elements: Range<Int>

    static let byteCount = 24
}

extension StoredPart {
    /// Three words: file and tensor, first element, the one behind the last.
    fileprivate var encodedPlace: [UInt8] {
        [file << 32 | tensor, elements.lowerBound, elements.upperBound].flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
    }
}

extension Sequence<UInt8> {
    /// What ranks of this program have encoded.
    fileprivate var places: [PartPlace] {
        var places: [PartPlace] = []
        var words: [Int] = []
        var (word, shift) = (0, 0)
        for byte in self {
            word |= Int(byte) << shift
            shift += 8
            guard shift == 64 else { continue }
            words.append(word)
            (word, shift) = (0, 0)
            guard words.count == 3 else { continue }
            places.append(
                PartPlace(
                    file: words[0] >> 32, tensor: words[0] & 0xffff_ffff,
                    elements: words[1]..<words[2]))
            words.removeAll(keepingCapacity: true)
        }
        return places
    }
}
