import Communication
import Layers
import Tensors

/// Saves the whole training state of a run, from all of its ranks, as one checkpoint.
public struct CheckpointWriter: Sendable {
    private let folder: CheckpointFolder
    private let keep: Int
    private let blockElementCount: Int
    private let operations: FileOperations

    /// - Parameters:
    ///   - directory: the run's; it exists.
    ///   - keep: how many checkpoints of the run stay, at least 1.
    public init(runDirectory directory: String, keep: Int) {
        self.init(
            runDirectory: directory, keep: keep, blockElementCount: 1 << 22,
            operations: FileOperations())
    }

    package init(
        runDirectory directory: String, keep: Int, blockElementCount: Int,
        operations: FileOperations
    ) {
        precondition(keep >= 1, "CheckpointWriter: expected to keep at least 1, got \(keep)")
        folder = CheckpointFolder(run: directory)
        (self.keep, self.blockElementCount) = (keep, blockElementCount)
        self.operations = operations
    }

    /// Writes `<run directory>/checkpoints/step-%010d`, durably, then removes the oldest ones.
    ///
    /// Collective over `communicator`; returns or throws the same on every rank. Rank 0 writes, in blocks
    /// of 16 MiB, what the others send. Until it returns no earlier checkpoint is touched.
    /// - Parameters:
    ///   - state: the same tensors on every rank; over all ranks their pieces cover each of them once.
    ///   - progress: the same on every rank.
    /// - Returns: the path, and, on rank 0, what of old checkpoints could not be removed, and why.
    @discardableResult
    public func save(
        _ state: [StateTensor], progress: TrainingProgress, communicator: any Communicator
    ) throws(CheckpointError) -> (path: String, warnings: [String]) {
        precondition(
            (0..<10_000_000_000).contains(progress.step),
            "CheckpointWriter: expected a step of at most ten digits, got \(progress.step)")
        let layout = CheckpointLayout(state)
        let locations = try agreeOnPieces(of: layout, step: progress.step, communicator)
        let sink =
            communicator.rank == 0
            ? CheckpointSink(progress: progress, folder: folder, operations: operations)
            : nil
        var index = 0
        for file in layout.files {
            sink?.begin(file)
            for tensor in file.tensors {
                try gather(tensor, locations[index], communicator) { sink?.append($0) }
                index += 1
            }
            sink?.end(file)
        }
        _ = try communicator.agree((sink?.commit() ?? .success(())).map { [] })
        var warnings: [String] = []
        if communicator.rank == 0 {
            warnings = folder.prune(
                keep: keep, upTo: progress.step, run: progress.identity.run, operations)
        }
        return (folder.path(ofStep: progress.step), warnings)
    }

    /// Tells every rank which pieces of each tensor of the layout the others hold. Collective.
    private func agreeOnPieces(
        of layout: CheckpointLayout, step: Int, _ communicator: any Communicator
    ) throws(CheckpointError) -> [[PieceLocation]] {
        let tensors = layout.files.flatMap(\.tensors)
        let words = tensors.flatMap { tensor in
            [tensor.pieces.count]
                + tensor.pieces.flatMap { [$0.range.lowerBound, $0.range.upperBound] }
        }
        let state = "\(step) " + tensors.map { "\($0.name) \($0.spec)" }.joined(separator: "\n")
        let fingerprint = Array(ContentDigest.labelled(Array(state.utf8)).utf8)
        let table = words.flatMap { word in
            (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) }
        }
        let tables = try communicator.exchange(fingerprint + table)
        var locations = [[PieceLocation]](repeating: [], count: tensors.count)
        for (rank, bytes) in tables.enumerated() {
            guard
                Array(bytes.prefix(fingerprint.count)) == Array(tables[0].prefix(fingerprint.count))
            else {
                throw CheckpointError(
                    .mismatch,
                    "checkpoint: expected the same step, names and shapes on every rank, "
                        + "found others on rank \(rank) than on rank 0")
            }
            var rest = bytes.dropFirst(fingerprint.count)
            func nextWord() -> Int {
                defer { rest = rest.dropFirst(8) }
                return rest.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
            }
            for index in tensors.indices {
                for piece in 0..<nextWord() {
                    let lower = nextWord()
                    let range = lower..<nextWord()
                    locations[index].append(
                        PieceLocation(owner: rank, piece: piece, range: range))
                }
            }
        }
        return locations
    }

    /// Brings a tensor to rank 0 block by block, in logical order; `take` is called there with each.
    /// Collective.
    private func gather(
        _ tensor: StateTensor, _ locations: [PieceLocation], _ communicator: any Communicator,
        _ take: (Buffer) -> Void
    ) throws(CheckpointError) {
        let fragments = fragments(of: locations, spec: tensor.spec)
        let end = fragments.reduce(0 as Int?) {
            $1.logicalOffset == $0 ? $1.logicalOffset + $1.count : nil
        }
        precondition(
            end == tensor.spec.shape.count,
            "CheckpointWriter: the pieces of \(tensor.name) over all ranks do not cover it once")
        for window in windows(fragments, span: blockElementCount) {
            if communicator.rank == 0 {
                take(try receive(window, of: tensor, communicator))
            } else {
                let mine = window.fragments.filter { $0.owner == communicator.rank }
                guard !mine.isEmpty else { continue }
                let message = Buffer(count: mine.reduce(0) { $0 + $1.count })
                var position = 0
                for fragment in mine {
                    copy(fragment, of: tensor, to: message, at: position)
                    position += fragment.count
                }
                try communicator.finish(communicator.send(message, to: 0, tag: 0))
            }
        }
    }

    private func receive(
        _ window: FragmentWindow, of tensor: StateTensor, _ communicator: any Communicator
    ) throws(CheckpointError) -> Buffer {
        let block = Buffer(count: window.range.count)
        var messages = [Buffer?](repeating: nil, count: communicator.size)
        var pending: [PendingOperation] = []
        for owner in 1..<communicator.size {
            let count = window.fragments.reduce(0) { $0 + ($1.owner == owner ? $1.count : 0) }
            guard count > 0 else { continue }
            let message = Buffer(count: count)
            messages[owner] = message
            pending.append(communicator.receive(message, from: owner, tag: 0))
        }
        for operation in pending { try communicator.finish(operation) }
        var positions = [Int](repeating: 0, count: communicator.size)
        for fragment in window.fragments {
            let target = fragment.logicalOffset - window.range.lowerBound
            if let message = messages[fragment.owner] {
                let start = positions[fragment.owner]
                positions[fragment.owner] += fragment.count
                block[target..<target + fragment.count].copy(
                    from: message[start..<start + fragment.count])
            } else {
                copy(fragment, of: tensor, to: block, at: target)
            }
        }
        return block
    }

    private func copy(
        _ fragment: Fragment, of tensor: StateTensor, to block: Buffer, at position: Int
    ) {
        let source = tensor.pieces[fragment.piece].buffer
        block[position..<position + fragment.count].copy(
            from: source[fragment.offset..<fragment.offset + fragment.count])
    }
}

extension Buffer {
    /// Takes the Float32 elements of another buffer of the same size.
    func copy(from source: Buffer) {
        precondition(count == source.count, "Buffer: \(source.count) elements into \(count)")
        floats.update(from: source.floats, count: count)
    }
}
