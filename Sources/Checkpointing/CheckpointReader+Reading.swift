// From the parts in files into buffers.

import Files
import Layers
import Tensors

/// How parts are read of which only something is needed.
struct Blocks {
    /// Elements that are read at once at most.
    var elementCount = 1 << 20
    /// Unneeded elements that may lie between two needed ones.
    var gap = 1 << 10
}

extension CheckpointReader {
    /// Fills `buffer` with elements `range` of a tensor in logical order.
    package func read(
        _ entry: CheckpointManifest.Entry, elements range: Range<Int>, into buffer: Buffer
    ) throws(CheckpointError) {
        guard let number = number(ofTensor: entry.name) else {
            preconditionFailure("CheckpointReader: \(entry.name) is of another checkpoint")
        }
        try read(entry, try parts()[number], elements: range, into: buffer)
    }

    func read(
        _ entry: CheckpointManifest.Entry, _ parts: [StoredPart], elements range: Range<Int>,
        into buffer: Buffer
    ) throws(CheckpointError) {
        try read(
            entry, parts, into: [buffer], ranges: [range],
            order: ShardSpec(replicated: entry.spec.shape), Blocks())
    }

    /// Fills buffers with ranges of a tensor as `order` lays it out in memory.
    func read(
        _ entry: CheckpointManifest.Entry, _ parts: [StoredPart], into buffers: [Buffer],
        ranges: [Range<Int>], order: ShardSpec, _ blocks: Blocks
    ) throws(CheckpointError) {
        let all = transfers(
            from: PieceLocation.numbered(parts.map(\.elements)), in: manifest.order(of: entry),
            to: PieceLocation.numbered(ranges), in: order)
        guard let all else {
            throw CheckpointError(
                .unusable,
                "\(path.printablePath): tensor \(entry.name.printable): expected parts that cover "
                    + "what is read, found none of some elements")
        }
        var rest = all[...]
        while let source = rest.first?.source {
            let transfers = rest.prefix { $0.source == source }
            rest = rest.dropFirst(transfers.count)
            let (part, needed) = (parts[source], transfers.reduce(0) { $0 + $1.count })
            if 2 * needed >= part.elements.count {
                try readWhole(part, transfers, into: buffers, blocks)
            } else {
                try readSome(part, transfers, into: buffers, blocks)
            }
        }
    }

    /// Reads a part and compares it with its digest: into place, where it lies there as in the file, otherwise by way
    /// of blocks.
    private func readWhole(
        _ part: StoredPart, _ transfers: ArraySlice<Transfer>, into buffers: [Buffer],
        _ blocks: Blocks
    ) throws(CheckpointError) {
        let file = try open(part.file)
        var digest = PartDigest(PartDigest.Algorithm(of: part.digest))
        if let only = transfers.first, only.count == part.elements.count {
            let place = buffers[only.target][only.targets]
            try file.read(into: place, at: part.offset)
            digest.update(place)
            return try compare(digest.labelled(), with: part)
        }
        let memory = Buffer(count: min(blocks.elementCount, part.elements.count))
        var pending = transfers
        for start in stride(from: 0, to: part.elements.count, by: memory.count) {
            let end = min(part.elements.count, start + memory.count)
            let block = memory[0..<end - start]
            try file.read(into: block, at: part.offset + start * DType.float32.size)
            digest.update(block)
            for transfer in pending.prefix(while: { $0.sourceOffset < end }) {
                transfer.copy(from: block, of: start..<end, into: buffers)
            }
            pending = pending.drop { $0.sourceEnd <= end }
        }
        try compare(digest.labelled(), with: part)
    }

    /// Reads blocks of what is needed. No digest covers these alone: they were compared with all of the part when the
    /// checkpoint was verified.
    private func readSome(
        _ part: StoredPart, _ transfers: ArraySlice<Transfer>, into buffers: [Buffer],
        _ blocks: Blocks
    ) throws(CheckpointError) {
        let file = try open(part.file)
        var rest = transfers
        while let first = rest.first {
            var (next, end) = (rest.startIndex + 1, first.sourceEnd)
            while next < rest.endIndex, rest[next].sourceOffset - end <= blocks.gap,
                rest[next].sourceEnd - first.sourceOffset <= blocks.elementCount
            {
                end = rest[next].sourceEnd
                next += 1
            }
            let offset = part.offset + first.sourceOffset * DType.float32.size
            if next == rest.startIndex + 1 {
                try file.read(into: buffers[first.target][first.targets], at: offset)
            } else {
                let block = Buffer(count: end - first.sourceOffset)
                try file.read(into: block, at: offset)
                for transfer in rest[..<next] {
                    transfer.copy(from: block, of: first.sourceOffset..<end, into: buffers)
                }
            }
            rest = rest[next...]
        }
    }
}

extension Transfer {
    fileprivate var targets: Range<Int> { targetOffset..<targetOffset + count }

    /// Copies what lies in `block`, which has elements `range` of the source.
    fileprivate func copy(from block: Buffer, of range: Range<Int>, into buffers: [Buffer]) {
        let needed = (sourceOffset..<sourceEnd).clamped(to: range)
        guard !needed.isEmpty else { return }
        let start = targetOffset + needed.lowerBound - sourceOffset
        buffers[target][start..<start + needed.count].copyBytes(
            from: block[needed.lowerBound - range.lowerBound..<needed.upperBound - range.lowerBound]
        )
    }
}
