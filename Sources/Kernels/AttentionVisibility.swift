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
        queryOffset = mask.queryOffset
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

    /// The smallest range that holds what any of `queries` may see.
    func range(queries: Range<Int>) -> Range<Int> {
        var start = Int.max
        var end = 0
        for query in queries {
            let range = range(query: query)
            if range.isEmpty { continue }
            start = min(start, range.lowerBound)
            end = max(end, range.upperBound)
        }
        return start < end ? start..<end : 0..<0
    }

    /// False where no query of the first range can share a segment with a key of the second.
    func segmentsMeet(queries: Range<Int>, keys: Range<Int>) -> Bool {
        guard let querySegments, let keySegments else { return true }
        let (least, greatest) = extremes(querySegments, queries)
        let (leastKey, greatestKey) = extremes(keySegments, keys)
        return least <= greatestKey && leastKey <= greatest
    }

    private func extremes(_ ids: UnsafePointer<Int32>, _ range: Range<Int>) -> (Int32, Int32) {
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
            let index = Self.lanes &+ Int32(truncatingIfNeeded: key)
            let start = SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: range.lowerBound))
            let end = SIMD16<Int32>(repeating: Int32(truncatingIfNeeded: range.upperBound))
            result.replace(with: -.infinity, where: (index .< start) .| (index .>= end))
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

    private static var lanes: SIMD16<Int32> {
        SIMD16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    }
}
