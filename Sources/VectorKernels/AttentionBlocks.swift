// How attention cuts its work: groups of 16 queries, registers of 16 keys, of which only those are
// touched that some query of the group sees. Nothing is allocated: what a group sees is arithmetic.

/// Queries of a group.
let groupHeight = 16

/// A group of queries, and the registers of 16 keys that some of them sees; register r holds the keys
/// 16·r ..< 16·r + 16.
struct QueryGroup {
    let queries: Range<Int>
    let registers: Range<Int>

    init(_ queries: Range<Int>, _ visibility: AttentionVisibility) {
        self.queries = queries
        registers = visibility.registers(queries: queries)
    }

    /// The rows that a product computes: a multiple of 4.
    var height: Int { (queries.count + 3) & ~3 }
}

/// Queries of a block of the backward pass.
let blockHeight = 4 * groupHeight
/// Keys of a tile of the backward pass.
let tileWidth = 64

/// A block of up to four groups of queries.
struct QueryBlock {
    let queries: Range<Int>
    /// From the first to the last register that some group sees.
    let registers: Range<Int>
    private let seen: (Range<Int>, Range<Int>, Range<Int>, Range<Int>)

    init(_ queries: Range<Int>, _ visibility: AttentionVisibility) {
        self.queries = queries
        func registers(_ group: Int) -> Range<Int> {
            let start = queries.lowerBound + group * groupHeight
            return visibility.registers(
                queries: (start..<start + groupHeight).clamped(to: queries))
        }
        seen = (registers(0), registers(1), registers(2), registers(3))
        func hull(_ a: Range<Int>, _ b: Range<Int>) -> Range<Int> {
            if a.isEmpty { return b }
            if b.isEmpty { return a }
            return min(a.lowerBound, b.lowerBound)..<max(a.upperBound, b.upperBound)
        }
        self.registers = hull(hull(seen.0, seen.1), hull(seen.2, seen.3))
    }

    /// The rows of products: a multiple of 4.
    var height: Int { (queries.count + 3) & ~3 }

    var groups: Range<Int> { 0..<(queries.count + groupHeight - 1) / groupHeight }

    func height(group: Int) -> Int { min(groupHeight, height - group * groupHeight) }

    @inline(__always)
    func registers(group: Int) -> Range<Int> {
        switch group {
        case 0: seen.0
        case 1: seen.1
        case 2: seen.2
        default: seen.3
        }
    }

    /// From the first to the last group that sees `register`; empty where none does.
    func groups(seeing register: Int) -> Range<Int> {
        var seeing = 0..<0
        for group in groups where registers(group: group).contains(register) {
            seeing = (seeing.isEmpty ? group : seeing.lowerBound)..<group + 1
        }
        return seeing
    }
}

/// What is the same for all heads of a sequence: sizes, mask, bias and dropout.
struct AttentionContext {
    let geometry: AttentionGeometry
    let visibility: AttentionVisibility
    let bias: AttentionBias?
    let dropout: AttentionDropout?
    let sequence: Int
    /// The registers that any query sees.
    let registers: Range<Int>
    /// Whether scores are products and nothing else, away from the ends of a query's range.
    let isPlain: Bool
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
        registers = visibility.registers(queries: 0..<geometry.queryLength)
        isPlain = bias == nil && mask.querySegments == nil
        queryOffset = mask.queryOffset(sequence: sequence)
    }

    /// The most registers that any sequence of a batch may see.
    static func registerLimit(_ geometry: AttentionGeometry) -> Int {
        (geometry.keyLength + 15) / 16
    }

    /// The keys of `registers`.
    var keys: Range<Int> {
        let end = min(registers.upperBound * 16, geometry.keyLength)
        return min(registers.lowerBound * 16, end)..<end
    }

    /// Products of query and keys made into scores: bias added, hidden pairs −∞. `scores[key]` is the
    /// score of `key`, for the keys of `registers`; those that stay as they are are not touched.
    @inline(__always)
    func complete(
        _ scores: UnsafeMutablePointer<Float>, registers: Range<Int>, head: Int, query: Int
    ) {
        let range = visibility.range(query: query)
        if isPlain {
            hideEnds(of: scores, registers: registers, range: range)
        } else {
            completeAll(scores, registers: registers, range: range, head: head, query: query)
        }
    }

    @inline(never)
    private func completeAll(
        _ scores: UnsafeMutablePointer<Float>, registers: Range<Int>, range: Range<Int>, head: Int,
        query: Int
    ) {
        let g = geometry
        for register in registers {
            let key = register * 16
            var score = scores.vector(at: key)
            if let bias {
                score += bias.values(
                    at: (head * g.queryLength + query) * g.keyLength + key,
                    count: min(16, g.keyLength - key))
            }
            scores.store(visibility.hide(score, query: query, range: range, key: key), at: key)
        }
    }

    /// Writes 0 or 1/(1 − rate) for the pairs of `query` and some registers to `scales`, which stands for
    /// the keys from `firstRegister`, an even number, on.
    func writeDropoutScales(
        _ dropout: AttentionDropout, to scales: UnsafeMutablePointer<Float>, firstRegister: Int,
        head: Int, query: Int, registers: Range<Int>
    ) {
        if registers.isEmpty { return }
        let row = dropout.firstIndex(
            sequence: sequence, head: head, position: query + queryOffset)
        // Pairs of registers: the generator makes 32 numbers at a time.
        let first = registers.lowerBound & ~1
        VectorKernels.dropoutScales(
            dropout.stream, into: scales + (first - firstRegister) * 16,
            count: (((registers.upperBound + 1) & ~1) - first) * 16,
            firstIndex: row + UInt64(first * 16), rate: dropout.rate)
    }
}

/// −∞ for the keys outside `range`, of those in `registers`; most registers need no look.
@inline(never)
private func hideEnds(
    of scores: UnsafeMutablePointer<Float>, registers: Range<Int>, range: Range<Int>
) {
    let first = max(
        registers.lowerBound, min((range.lowerBound + 15) >> 4, registers.upperBound))
    let last = max(first, min(range.upperBound >> 4, registers.upperBound))
    for register in registers.lowerBound..<first {
        let scores = scores + register * 16
        scores.store(scores.vector(at: 0).hidden(outside: range, key: register * 16), at: 0)
    }
    for register in last..<registers.upperBound {
        let scores = scores + register * 16
        scores.store(scores.vector(at: 0).hidden(outside: range, key: register * 16), at: 0)
    }
}

extension AttentionBias {
    @inline(__always)
    fileprivate func values(at index: Int, count: Int) -> Vector {
        switch values.type {
        case .float32: values.pointer(to: Float.self).part(at: index, count: count)
        case .float16: values.pointer(to: Float16.self).part(at: index, count: count)
        case .bfloat16: values.pointer(to: BFloat16.self).part(at: index, count: count)
        }
    }
}
