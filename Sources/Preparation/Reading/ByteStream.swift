// The bytes of a file as they were before it was packed, in blocks: a file of any size takes the memory of a block, and
// of the window that its compression asks for.

import Datasets
import Files

/// Reads a plain, gzip, zstd or xz file from its beginning to its end.
///
/// Members that follow each other are one text, as gzip, zstd and xz have it, also with zeros behind them, with which
/// tapes are filled up.
package final class ByteStream {
    package let path: String
    /// What the file is packed by; nil where it is plain.
    package let packing: Packing?
    /// Bytes of the file that have been used.
    package private(set) var readBytes = 0
    /// Bytes that have been given.
    package private(set) var unpackedBytes = 0

    /// Of the file as it lies there, when it was opened.
    let byteCount: Int
    private let file: FileDescriptor
    private let limits: ReadingLimits
    private let unpacker: (any Unpacker)?
    /// A block of the file; `next..<end` of it is still to be used.
    private var input: [UInt8]
    private var (next, end) = (0, 0)
    /// Of the file, where the next block is.
    private var offset = 0
    private var isFileRead = false
    private var isBetweenMembers = false

    private static let blockByteCount = 256 << 10

    /// - Throws: where there is no regular file, or one of a kind that is refused.
    package init(path: String, limits: ReadingLimits = ReadingLimits()) throws(DatasetError) {
        (self.path, self.limits) = (path, limits)
        file = try FileDescriptor(reading: path)
        byteCount = try file.byteCount()
        // Of small files there are many.
        let size = max(4096, min(byteCount, ByteStream.blockByteCount))
        input = [UInt8](repeating: 0, count: size)
        end = try file.read(input.count, at: 0, into: &input)
        offset = end
        packing = Packing(head: input[..<end])
        unpacker = packing?.unpacker(memory: limits.unpackingMemory)
        try ByteStream.requireReadable(input[..<end], path: path)
    }

    /// Refuses what is known and no text.
    static func requireReadable(_ head: ArraySlice<UInt8>, path: String) throws(DatasetError) {
        if let found = ForeignFile.found(head.prefix(ForeignFile.headByteCount)) {
            throw DatasetError(
                .invalidText, "\(path.printablePath): expected text, found \(found)")
        }
    }

    /// Puts the next bytes into `output`, from `place` on.
    /// - Returns: how many; 0 only at the end.
    package func read(
        into output: inout [UInt8], at place: Int
    ) throws(DatasetError) -> Int {
        precondition(place < output.count, "ByteStream: expected room for bytes, got none")
        let room = place..<min(output.count, place + ByteStream.blockByteCount)
        guard let packing, let unpacker else { return try copy(into: &output, room) }
        while true {
            if next == end { try refill() }
            if isBetweenMembers, try !beginMember(packing) { return 0 }
            let step = unpacker.unpack(input, next..<end, into: &output, at: room)
            next += step.consumed
            readBytes += step.consumed
            unpackedBytes += step.produced
            switch step.outcome {
            case .more: break
            case .memberEnd: isBetweenMembers = true
            case .fault(let found): throw fault(packing, found)
            }
            if step.produced > 0 {
                try requireWithinLimits(packing)
                return step.produced
            }
            if step.consumed == 0, step.outcome == .more {
                guard next == end else {
                    throw fault(packing, "damaged data; fetch or pack it again")
                }
                guard !isFileRead else { throw cutOff(packing) }
            }
        }
    }

    private func copy(into output: inout [UInt8], _ room: Range<Int>) throws(DatasetError) -> Int {
        if next == end { try refill() }
        let count = min(room.count, end - next)
        output.withUnsafeMutableBytes { target in
            input.withUnsafeBytes { source in
                UnsafeMutableRawBufferPointer(rebasing: target[room]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[next..<next + count]))
            }
        }
        next += count
        readBytes += count
        unpackedBytes += count
        return count
    }

    private func refill() throws(DatasetError) {
        guard !isFileRead else { return }
        let count = try file.read(input.count, at: offset, into: &input)
        (next, end) = (0, count)
        offset += count
        isFileRead = count == 0
    }

    /// Goes to where the next member begins; false at the end of the file.
    private func beginMember(_ packing: Packing) throws(DatasetError) -> Bool {
        while true {
            while next < end, input[next] == 0 {
                next += 1
                readBytes += 1
            }
            if next < end { break }
            try refill()
            if isFileRead { return false }
        }
        if end - next < Packing.magicByteCount, !isFileRead {
            // The magic lies across two blocks.
            let head = Array(input[next..<end])
            var rest = [UInt8](repeating: 0, count: input.count - head.count)
            let count = try file.read(rest.count, at: offset, into: &rest)
            offset += count
            isFileRead = count == 0
            input = head + rest
            (next, end) = (0, head.count + count)
        }
        guard packing.begins(input[next..<end]) else {
            throw fault(packing, "other bytes behind it; cut them off")
        }
        isBetweenMembers = false
        return true
    }

    private func requireWithinLimits(_ packing: Packing) throws(DatasetError) {
        if unpackedBytes > limits.unpackedBytes {
            throw fault(
                packing,
                "more than \(limits.unpackedBytes) bytes coming out of it; unpack it first, or allow "
                    + "more")
        }
        guard unpackedBytes > limits.ratioFreeBytes else { return }
        guard unpackedBytes / max(1, readBytes) <= limits.ratio else {
            throw fault(
                packing,
                "\(unpackedBytes) bytes coming out of the first \(readBytes), more than "
                    + "\(limits.ratio) for each; it is no text, or unpack it first")
        }
    }

    private func fault(_ packing: Packing, _ found: String) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(path.printablePath): byte offset \(readBytes): expected \(packing.rawValue), found "
                + found)
    }

    private func cutOff(_ packing: Packing) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(path.printablePath): byte offset \(readBytes): expected more of a member of "
                + "\(packing.rawValue), found the end of the file; it was cut off: fetch or pack it again"
        )
    }
}
