// Hash tables from byte strings to numbers: no `Dictionary`, whose keys would be an array each, and no `String`, which
// compares by canonical equivalence.

/// The hash of some bytes.
enum ByteHash {
    private static let factor: UInt64 = 0x9E37_79B9_7F4A_7C15

    @inline(__always)
    static func mix(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: factor)
        return product.high ^ product.low
    }

    @inline(__always)
    static func of(_ bytes: Span<UInt8>) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: bytes.count)
        var index = 0
        while index + 8 <= bytes.count {
            let word = unsafe bytes.bytes.unsafeLoadUnaligned(
                fromByteOffset: index, as: UInt64.self)
            hash = mix(hash ^ word)
            index += 8
        }
        guard index < bytes.count else { return mix(hash) }
        var word: UInt64 = 0
        while index < bytes.count {
            word = word << 8 | UInt64(bytes[unchecked: index])
            index += 1
        }
        return mix(hash ^ word)
    }
}

/// Byte strings with a number each.
struct ByteTable: Sendable {
    private var slots: [Int32]
    private var mask: Int
    /// Where each key ends in `bytes`; it begins where the one before ends.
    private var ends: [Int] = []
    private var values: [Int32] = []
    private var bytes: [UInt8] = []

    init(minimumCapacity: Int = 0) {
        var size = 16
        while size < 2 * minimumCapacity { size *= 2 }
        slots = [Int32](repeating: -1, count: size)
        mask = size - 1
    }

    var count: Int { ends.count }

    private func key(_ index: Int) -> Range<Int> {
        (index == 0 ? 0 : ends[index - 1])..<ends[index]
    }

    @inline(__always)
    private func slot(_ key: Span<UInt8>) -> Int {
        var slot = Int(truncatingIfNeeded: ByteHash.of(key)) & mask
        while slots[slot] >= 0, !isEqual(Int(slots[slot]), key) { slot = (slot + 1) & mask }
        return slot
    }

    @inline(__always)
    private func isEqual(_ index: Int, _ other: Span<UInt8>) -> Bool {
        let range = key(index)
        guard range.count == other.count else { return false }
        for offset in other.indices
        where bytes[range.lowerBound + offset] != other[unchecked: offset] {
            return false
        }
        return true
    }

    /// The number of `key`.
    @inline(__always)
    subscript(key: Span<UInt8>) -> Int32? {
        let index = slots[slot(key)]
        return index < 0 ? nil : values[Int(index)]
    }

    subscript(key: [UInt8]) -> Int32? { self[key.span] }

    /// Gives `key` a number, which replaces the one that it has.
    mutating func set(_ key: [UInt8], to value: Int32) {
        var slot = slot(key.span)
        if slots[slot] >= 0 {
            values[Int(slots[slot])] = value
            return
        }
        if 2 * (ends.count + 1) > slots.count {
            grow()
            slot = self.slot(key.span)
        }
        slots[slot] = Int32(ends.count)
        bytes += key
        ends.append(bytes.count)
        values.append(value)
    }

    private mutating func grow() {
        slots = [Int32](repeating: -1, count: 2 * slots.count)
        mask = slots.count - 1
        for index in ends.indices {
            let range = key(index)
            slots[slot(bytes.span.extracting(range))] = Int32(index)
        }
    }
}

/// A vocabulary: texts by number and numbers by text.
struct TokenVocabulary: Sendable {
    private(set) var table: ByteTable
    private var texts: [UInt8] = []
    /// Where the text of each number lies; negative where the number has none.
    private var starts: [Int32] = []
    private var lengths: [Int32] = []

    /// Largest number of a file: no more than any vocabulary has, and memory that a hostile file may take.
    static let largestIdentifier = (1 << 24) - 1

    init(minimumCapacity: Int) { table = ByteTable(minimumCapacity: minimumCapacity) }

    /// One more than the largest number.
    var endIdentifier: Int { starts.count }

    mutating func insert(_ text: [UInt8], _ identifier: Int32) {
        table.set(text, to: identifier)
        let index = Int(identifier)
        while starts.count <= index {
            starts.append(-1)
            lengths.append(0)
        }
        starts[index] = Int32(texts.count)
        lengths[index] = Int32(text.count)
        texts += text
    }

    /// The text of `identifier`.
    func text(_ identifier: Int32) -> ArraySlice<UInt8>? {
        guard starts.indices.contains(Int(identifier)), starts[Int(identifier)] >= 0 else {
            return nil
        }
        let start = Int(starts[Int(identifier)])
        return texts[start..<start + Int(lengths[Int(identifier)])]
    }

    subscript(text: [UInt8]) -> Int32? { table[text] }

    /// Tokens in the order of their numbers.
    var entries: [(text: [UInt8], identifier: Int32)] {
        (0..<Int32(endIdentifier)).compactMap { id in text(id).map { (Array($0), id) } }
    }
}

/// A trie of byte strings; the edges lie in one hash table.
struct ByteTrie: Sendable {
    private var edges: [UInt64]
    private var children: [Int32]
    private var mask: Int
    private var edgeCount = 0
    /// Of each node; negative where no string ends.
    private var values: [Int32] = [-1]

    static let root: Int32 = 0

    init(minimumCapacity: Int = 0) {
        var size = 64
        while size < 4 * minimumCapacity { size *= 2 }
        edges = [UInt64](repeating: .max, count: size)
        children = [Int32](repeating: 0, count: size)
        mask = size - 1
    }

    @inline(__always)
    private func slot(_ edge: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: ByteHash.mix(edge)) & mask
        while edges[slot] != edge, edges[slot] != .max { slot = (slot + 1) & mask }
        return slot
    }

    /// The node behind `byte`; nil where no string goes on so.
    @inline(__always)
    func child(of node: Int32, _ byte: UInt8) -> Int32? {
        let slot = slot(UInt64(node) << 8 | UInt64(byte))
        return edges[slot] == .max ? nil : children[slot]
    }

    /// The number of the string that ends at `node`.
    @inline(__always)
    func value(_ node: Int32) -> Int32? {
        let value = values[Int(node)]
        return value < 0 ? nil : value
    }

    mutating func insert(_ key: some Sequence<UInt8>, _ value: Int32) {
        var node = ByteTrie.root
        for byte in key { node = addChild(of: node, byte) }
        values[Int(node)] = value
    }

    /// The node behind all of `key`, which is made where it is missing.
    private mutating func addChild(of node: Int32, _ byte: UInt8) -> Int32 {
        let edge = UInt64(node) << 8 | UInt64(byte)
        var slot = slot(edge)
        if edges[slot] == edge { return children[slot] }
        if 2 * (edgeCount + 1) > edges.count {
            grow()
            slot = self.slot(edge)
        }
        edgeCount += 1
        edges[slot] = edge
        children[slot] = Int32(values.count)
        values.append(-1)
        return children[slot]
    }

    private mutating func grow() {
        let (oldEdges, oldChildren) = (edges, children)
        edges = [UInt64](repeating: .max, count: 2 * oldEdges.count)
        children = [Int32](repeating: 0, count: 2 * oldEdges.count)
        mask = edges.count - 1
        for (index, edge) in oldEdges.enumerated() where edge != .max {
            let slot = slot(edge)
            (edges[slot], children[slot]) = (edge, oldChildren[index])
        }
    }

    /// The longest string that `text` has from `start` on: its number and its end.
    @inline(__always)
    func longest(
        from start: Int, in text: Span<UInt8>, at node: Int32 = ByteTrie.root
    ) -> (value: Int32, end: Int)? {
        var (node, index) = (node, start)
        var best: (value: Int32, end: Int)?
        while index < text.count, let next = child(of: node, text[index]) {
            (node, index) = (next, index + 1)
            if let value = value(node) { best = (value, index) }
        }
        return best
    }

    /// The node behind `key`.
    func node(_ key: some Sequence<UInt8>) -> Int32? {
        var node = ByteTrie.root
        for byte in key {
            guard let next = child(of: node, byte) else { return nil }
            node = next
        }
        return node
    }
}
