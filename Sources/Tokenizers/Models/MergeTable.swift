// Merges by pairs of tokens, and a piece on its way from single symbols to tokens.

/// The symbols of a piece while they are merged, and after it: its tokens with the bytes that each takes.
struct MergeScratch {
    fileprivate(set) var tokens: [Int32] = []
    fileprivate(set) var lengths: [Int32] = []
    /// Whether a character would need the unknown token, which the vocabulary lacks.
    var needsUnknown = false
    fileprivate var ranks: [UInt64] = []
    fileprivate var heap: [UInt64] = []
    fileprivate var next: [Int32] = []
    fileprivate var previous: [Int32] = []

    mutating func removeAll() {
        tokens.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
    }

    @inline(__always)
    mutating func append(_ token: Int32, _ length: Int32) {
        tokens.append(token)
        lengths.append(length)
    }
}

/// The list of merges: for each pair of tokens its rank and what it becomes.
struct MergeTable: Sendable {
    private var keys: [UInt64]
    /// Rank above, result below.
    private var values: [UInt64]
    private var mask: Int

    /// Above all ranks.
    private static let none = UInt64.max
    /// From so many symbols on a heap finds the best pair.
    private static let shortPiece = 40

    /// Number of merges.
    var count: Int { keys.count { $0 != .max } }

    init(minimumCapacity: Int) {
        var size = 16
        while size < 2 * minimumCapacity { size *= 2 }
        keys = [UInt64](repeating: .max, count: size)
        values = [UInt64](repeating: MergeTable.none, count: size)
        mask = size - 1
    }

    mutating func set(_ left: Int32, _ right: Int32, rank: UInt32, result: Int32) {
        let key = UInt64(UInt32(left)) << 32 | UInt64(UInt32(right))
        var slot = Int(truncatingIfNeeded: ByteHash.mix(key)) & mask
        while keys[slot] != .max, keys[slot] != key { slot = (slot + 1) & mask }
        keys[slot] = key
        values[slot] = UInt64(rank) << 32 | UInt64(UInt32(result))
    }

    @inline(__always)
    fileprivate func value(_ left: Int32, _ right: Int32) -> UInt64 {
        let key = UInt64(UInt32(left)) << 32 | UInt64(UInt32(right))
        var slot = Int(truncatingIfNeeded: ByteHash.mix(key)) & mask
        while true {
            if keys[slot] == key { return values[slot] }
            if keys[slot] == .max { return MergeTable.none }
            slot = (slot + 1) & mask
        }
    }

    /// What the heap holds: the rank, and where the pair stands.
    private static func entry(_ value: UInt64, _ index: Int) -> UInt64 {
        value & ~0xFFFF_FFFF | UInt64(index)
    }

    func merge(_ scratch: inout MergeScratch) {
        if scratch.tokens.count <= MergeTable.shortPiece {
            mergeShort(&scratch)
        } else {
            mergeLong(&scratch)
        }
    }

    /// Goes through all pairs for each merge.
    private func mergeShort(_ scratch: inout MergeScratch) {
        let size = scratch.tokens.count
        guard size > 1 else { return }
        var tokens = InlineArray<40, Int32>(repeating: 0)
        var lengths = InlineArray<40, Int32>(repeating: 0)
        var ranks = InlineArray<40, UInt64>(repeating: MergeTable.none)
        for index in 0..<size {
            (tokens[index], lengths[index]) = (scratch.tokens[index], scratch.lengths[index])
        }
        for index in 0..<size - 1 { ranks[index] = value(tokens[index], tokens[index + 1]) }
        var count = size
        while count > 1 {
            var (best, place) = (MergeTable.none, 0)
            for index in 0..<count - 1 where ranks[index] < best {
                (best, place) = (ranks[index], index)
            }
            guard best != MergeTable.none else { break }
            tokens[place] = Int32(truncatingIfNeeded: best)
            lengths[place] += lengths[place + 1]
            count -= 1
            for index in place + 1..<max(count, place + 1) {
                tokens[index] = tokens[index + 1]
                lengths[index] = lengths[index + 1]
                ranks[index - 1] = ranks[index]
            }
            ranks[count - 1] = MergeTable.none
            if place > 0 { ranks[place - 1] = value(tokens[place - 1], tokens[place]) }
            if place + 1 < count { ranks[place] = value(tokens[place], tokens[place + 1]) }
        }
        scratch.removeAll()
        for index in 0..<count { scratch.append(tokens[index], lengths[index]) }
    }

    /// Keeps pairs in a heap, so that the time grows little faster than the piece.
    private func mergeLong(_ scratch: inout MergeScratch) {
        let count = scratch.tokens.count
        scratch.ranks.removeAll(keepingCapacity: true)
        scratch.next.removeAll(keepingCapacity: true)
        scratch.previous.removeAll(keepingCapacity: true)
        scratch.heap.removeAll(keepingCapacity: true)
        for index in 0..<count {
            scratch.next.append(Int32(index + 1))
            scratch.previous.append(Int32(index - 1))
            let value =
                index + 1 < count
                ? value(scratch.tokens[index], scratch.tokens[index + 1]) : MergeTable.none
            scratch.ranks.append(value)
            if value != MergeTable.none { scratch.heap.append(MergeTable.entry(value, index)) }
        }
        Heap.order(&scratch.heap)
        func renew(_ index: Int, _ scratch: inout MergeScratch) {
            let following = Int(scratch.next[index])
            let value =
                following < count
                ? value(scratch.tokens[index], scratch.tokens[following]) : MergeTable.none
            scratch.ranks[index] = value
            if value != MergeTable.none {
                Heap.insert(MergeTable.entry(value, index), into: &scratch.heap)
            }
        }
        while let top = Heap.removeLeast(from: &scratch.heap) {
            let index = Int(top & 0xFFFF_FFFF)
            let value = scratch.ranks[index]
            // The pair that stood here when it was put into the heap is another by now.
            guard value != MergeTable.none, value >> 32 == top >> 32 else { continue }
            let right = Int(scratch.next[index])
            scratch.tokens[index] = Int32(truncatingIfNeeded: value)
            scratch.lengths[index] += scratch.lengths[right]
            scratch.lengths[right] = 0
            scratch.ranks[right] = MergeTable.none
            scratch.next[index] = scratch.next[right]
            if scratch.next[right] < count {
                scratch.previous[Int(scratch.next[right])] = Int32(index)
            }
            if scratch.previous[index] >= 0 { renew(Int(scratch.previous[index]), &scratch) }
            renew(index, &scratch)
        }
        var kept = 0
        for index in 0..<count where scratch.lengths[index] > 0 {
            scratch.tokens[kept] = scratch.tokens[index]
            scratch.lengths[kept] = scratch.lengths[index]
            kept += 1
        }
        scratch.tokens.removeLast(count - kept)
        scratch.lengths.removeLast(count - kept)
    }
}

/// A binary heap, the least on top.
enum Heap {
    static func order<Element: Comparable>(_ heap: inout [Element]) {
        for index in (0..<heap.count / 2).reversed() { sink(index, in: &heap) }
    }

    static func insert<Element: Comparable>(_ value: Element, into heap: inout [Element]) {
        heap.append(value)
        var index = heap.count - 1
        while index > 0, heap[(index - 1) / 2] > heap[index] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    static func removeLeast<Element: Comparable>(from heap: inout [Element]) -> Element? {
        guard let least = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink(0, in: &heap)
        }
        return least
    }

    private static func sink<Element: Comparable>(_ start: Int, in heap: inout [Element]) {
        var index = start
        while true {
            var least = 2 * index + 1
            guard least < heap.count else { return }
            if least + 1 < heap.count, heap[least + 1] < heap[least] { least += 1 }
            guard heap[least] < heap[index] else { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
