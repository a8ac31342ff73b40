// How attention cuts its work: blocks of 64 queries, tiles of 64 keys; inside a block, groups of 4
// queries and registers of 16 keys, of which only those are touched that some query of the group sees.

/// Queries of a block.
let blockHeight = 64
/// Queries of a group.
let groupHeight = 4
/// Keys of a tile.
let tileWidth = 64

/// A block of queries and what it sees.
struct QueryBlock {
    let queries: Range<Int>
    /// The tiles with a visible pair.
    let tiles: [Int]
    /// The keys that each group sees, widened to whole registers.
    private let groupKeys: [Range<Int>]

    init(_ queries: Range<Int>, _ visibility: AttentionVisibility) {
        self.queries = queries
        groupKeys = stride(from: queries.lowerBound, to: queries.upperBound, by: groupHeight).map {
            let group = $0..<min($0 + groupHeight, queries.upperBound)
            let keys = visibility.range(queries: group)
            return keys.lowerBound & ~15..<Vector.roundedUp(keys.upperBound)
        }
        let keys = visibility.range(queries: queries)
        tiles = (keys.lowerBound / tileWidth..<(keys.upperBound + tileWidth - 1) / tileWidth)
            .filter {
                let tile = $0 * tileWidth..<($0 + 1) * tileWidth
                return visibility.segmentsMeet(queries: queries, keys: tile.clamped(to: keys))
            }
    }

    var groups: Range<Int> { groupKeys.indices }

    /// The queries of a group, counted from the block's first.
    func rows(group: Int) -> Range<Int> {
        group * groupHeight..<min((group + 1) * groupHeight, queries.count)
    }

    /// The registers of `tile` that `group` sees, of 0 ..< 4.
    @inline(__always)
    func registers(group: Int, tile: Int) -> Range<Int> {
        let first = tile * tileWidth
        let keys = groupKeys[group].clamped(to: first..<first + tileWidth)
        return keys.isEmpty
            ? 0..<0 : (keys.lowerBound - first) / 16..<(keys.upperBound - first) / 16
    }

    /// From the first to the last group that sees `register` of `tile`; nil where none does.
    func groups(seeing register: Int, tile: Int) -> Range<Int>? {
        var seeing: Range<Int>?
        for group in groups where registers(group: group, tile: tile).contains(register) {
            seeing = (seeing?.lowerBound ?? group)..<group + 1
        }
        return seeing
    }
}

/// How the work of a sequence's heads is cut. Made once before the heads are shared out.
struct AttentionPlan {
    /// All queries.
    let blocks: [QueryBlock]
    /// The tiles between the first and the last that any block sees.
    let tiles: Range<Int>

    private init(_ geometry: AttentionGeometry, _ visibility: AttentionVisibility) {
        blocks = stride(from: 0, to: geometry.queryLength, by: blockHeight).map {
            QueryBlock($0..<min($0 + blockHeight, geometry.queryLength), visibility)
        }
        let first = blocks.compactMap(\.tiles.first).min() ?? 0
        let last = blocks.compactMap(\.tiles.last).max() ?? -1
        tiles = first..<last + 1
    }

    /// The plan of each sequence; where no condition is a sequence's own, they share one.
    static func plans(_ geometry: AttentionGeometry, _ mask: AttentionMask) -> [AttentionPlan] {
        func plan(_ sequence: Int) -> AttentionPlan {
            AttentionPlan(
                geometry, AttentionVisibility(mask, geometry, sequence: sequence))
        }
        guard mask.keyRanges == nil && mask.querySegments == nil else {
            return (0..<geometry.batch).map(plan)
        }
        return geometry.batch == 0
            ? [] : Array(repeating: plan(0), count: geometry.batch)
    }
}

/// What is the same for all heads of a sequence: sizes, mask, bias and dropout.
struct AttentionContext {
    let geometry: AttentionGeometry
    let visibility: AttentionVisibility
    let bias: AttentionBias?
    let dropout: AttentionDropout?
    let sequence: Int
    private let queryOffset: Int

    init(
        _ geometry: AttentionGeometry, _ mask: AttentionMask, _ bias: AttentionBias?,
        _ dropout: AttentionDropout?, sequence: Int
    ) {
        self.geometry = geometry
        self.bias = bias
        self.dropout = dropout
        self.sequence = sequence
        visibility = AttentionVisibility(mask, geometry, sequence: sequence)
        queryOffset = mask.queryOffset
    }

    /// The keys of `tiles`.
    func keys(_ tiles: Range<Int>) -> Range<Int> {
        let end = min(tiles.upperBound * tileWidth, geometry.keyLength)
        return min(tiles.lowerBound * tileWidth, end)..<end
    }

    /// Products of query and keys `key ..< key + 16` made into scores: bias added, hidden pairs −∞.
    @inline(__always)
    func scores(_ products: Vector, head: Int, query: Int, range: Range<Int>, key: Int) -> Vector {
        var result = products
        if let bias {
            let row = head * geometry.queryLength + query
            result += bias.values.part(
                at: row * geometry.keyLength + key, count: min(16, geometry.keyLength - key))
        }
        return visibility.hide(result, query: query, range: range, key: key)
    }

    /// Writes 0 or 1/(1 − rate) for the pairs of `query` and some registers of a tile, at their places in
    /// `scales` `[64]`; where there is no dropout, nothing.
    func dropoutScales(
        into scales: UnsafeMutablePointer<Float>, head: Int, query: Int, tile: Int,
        registers: Range<Int>
    ) {
        guard let dropout, !registers.isEmpty else { return }
        let row = dropout.firstIndex(
            sequence: sequence, head: head, position: query + queryOffset)
        // Pairs of registers: the generator makes 32 numbers at a time.
        let first = registers.lowerBound & ~1
        dropout.stream.dropoutScales(
            into: scales + first * 16, count: (((registers.upperBound + 1) & ~1) - first) * 16,
            firstIndex: row + UInt64(tile * tileWidth + first * 16), rate: dropout.rate)
    }
}

/// Hands out consecutive parts of a block of working memory.
struct PanelMemory {
    private var next: UnsafeMutablePointer<Float>

    init(_ start: UnsafeMutablePointer<Float>) { next = start }

    mutating func take(_ count: Int) -> UnsafeMutablePointer<Float> {
        defer { next += count }
        return next
    }
}
