/// The pieces of a vocabulary in training, with their probabilities. They stand in the order of their bytes.
struct UnigramPieces {
    private struct Piece {
        /// The longest other piece that this one begins with; negative for a single character.
        var shorter: Int32
        /// In characters.
        let length: Int32
        /// Where the words' letters have it.
        let place: Int32
        /// Logarithm of the probability.
        var score: Double
    }

    private let words: LetteredWords
    private let longest: Int
    private let threads: Int
    private var pieces: [Piece] = []
    /// The longest piece that begins at each place of the words' letters.
    private var longestPieces: [Int32]
    /// The lowest score of a piece that is not next to never used.
    private(set) var leastScore = 0.0

    /// What a character's score lies below all others if it occurs next to never: as for one that is unknown.
    private static let rarePenalty = 10.0
    private static let rareCount = 0.5

    /// All characters of the words, and the substrings of up to `longest` whose count × length is largest, `size` in all.
    init(seedsOf words: LetteredWords, longest: Int, size: Int, threads: Int) {
        (self.words, self.longest, self.threads) = (words, longest, threads)
        longestPieces = [Int32](repeating: -1, count: words.letters.count)
        let found = FrequentSubstrings(words, longest: longest, threads: threads)
        let weights = found.substrings.map { Double($0.count) * Double($0.length) }
        var isSeed = LargestValues.marks(
            max(0, size - words.alphabet.count),
            of: zip(found.substrings, weights).map { $0.length == 1 ? -1 : $1 })
        for (index, substring) in found.substrings.enumerated() where substring.length == 1 {
            isSeed[index] = true
        }
        let total = zip(isSeed, weights).reduce(0.0) { $0 + ($1.0 ? $1.1 : 0) }
        let logarithmOfTotal = PortableMath.logarithm(total)

        // The seeds that hold the suffix at hand, the shortest first.
        var open: [(piece: Int32, end: Int)] = []
        var index = 0
        func goOn(to end: Int) {
            while index < end {
                while let last = open.last, last.end <= index { open.removeLast() }
                let stop = min(end, open[open.count - 1].end)
                for place in found.places[index..<stop] {
                    longestPieces[Int(place)] = open[open.count - 1].piece
                }
                index = stop
            }
            while let last = open.last, last.end <= index { open.removeLast() }
        }
        for (number, substring) in found.substrings.enumerated() where isSeed[number] {
            goOn(to: Int(substring.start))
            let piece = Int32(pieces.count)
            pieces.append(
                Piece(
                    shorter: open.last?.piece ?? -1, length: Int32(substring.length),
                    place: found.places[Int(substring.start)],
                    score: PortableMath.logarithm(weights[number]) - logarithmOfTotal))
            open.append((piece, Int(substring.end)))
        }
        goOn(to: found.places.count)
    }

    var count: Int { pieces.count }

    func isCharacter(_ piece: Int) -> Bool { pieces[piece].length == 1 }
    func score(_ piece: Int) -> Double { pieces[piece].score }
    func text(_ piece: Int) -> [UInt8] {
        let start = Int(pieces[piece].place)
        return words.text(start..<start + Int(pieces[piece].length))
    }

    private func lattice(_ value: (Double) -> Double) -> UnigramLattice {
        UnigramLattice(
            words: words,
            edges: pieces.map {
                UnigramEdge(shorter: $0.shorter, length: $0.length, value: value($0.score))
            }, longestPieces: longestPieces, threads: threads)
    }

    /// One step of expectation and maximization: each score becomes ψ(c) - ψ(Σ c), where c is the piece's expected count. That
    /// is below log(c / Σ c), the more so the smaller c is: a prior for few pieces (Liang and Klein 2007). Pieces of less than
    /// half an occurrence go; characters stay, with a score far below all others.
    mutating func reestimate() {
        let counts = lattice(PortableMath.exponential).expectedCounts()
        let isKept = counts.map { $0 >= UnigramPieces.rareCount }
        let total = zip(counts, isKept).reduce(0.0) { $0 + ($1.1 ? $1.0 : 0) }
        guard total > 0 else { return }
        let digammaOfTotal = PortableMath.digamma(total)
        leastScore = 0
        for index in pieces.indices where isKept[index] {
            pieces[index].score = PortableMath.digamma(counts[index]) - digammaOfTotal
            leastScore = min(leastScore, pieces[index].score)
        }
        for index in pieces.indices where !isKept[index] {
            pieces[index].score = leastScore - UnigramPieces.rarePenalty
        }
        keep { isKept[$0] }
    }

    /// Keeps the `size` pieces whose loss would cost most, characters before all others.
    ///
    /// Each word is told in its best way. A piece that no way has goes. Of another, the cost is the logarithm of the words'
    /// probability before and after each of its occurrences is told in the next best way instead.
    mutating func prune(to size: Int) {
        let costs = costs()
        let isKept = LargestValues.marks(size, of: costs)
        keep { isKept[$0] && costs[$0] > -.infinity }
    }

    /// What the loss of each piece would cost: nothing at all is told by -∞, the loss of a character by ∞.
    private func costs() -> [Double] {
        let lattice = lattice { $0 }
        let counts = lattice.bestCounts()
        let total = Double(counts.reduce(0, +))
        let logarithmOfTotal = PortableMath.logarithm(total)
        let portion = 1 << 12
        return ParallelMap.map((count + portion - 1) / portion, threads: threads) { part in
            let walk = LatticeWalk(longest: longest)
            return (part * portion..<min(count, (part + 1) * portion)).map { index -> Double in
                let piece = pieces[index]
                guard piece.length > 1 else { return .infinity }
                guard counts[index] > 0 else { return -.infinity }
                let own = Double(counts[index])
                let (start, length) = (Int(piece.place), Int(piece.length))
                walk.findBest(start..<start + length, lattice, without: Int32(index))
                var partCount = 0
                var replaced = 0.0
                walk.forEachBestPiece(length, lattice) { part in
                    partCount += 1
                    replaced += PortableMath.logarithm(Double(counts[part]) + own)
                }
                let newTotal = total + own * Double(partCount - 1)
                replaced -= Double(partCount) * PortableMath.logarithm(newTotal)
                return own * (PortableMath.logarithm(own) - logarithmOfTotal - replaced)
            }
        }.flatMap { $0 }
    }

    /// Drops the pieces for which `isKept` is false, except characters.
    private mutating func keep(_ isKept: (Int) -> Bool) {
        // The new number of each piece, or that of the longest one kept that it begins with.
        var newNumbers = [Int32](repeating: -1, count: pieces.count)
        var kept: [Piece] = []
        for index in pieces.indices {
            var piece = pieces[index]
            let shorter = piece.shorter < 0 ? -1 : newNumbers[Int(piece.shorter)]
            if piece.length > 1, !isKept(index) {
                newNumbers[index] = shorter
            } else {
                newNumbers[index] = Int32(kept.count)
                piece.shorter = shorter
                kept.append(piece)
            }
        }
        pieces = kept
        let portion = 1 << 16
        let portions = (longestPieces.count + portion - 1) / portion
        let (threads, numbers) = (threads, newNumbers)
        longestPieces.withUnsafeMutableBufferPointer { buffer in
            nonisolated(unsafe) let buffer = buffer
            _ = ParallelMap.map(portions, threads: threads) { part in
                for place in part * portion..<min(buffer.count, (part + 1) * portion)
                where buffer[place] >= 0 {
                    buffer[place] = numbers[Int(buffer[place])]
                }
            }
        }
    }
}
