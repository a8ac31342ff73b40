// What a model made of the pieces that came by: text repeats its words, so most of them are looked up instead of merged. A
// table of fixed size holds short pieces of few tokens, in which a new one pushes out an old one; others lie in a second
// table, which begins anew when it is full. So memory is bounded, and no text makes it slow.

/// A token of a piece and the bytes that it takes; 0 where it stands for the same bytes as the next.
struct PieceToken {
    var identifier: Int32
    var byteCount: Int32
}

/// Tokens by pieces; one encoder's own.
final class PieceCache {
    /// A short piece: its bytes and, in the last byte, how many there are; its tokens; their number and byte counts.
    private struct Slot {
        var low: UInt64 = 0
        var high: UInt64 = 0
        var tokens = SIMD3<Int32>()
        /// The number of tokens in the lowest byte, the byte counts of all but the last above it.
        var counts: UInt32 = 0
    }

    /// Pairs of slots.
    private static let buckets = 1 << 15
    private static let longestShort = 15
    private static let mostShortTokens = 3

    private let slots: UnsafeMutablePointer<Slot>
    private var long = LongPieces()

    init() {
        slots = .allocate(capacity: 2 * PieceCache.buckets)
        slots.initialize(repeating: Slot(), count: 2 * PieceCache.buckets)
    }

    deinit { slots.deallocate() }

    /// Appends the tokens of `piece`, made by `encode` where they are not known.
    @inline(__always)
    func append(
        _ piece: Span<UInt8>, to tokens: inout TokenBuffer,
        _ encode: (Span<UInt8>) -> [PieceToken]
    ) {
        guard piece.count <= PieceCache.longestShort else {
            return appendLong(piece, to: &tokens, encode)
        }
        let (low, high) = PieceCache.key(piece)
        let bucket =
            slots + 2
            * (Int(truncatingIfNeeded: ByteHash.mix(low ^ ByteHash.mix(high)))
                & (PieceCache.buckets - 1))
        if bucket[0].low == low, bucket[0].high == high {
            return tokens.append(bucket[0].tokens, bucket[0].counts, piece.count)
        }
        if bucket[1].low == low, bucket[1].high == high {
            return tokens.append(bucket[1].tokens, bucket[1].counts, piece.count)
        }
        appendNew(piece, low, high, bucket, to: &tokens, encode)
    }

    /// The bytes of a short piece as numbers, and their count.
    @inline(__always)
    private static func key(_ piece: Span<UInt8>) -> (low: UInt64, high: UInt64) {
        let count = piece.count
        let raw = piece.bytes
        if count >= 8 {
            let low = unsafe raw.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt64.self)
            // The last eight bytes overlap the first; what is common is shifted out.
            let last = unsafe raw.unsafeLoadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
            let rest = count - 8
            let high = rest == 0 ? 0 : last >> UInt64(64 - 8 * rest)
            return (low, high | UInt64(count) << 56)
        }
        var low: UInt64 = 0
        if count >= 4 {
            let first = unsafe raw.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self)
            let last = unsafe raw.unsafeLoadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
            low = UInt64(first) | UInt64(last) << UInt64(8 * (count - 4))
        } else {
            for index in 0..<count { low |= UInt64(piece[unchecked: index]) << UInt64(8 * index) }
        }
        return (low, UInt64(count) << 56)
    }

    @inline(never)
    private func appendNew(
        _ piece: Span<UInt8>, _ low: UInt64, _ high: UInt64,
        _ bucket: UnsafeMutablePointer<Slot>, to tokens: inout TokenBuffer,
        _ encode: (Span<UInt8>) -> [PieceToken]
    ) {
        let made = encode(piece)
        // A token of no bytes, or of bytes that others have too, has no place in a slot.
        let isPlain = made.reduce(0) { $0 + Int($1.byteCount) } == piece.count
        guard !made.isEmpty, made.count <= PieceCache.mostShortTokens, isPlain else {
            return appendLong(piece, to: &tokens) { _ in made }
        }
        var slot = Slot(low: low, high: high)
        slot.counts = UInt32(made.count)
        for (index, token) in made.enumerated() {
            slot.tokens[index] = token.identifier
            if index + 1 < made.count {
                slot.counts |= UInt32(token.byteCount) << UInt32(8 + 8 * index)
            }
        }
        bucket[1] = bucket[0]
        bucket[0] = slot
        tokens.append(slot.tokens, slot.counts, piece.count)
    }

    @inline(never)
    private func appendLong(
        _ piece: Span<UInt8>, to tokens: inout TokenBuffer,
        _ encode: (Span<UInt8>) -> [PieceToken]
    ) {
        guard piece.count <= LongPieces.longest else { return tokens.append(encode(piece)) }
        let hash = ByteHash.of(piece)
        if let range = long.find(piece, hash) {
            for index in range { tokens.append(long.tokens[index]) }
            return
        }
        let made = encode(piece)
        long.insert(piece, hash, made)
        tokens.append(made)
    }
}

/// Pieces of any length up to a bound, with any number of tokens.
private struct LongPieces {
    /// Bytes of a piece, as in `tokenizers`.
    static let longest = 256

    private static let slotCount = 1 << 15
    private static let mostEntries = slotCount / 2
    private static let mostBytes = 1 << 20

    private struct Entry {
        var hash: UInt64
        var bytes: Range<Int32>
        var tokens: Range<Int32>
    }

    private var slots = [Int32](repeating: -1, count: LongPieces.slotCount)
    private var entries: [Entry] = []
    private var bytes: [UInt8] = []
    private(set) var tokens: [PieceToken] = []

    /// The place of a piece's tokens.
    func find(_ piece: Span<UInt8>, _ hash: UInt64) -> Range<Int>? {
        var slot = Int(truncatingIfNeeded: hash) & (LongPieces.slotCount - 1)
        while slots[slot] >= 0 {
            let entry = entries[Int(slots[slot])]
            if entry.hash == hash, isEqual(entry, piece) {
                return Int(entry.tokens.lowerBound)..<Int(entry.tokens.upperBound)
            }
            slot = (slot + 1) & (LongPieces.slotCount - 1)
        }
        return nil
    }

    private func isEqual(_ entry: Entry, _ piece: Span<UInt8>) -> Bool {
        guard entry.bytes.count == piece.count else { return false }
        let start = Int(entry.bytes.lowerBound)
        for index in piece.indices where bytes[start + index] != piece[unchecked: index] {
            return false
        }
        return true
    }

    mutating func insert(_ piece: Span<UInt8>, _ hash: UInt64, _ made: [PieceToken]) {
        if entries.count >= LongPieces.mostEntries || bytes.count > LongPieces.mostBytes {
            for index in slots.indices { slots[index] = -1 }
            entries.removeAll(keepingCapacity: true)
            bytes.removeAll(keepingCapacity: true)
            tokens.removeAll(keepingCapacity: true)
        }
        var slot = Int(truncatingIfNeeded: hash) & (LongPieces.slotCount - 1)
        while slots[slot] >= 0 { slot = (slot + 1) & (LongPieces.slotCount - 1) }
        slots[slot] = Int32(entries.count)
        let (byteStart, tokenStart) = (Int32(bytes.count), Int32(tokens.count))
        piece.withUnsafeBufferPointer { bytes.append(contentsOf: $0) }
        tokens += made
        entries.append(
            Entry(
                hash: hash, bytes: byteStart..<Int32(bytes.count),
                tokens: tokenStart..<Int32(tokens.count)))
    }
}

/// Tokens of a document as they come, with byte counts where they are asked for.
struct TokenBuffer {
    private(set) var identifiers: [Int32] = []
    private(set) var byteCounts: [Int32] = []
    let isAligned: Bool

    init(isAligned: Bool) { self.isAligned = isAligned }

    /// Goes on behind `identifiers`, whose memory it takes.
    mutating func take(_ identifiers: inout [Int32]) {
        self.identifiers = []
        swap(&self.identifiers, &identifiers)
    }

    /// Gives the memory back, with all numbers.
    mutating func give(_ identifiers: inout [Int32]) { swap(&self.identifiers, &identifiers) }

    mutating func removeAll() {
        identifiers.removeAll(keepingCapacity: true)
        byteCounts.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func append(_ token: PieceToken) {
        identifiers.append(token.identifier)
        if isAligned { byteCounts.append(token.byteCount) }
    }

    @inline(__always)
    mutating func append(_ tokens: [PieceToken]) { for token in tokens { append(token) } }

    /// The tokens of a slot of the cache.
    @inline(__always)
    fileprivate mutating func append(_ tokens: SIMD3<Int32>, _ counts: UInt32, _ byteCount: Int) {
        let count = Int(counts & 0xFF)
        identifiers.append(tokens[0])
        if count > 1 { identifiers.append(tokens[1]) }
        if count > 2 { identifiers.append(tokens[2]) }
        guard isAligned else { return }
        var rest = Int32(byteCount)
        for index in 0..<count - 1 {
            let part = Int32(counts >> UInt32(8 + 8 * index) & 0xFF)
            byteCounts.append(part)
            rest -= part
        }
        byteCounts.append(rest)
    }
}
