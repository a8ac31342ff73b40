import Datasets
import Foundation
import Testing

/// Documents in memory, one behind the other.
struct ListedDocuments: DocumentLengths {
    let starts: [Int]
    let lengths: [Int]

    init(lengths: [Int]) {
        self.lengths = lengths
        starts = lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    }

    var documentCount: Int { starts.count - 1 }
    var tokens: Int { starts[starts.count - 1] }

    func starts(of range: Range<Int>) throws(DatasetError) -> [Int] {
        Array(starts[range.lowerBound...range.upperBound])
    }

    /// Lengths as texts have them: log-normal, so that a few are as long as all others together.
    static func like(texts count: Int, median: Double, seed: UInt64) -> ListedDocuments {
        var random = TestRandom(seed)
        func uniform() -> Double { Double(random.next() >> 11) / 0x1p53 }
        return ListedDocuments(
            lengths: (0..<count).map { _ in
                let normal =
                    (-2 * log(1 - uniform())).squareRoot() * cos(2 * Double.pi * uniform())
                return max(1, Int(median * exp(1.2 * normal)))
            })
    }
}

@Suite struct BestFitTests {
    /// Ding et al. 2024, algorithm 1, word by word: all bins are looked through for each item.
    private func reference(_ sizes: [Int], _ capacity: Int, best: Bool = true) -> [[Int]] {
        var bins: [(items: [Int], room: Int)] = []
        let order = sizes.indices.sorted { (-sizes[$0], $0) < (-sizes[$1], $1) }
        for item in order where sizes[item] > 0 {
            let fitting = bins.indices.filter { bins[$0].room >= sizes[item] }
            let found =
                best
                ? fitting.min { (bins[$0].room, $0) < (bins[$1].room, $1) }
                : fitting.max { (bins[$0].room, -$0) < (bins[$1].room, -$1) }
            if let found {
                bins[found].items.append(item)
                bins[found].room -= sizes[item]
            } else {
                bins.append(([item], capacity - sizes[item]))
            }
        }
        return bins.map(\.items)
    }

    private func bins(_ sizes: [Int], _ capacity: Int) -> [[Int]] {
        let packed = BestFit(sizes: sizes, capacity: capacity)
        return (0..<packed.binCount).map { packed[$0] }
    }

    @Test(arguments: [1, 2, 7, 63, 64, 65, 128, 200], [0, 1, 2, 10, 300])
    func everyItemLiesWhereThePaperPutsIt(capacity: Int, count: Int) {
        var random = TestRandom(UInt64(capacity * 1000 + count + 1))
        var differing = 0
        for _ in 0..<5 {
            let sizes = (0..<count).map { _ in Int.random(in: 0...capacity, using: &random) }
            #expect(bins(sizes, capacity) == reference(sizes, capacity))
            #expect(
                BestFit.binCount(sizes: sizes, capacity: capacity)
                    == reference(sizes, capacity).count)
            if reference(sizes, capacity) != reference(sizes, capacity, best: false) {
                differing += 1
            }
        }
        if capacity >= 63 && count == 300 { #expect(differing == 5, "control: the worst fit") }
    }

    @Test func anExampleByHand() {
        // 6 | 5 | 4 leave rooms of 4, 5 and 6; 4 goes to the 6, 3 into the least room left.
        #expect(bins([4, 3, 6, 5, 0, 10, 1], 10) == [[5], [2, 0], [3, 1, 6]])
    }
}

@Suite struct PackedRowsTests {
    /// The targets of all rows in the numbers of their tokens, ends as −1 − the document's last token; rows no
    /// longer than they may be.
    private func targets(_ rows: PackedRows) throws -> [Int] {
        var targets: [Int] = []
        for row in 0..<rows.count {
            let pieces = try rows.pieces(ofRow: row)
            #expect(!pieces.isEmpty && pieces.allSatisfy { !$0.tokens.isEmpty })
            #expect(pieces.reduce(0) { $0 + $1.tokens.count } <= rows.rowLength)
            for piece in pieces {
                targets += piece.tokens.dropLast().map { $0 + 1 }
                let last = piece.tokens.upperBound - 1
                targets.append(piece.predictsEnd ? -1 - last : last + 1)
            }
        }
        return targets.sorted()
    }

    /// Every token but a document's first, and its end where there is one.
    private func expected(_ documents: ListedDocuments, ends: Bool) -> [Int] {
        var targets: [Int] = []
        for (start, end) in zip(documents.starts, documents.starts.dropFirst()) where start < end {
            targets += start + 1..<end
            if ends { targets.append(-end) }
        }
        return targets.sorted()
    }

    @Test(arguments: [1, 2, 5, 16, 64, 1000], [true, false])
    func everyTokenIsATargetOnce(length: Int, ends: Bool) throws {
        var random = TestRandom(UInt64(length))
        let lists: [[Int]] = [
            [1], [2], [0, 0, 7, 0], [300], Array(repeating: 17, count: 100),
            (0..<900).map { _ in Int.random(in: 0...40, using: &random) },
            (0..<200).map { Int.random(in: 0...($0 % 50 == 0 ? 2000 : 20), using: &random) },
        ]
        for lengths in lists {
            let documents = ListedDocuments(lengths: lengths)
            let rows = try PackedRows(
                documents: documents, rowLength: length, endToken: ends ? 256 : nil)
            let expected = expected(documents, ends: ends)
            let found = try targets(rows)
            #expect(found == expected)
            if !found.isEmpty {
                #expect(found.dropFirst() != expected[...], "control: one is lost")
            }
        }
    }

    /// What fits into a row is never cut, and what does not is cut as seldom as can be.
    @Test func documentsAreCutWhereTheyMustBe() throws {
        let documents = ListedDocuments.like(texts: 2000, median: 100, seed: 3)
        let rows = try PackedRows(documents: documents, rowLength: 256, endToken: 0)
        var pieces = [Int](repeating: 0, count: documents.documentCount)
        for row in 0..<rows.count {
            for piece in try rows.pieces(ofRow: row) {
                let after = documents.starts.firstIndex { $0 > piece.tokens.lowerBound } ?? 0
                pieces[after - 1] += 1
            }
        }
        let fewest = documents.lengths.map { ($0 + 255) / 256 }
        #expect(pieces == fewest)
        #expect(pieces.contains { $0 > 1 } && pieces.contains(1))
    }

    /// One document that is longer than all memory costs no more than its start and its end.
    @Test func aVeryLongDocumentIsAsQuickAsAShortOne() throws {
        let tokens = 1 << 45
        let documents = ListedDocuments(lengths: [10, tokens, 10])
        let rows = try PackedRows(documents: documents, rowLength: 256, endToken: 0)
        #expect(rows.count == tokens / 256 + 1)
        #expect(
            try rows.pieces(ofRow: 1 << 30).map(\.tokens)
                == [10 + (1 << 30) * 256..<10 + (1 << 30) * 256 + 256])
        #expect(try rows.pieces(ofRow: rows.count - 1).count == 2)
    }

    /// Ranks and threads may count regions for each other.
    @Test func countsOfSharesMakeTheWhole() throws {
        let documents = ListedDocuments.like(texts: 50_000, median: 40, seed: 5)
        let whole = try PackedRows(documents: documents, rowLength: 64, endToken: nil)
        let geometry = try PackedRows.geometry(of: documents, rowLength: 64, predictsEnds: false)
        #expect(geometry == whole.geometry)
        let regions = geometry.regionCount
        #expect(regions > 10)
        var counts: [Int] = []
        for share in 0..<4 {
            counts += try PackedRows.rowCounts(
                ofRegions: share * regions / 4..<(share + 1) * regions / 4, geometry, documents)
        }
        let shared = PackedRows(
            documents: documents, geometry: geometry, endToken: nil, rowCounts: counts)
        #expect(shared.count == whole.count)
        for row in stride(from: 0, to: whole.count, by: 97) {
            #expect(try shared.pieces(ofRow: row) == whole.pieces(ofRow: row))
        }
    }

    @Test func regionsHoldWhatTheyShould() {
        func documents(_ count: Int, _ tokens: Int, length: Int = 1024) -> Int {
            PackedGeometry(
                rowLength: length, predictsEnds: true, documentCount: count, tokenCount: tokens
            ).documentsPerRegion
        }
        #expect(documents(1_000_000, 500_000_000) == 1049)  // 512 · 1024 / 500, rounded up
        #expect(documents(1_000_000, 500_000_000, length: 256) == 263)
        #expect(documents(1000, 10_000_000_000) == 64)
        #expect(documents(100, 100) == 100)
        #expect(documents(0, 0) == 64)
        let geometry = PackedGeometry(
            rowLength: 8, predictsEnds: true, documentCount: 150, tokenCount: 1_000_000)
        let regions = (0..<geometry.regionCount).map { geometry.documents(ofRegion: $0) }
        #expect(regions == [0..<64, 64..<128, 128..<150])
    }

    /// Of places that are paid for, fewer than 2 % are empty; a row for each document leaves most of them.
    @Test(arguments: [256, 512, 1024])
    func littleIsLeftEmpty(length: Int) throws {
        let documents = ListedDocuments.like(texts: 20_000, median: 250, seed: 9)
        let rows = try PackedRows(documents: documents, rowLength: length, endToken: 0)
        func empty(_ rows: Int) -> Double { 1 - Double(documents.tokens) / Double(rows * length) }
        #expect(empty(rows.count) < 0.02)
        let alone = documents.lengths.reduce(0) { $0 + ($1 + length - 1) / length }
        #expect(empty(alone) > 0.1, "control")
    }

    /// More regions than are remembered, from several threads.
    @Test func threadsReadTheSameRows() async throws {
        let documents = ListedDocuments.like(texts: 10_000, median: 30, seed: 7)
        let rows = try PackedRows(documents: documents, rowLength: 16, endToken: 0)
        #expect(rows.geometry.regionCount > 32)
        let order = Permutation(count: rows.count, key: 1)
        let read: @Sendable () throws -> [[PackedPiece]] = {
            try (0..<2000).map { try rows.pieces(ofRow: order[$0]) }
        }
        let expected = try read()
        try await withThrowingTaskGroup(of: [[PackedPiece]].self) { group in
            for _ in 0..<3 { group.addTask { try read() } }
            for try await found in group { #expect(found == expected) }
        }
    }

    @Test func tablesThatDoNotAscendAreFound() {
        struct Descending: DocumentLengths {
            let documentCount = 3
            func starts(of range: Range<Int>) throws(DatasetError) -> [Int] {
                Array([0, 10, 4, 20][range.lowerBound...range.upperBound])
            }
        }
        let error = datasetError {
            _ = try PackedRows(documents: Descending(), rowLength: 8, endToken: nil)
        }
        #expect(error?.kind == .corrupt)
    }
}
