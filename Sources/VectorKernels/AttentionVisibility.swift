// Which keys a query of one sequence sees, as ranges where the mask gives ranges, and lane by lane.

/// The mask of one sequence.
struct AttentionVisibility {
    private let keys: Range<Int>
    private let limitsFuture: Bool
    private let queryOffset: Int
    private let window: Int?
    private let querySegments: UnsafePointer<Int32>?
    private let keySegments: UnsafePointer<Int32>?

    init(_ mask: AttentionMask, _ geometry: AttentionGeometry, sequence: Int) {
        let all = 0..<geometry.keyLength
        keys = mask.keyRanges?[sequence].clamped(to: all) ?? all
        limitsFuture = mask.causal || mask.window != nil
        queryOffset = mask.queryOffset(sequence: sequence)
        window = mask.window
        querySegments = mask.querySegments.map { $0 + sequence * geometry.queryLength }
        keySegments = mask.keySegments.map { $0 + sequence * geometry.keyLength }
    }

    /// The keys that `query` may see, segments aside.
    @inline(__always)
    func range(query: Int) -> Range<Int> {
        let position = query + queryOffset
        let end = limitsFuture ? min(keys.upperBound, position + 1) : keys.upperBound
        let start = window.map { max(keys.lowerBound, position - $0 + 1) } ?? keys.lowerBound
        return start < end ? start..<end : 0..<0
    }

    /// The registers of 16 keys that hold what any of `queries` may see.
    ///
    /// Both ends of a query's range grow with its position, so the first and the last query tell; of
    /// segments, registers at either end are left out where none can be shared.
    func registers(queries: Range<Int>) -> Range<Int> {
        guard let last = queries.last else { return 0..<0 }
        let start = window.map {
            max(keys.lowerBound, queries.lowerBound + queryOffset - $0 + 1)
        }
        let end = limitsFuture ? min(keys.upperBound, last + queryOffset + 1) : keys.upperBound
        let first = start ?? keys.lowerBound
        if first >= end { return 0..<0 }
        var registers = first / 16..<(end + 15) / 16
        guard let querySegments, let keySegments else { return registers }
        let own = extremes(querySegments, queries)
        func meets(_ register: Int) -> Bool {
            let found = extremes(
                keySegments, (register * 16..<register * 16 + 16).clamped(to: keys))
            return own.least <= found.greatest && found.least <= own.greatest
        }
        while !registers.isEmpty && !meets(registers.lowerBound) { registers.removeFirst() }
        while !registers.isEmpty && !meets(registers.upperBound - 1) { registers.removeLast() }
        return registers
    }

    private func extremes(
        _ ids: UnsafePointer<Int32>, _ range: Range<Int>
    ) -> (least: Int32, greatest: Int32) {
        var least = Int32.max
        var greatest = Int32.min
        for index in range {
            least = min(least, ids[index])
            greatest = max(greatest, ids[index])
        }
        return (least, greatest)
    }

    /// `scores` of keys `key ..< key + 16` with −∞ where `query`, whose range is `range`, sees nothing.
    @inline(__always)
    func hide(_ scores: Vector, query: Int, range: Range<Int>, key: Int) -> Vector {
        var result = scores
        if key < range.lowerBound || key + 16 > range.upperBound {
            result = result.hidden(outside: range, key: key)
        }
        if let querySegments, let keySegments {
            let own = SIMD16<Int32>(repeating: querySegments[query])
            result.replace(with: -.infinity, where: segments(keySegments, key) .!= own)
        }
        return result
    }

    @inline(__always)
    private func segments(_ ids: UnsafePointer<Int32>, _ key: Int) -> SIMD16<Int32> {
        if key + 16 <= keys.upperBound {
            return UnsafeRawPointer(ids + key).loadUnaligned(as: SIMD16<Int32>.self)
        }
        var result = SIMD16<Int32>.zero
        for lane in 0..<max(0, keys.upperBound - key) { result[lane] = ids[key + lane] }
        return result
    }
}

extension Vector {
    /// −∞ in the lanes of those keys `key ..< key + 16` that are outside `range`.
    @inline(__always)
    func hidden(outside range: Range<Int>, key: Int) -> Vector {
        let index =
            SIMD16<Int32>(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
            &+ Int32(truncatingIfNeeded: key)
        let start = SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: range.lowerBound))
        let end = SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: range.upperBound))
        return replacing(with: -.infinity, where: (index .< start) .| (index .>= end))
    }
}
