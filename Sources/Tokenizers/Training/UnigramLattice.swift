// All ways to tell a word by pieces are the ways through a lattice: its nodes are the places between the letters, its edges the
// pieces. No search is needed to build it: each place of the words knows the longest piece that begins there, each piece the
// next shorter one that it begins with.

/// An edge of the lattice, wherever its piece occurs.
struct UnigramEdge {
    /// The longest other piece that this one begins with; negative for a single character, where the row ends.
    let shorter: Int32
    /// In characters.
    let length: Int32
    /// The probability of the piece or its logarithm: as the walk needs it.
    let value: Double
}

/// Words and the pieces that tell them. A single character is always a piece, so there is a way through every word.
struct UnigramLattice {
    let words: LetteredWords
    let edges: [UnigramEdge]
    /// By place of the words' letters.
    let longestPieces: [Int32]
    let threads: Int

    /// Expected occurrences of each piece in all occurrences of the words, if a word is told in each of its ways by their
    /// probabilities (the edges' values).
    ///
    /// With α and β, the sums over the ways up to a place and from a place on, a piece p from i to j occurs in the share
    /// α(i) p β(j) / α(n) of a word's ways. The counts are summed as whole numbers of a fixed small unit, so that neither their
    /// order nor the number of threads changes a bit. Takes 8 bytes for each piece and thread.
    func expectedCounts() -> [Double] {
        let unit = countUnit
        let sums = eachThread { word, walk, sums in
            walk.addExpectedCounts(word, self, unit: unit, to: &sums)
        }
        return sums.map { Double($0) / unit }
    }

    /// Occurrences of each piece in all occurrences of the words, if each word is told in its best way (the edges' values are
    /// logarithms).
    func bestCounts() -> [Int] {
        eachThread { word, walk, sums in
            walk.findBest(words.range(word), self, without: -1)
            walk.forEachBestPiece(words.range(word).count, self) { sums[$0] += words.counts[word] }
        }
    }

    /// A power of two by which expected counts are multiplied before they become whole numbers: as large as their sum allows.
    private var countUnit: Double {
        var bits = 30
        let total = Double(words.characterCount)
        while bits > 0, total * Double(sign: .plus, exponent: bits, significand: 1) > 0x1p61 {
            bits -= 1
        }
        return Double(sign: .plus, exponent: bits, significand: 1)
    }

    /// The sums by piece to which `body` adds for every word.
    private func eachThread(
        _ body:
            @Sendable (
                _ word: Int, _ walk: LatticeWalk, _ sums: inout MutableSpan<Int>
            ) -> Void
    ) -> [Int] {
        let portions = words.portions
        let longest = words.longest
        let threads = min(threads, portions.count)
        var partialSums = ParallelMap.map(threads, threads: threads) { thread in
            var sums = [Int](repeating: 0, count: edges.count)
            var span = sums.mutableSpan
            let walk = LatticeWalk(longest: longest)
            for portion in stride(from: thread, to: portions.count, by: threads) {
                for word in portions[portion] { body(word, walk, &span) }
            }
            return sums
        }
        var sums = partialSums.removeFirst()
        for partial in partialSums {
            for index in sums.indices { sums[index] += partial[index] }
        }
        return sums
    }
}

/// A sum of products of probabilities, value × 2^(-200 scalings): long words have some that are smaller than any `Double`.
private struct SmallNumber {
    var value: Double
    var scalings: Int32

    private static let smallest = 0x1p-200
    private static let scaleExponent = 200

    static let zero = SmallNumber(value: 0, scalings: 0)
    static let one = SmallNumber(value: 1, scalings: 0)

    /// Scales a value up that would become too small in a product. By a power of two, so it is exact.
    @inline(__always)
    mutating func normalize() {
        guard value < SmallNumber.smallest else { return }
        value /= SmallNumber.smallest
        scalings += 1
    }

    @inline(__always)
    mutating func add(_ product: Double, scalings: Int32) {
        if scalings == self.scalings {
            value += product
        } else {
            addUnlike(product, scalings)
        }
    }

    /// Takes the scale of the larger one; what is scaled twice as often is too small to count.
    private mutating func addUnlike(_ product: Double, _ scalings: Int32) {
        if value == 0 || scalings + 1 < self.scalings {
            (value, self.scalings) = (product, scalings)
        } else if scalings + 1 == self.scalings {
            (value, self.scalings) = (value * SmallNumber.smallest + product, scalings)
        } else if scalings == self.scalings + 1 {
            value += product * SmallNumber.smallest
        }
    }

    /// `product` without its scalings.
    @inline(__always)
    static func plain(_ product: Double, scalings: Int32) -> Double {
        guard scalings != 0 else { return product }
        return Double(
            sign: .plus, exponent: -scaleExponent * Int(scalings), significand: product)
    }
}

/// Memory for the walks through words, and the walks themselves.
final class LatticeWalk {
    // Buffers, not arrays: their indices are checked in debug builds only.
    /// α by place, or the logarithm of the best way's probability.
    private let forward: UnsafeMutableBufferPointer<SmallNumber>
    /// β by place.
    private let backward: UnsafeMutableBufferPointer<SmallNumber>
    /// The piece by which the best way comes to each place.
    private let lastPieces: UnsafeMutableBufferPointer<Int32>

    /// For words of up to `longest` letters.
    init(longest: Int) {
        forward = .allocate(capacity: longest + 1)
        forward.initialize(repeating: .zero)
        backward = .allocate(capacity: longest + 1)
        backward.initialize(repeating: .zero)
        lastPieces = .allocate(capacity: longest + 1)
        lastPieces.initialize(repeating: 0)
    }

    deinit {
        forward.deallocate()
        backward.deallocate()
        lastPieces.deallocate()
    }

    /// Adds the expected counts of the pieces in all occurrences of `word`, `unit` for each one.
    func addExpectedCounts(
        _ word: Int, _ lattice: UnigramLattice, unit: Double, to sums: inout MutableSpan<Int>
    ) {
        let range = lattice.words.range(word)
        let end = range.count
        let longestPieces = lattice.longestPieces.span.extracting(range)
        let edges = lattice.edges.span

        forward[0] = .one
        for place in 1...end { forward[place] = .zero }
        for place in 0..<end {
            forward[place].normalize()
            let before = forward[place]
            var piece = longestPieces[unchecked: place]
            repeat {
                let edge = edges[unchecked: Int(piece)]
                forward[place + Int(edge.length)].add(
                    before.value * edge.value, scalings: before.scalings)
                piece = edge.shorter
            } while piece >= 0
        }

        let all = forward[end]
        let share = Double(lattice.words.counts[word]) * unit / all.value
        backward[end] = .one
        for place in (0..<end).reversed() {
            let before = forward[place].value * share
            let scalings = forward[place].scalings - all.scalings
            var sum = SmallNumber.zero
            var piece = longestPieces[unchecked: place]
            repeat {
                let edge = edges[unchecked: Int(piece)]
                let behind = backward[place + Int(edge.length)]
                let product = edge.value * behind.value
                sum.add(product, scalings: behind.scalings)
                sums[unchecked: Int(piece)] += Int(
                    SmallNumber.plain(before * product, scalings: scalings + behind.scalings))
                piece = edge.shorter
            } while piece >= 0
            sum.normalize()
            backward[place] = sum
        }
    }

    /// Finds the best way through the letters at `range`, among equal ones that with the longest last piece; gives the logarithm
    /// of its probability. The piece `excluded` counts as none.
    @discardableResult
    func findBest(
        _ range: Range<Int>, _ lattice: UnigramLattice, without excluded: Int32
    ) -> Double {
        let end = range.count
        let longestPieces = lattice.longestPieces.span.extracting(range)
        let edges = lattice.edges.span
        for place in 0...end { forward[place].value = -.infinity }
        forward[0].value = 0
        for place in 0..<end {
            let before = forward[place].value
            var piece = longestPieces[unchecked: place]
            repeat {
                let edge = edges[unchecked: Int(piece)]
                let next = place + Int(edge.length)
                // A part of a word may have pieces that go on behind it.
                if next <= end, piece != excluded, before + edge.value > forward[next].value {
                    forward[next].value = before + edge.value
                    lastPieces[next] = piece
                }
                piece = edge.shorter
            } while piece >= 0
        }
        return forward[end].value
    }

    /// Calls `body` with the pieces of the best way found last, through `end` letters, the last piece first.
    func forEachBestPiece(_ end: Int, _ lattice: UnigramLattice, _ body: (Int) -> Void) {
        var end = end
        while end > 0 {
            let piece = Int(lastPieces[end])
            body(piece)
            end -= Int(lattice.edges[piece].length)
        }
    }
}
