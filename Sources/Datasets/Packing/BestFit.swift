// Best-fit decreasing: the packing of "Fewer truncations improve language modeling" (Ding et al. 2024, section 3.1 and
// algorithm 1). Items are taken by size, the largest first; each goes into the bin with the least room that it fits
// in, or opens a bin. Sizes and rooms are whole numbers up to the capacity, so both the sorting and the search go by
// counting: one list of bins for each room, and a bit that says whether it holds any.

/// Which items lie in which bin: a pure function of sizes and capacity.
package struct BestFit: Sendable {
    /// Numbers of items, bin by bin, each bin's in the order in which they were put there.
    private let items: [Int32]
    /// Where in `items` each bin begins, and the end.
    private let starts: [Int32]

    package var binCount: Int { starts.count - 1 }

    /// - Parameter sizes: of each item, 0 ... `capacity`; an item of size 0 is in no bin.
    package init(sizes: [Int], capacity: Int) {
        var bins = [Int32](repeating: -1, count: sizes.count)
        let order = BestFit.decreasing(sizes, capacity: capacity)
        let count = BestFit.place(order, sizes, capacity: capacity) { bins[$0] = Int32($1) }
        var starts = [Int32](repeating: 0, count: count + 1)
        for item in order { starts[Int(bins[Int(item)]) + 1] += 1 }
        for bin in 0..<count { starts[bin + 1] += starts[bin] }
        var (next, items) = (starts, [Int32](repeating: 0, count: order.count))
        for item in order {
            let bin = Int(bins[Int(item)])
            items[Int(next[bin])] = item
            next[bin] += 1
        }
        (self.items, self.starts) = (items, starts)
    }

    /// The items in a bin.
    package subscript(bin: Int) -> [Int] {
        items[Int(starts[bin])..<Int(starts[bin + 1])].map { Int($0) }
    }

    /// How many bins there will be.
    package static func binCount(sizes: [Int], capacity: Int) -> Int {
        place(decreasing(sizes, capacity: capacity), sizes, capacity: capacity) { _, _ in }
    }

    /// The items that have a size, the largest first, equal ones by number.
    private static func decreasing(_ sizes: [Int], capacity: Int) -> [Int32] {
        precondition(sizes.count <= Int32.max, "BestFit: \(sizes.count) items")
        /// Of size s, and later where the next of them goes, at capacity − s.
        var places = [Int](repeating: 0, count: capacity + 1)
        for size in sizes {
            precondition(
                size >= 0 && size <= capacity,
                "BestFit: expected sizes of 0 to \(capacity), got \(size)")
            if size > 0 { places[capacity - size] += 1 }
        }
        var count = 0
        for index in places.indices { (places[index], count) = (count, count + places[index]) }
        var order = [Int32](repeating: 0, count: count)
        for (item, size) in sizes.enumerated() where size > 0 {
            order[places[capacity - size]] = Int32(item)
            places[capacity - size] += 1
        }
        return order
    }

    /// Calls `put` with each item and its bin; of bins with equal room the first one takes it.
    ///
    /// - Returns: the number of bins.
    private static func place(
        _ order: [Int32], _ sizes: [Int], capacity: Int, _ put: (Int, Int) -> Void
    ) -> Int {
        var (rooms, count) = (Rooms(capacity: capacity), 0)
        for number in order {
            let item = Int(number)
            let size = sizes[item]
            if let (bin, room) = rooms.removeBest(for: size) {
                put(item, bin)
                rooms.insert(bin, room: room - size)
            } else {
                put(item, count)
                rooms.insert(count, room: capacity - size)
                count += 1
            }
        }
        return count
    }
}

/// Bins by the room that is left in them.
private struct Rooms {
    /// The bins that have so much room, the first one last.
    private var bins: [[Int32]]
    /// A bit for each room: whether a bin has it.
    private var words: [UInt64]

    init(capacity: Int) {
        bins = Array(repeating: [], count: capacity + 1)
        words = Array(repeating: 0, count: capacity / 64 + 1)
    }

    /// A full bin is forgotten.
    mutating func insert(_ bin: Int, room: Int) {
        guard room > 0 else { return }
        let bin = Int32(bin)
        var (low, high) = (0, bins[room].count)
        while low < high {
            let middle = (low + high) / 2
            if bins[room][middle] > bin { low = middle + 1 } else { high = middle }
        }
        bins[room].insert(bin, at: low)
        words[room / 64] |= 1 << UInt64(room % 64)
    }

    /// The first of the bins with the least room of at least `size`; nil where there is none.
    mutating func removeBest(for size: Int) -> (bin: Int, room: Int)? {
        var word = size / 64
        var bits = words[word] & (~0 << UInt64(size % 64))
        while bits == 0 {
            word += 1
            guard word < words.count else { return nil }
            bits = words[word]
        }
        let room = word * 64 + bits.trailingZeroBitCount
        let bin = bins[room].removeLast()
        if bins[room].isEmpty { words[word] &= ~(1 << UInt64(room % 64)) }
        return (Int(bin), room)
    }
}
