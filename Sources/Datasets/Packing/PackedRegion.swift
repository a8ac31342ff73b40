// Rows of whole documents. A token is an input where it has a target, its document's next token, and a row has T
// inputs. So a document of l tokens takes l − 1 places; or l where an end-of-text stands before each document: that is
// then what its last token predicts too, since it is what follows the document. Every token of a document but its
// first is thus a target exactly once, in whatever pieces the document is cut, and no place is spent on a token
// without a target. (Without an end a document of one token predicts nothing, and has no place.)

/// A part of a document in a row.
package struct PackedPiece: Sendable, Equatable {
    /// The inputs, in the array of tokens; each one's target is the token behind it.
    package let tokens: Range<Int>
    /// Whether the last one's target is the end of the text instead.
    package let predictsEnd: Bool
}

/// How documents become regions, and regions rows: what all ranks of a run must have alike.
package struct PackedGeometry: Sendable, Equatable {
    /// T, the inputs of a row.
    package let rowLength: Int
    package let predictsEnds: Bool
    package let documentCount: Int
    /// D: consecutive documents that are packed together.
    package let documentsPerRegion: Int

    /// Enough for packing to find a place for everything; so few that packing them again for one row is soon done.
    private static let rowsPerRegion = 512
    private static let fewestDocuments = 64

    package init(rowLength: Int, predictsEnds: Bool, documentCount: Int, tokenCount: Int) {
        precondition(
            rowLength > 0, "PackedGeometry: expected rows of at least 1 token, got \(rowLength)")
        (self.rowLength, self.predictsEnds) = (rowLength, predictsEnds)
        self.documentCount = documentCount
        let tokens = Double(PackedGeometry.rowsPerRegion * rowLength)
        let documents = tokens * Double(documentCount) / Double(max(1, tokenCount))
        documentsPerRegion = max(
            PackedGeometry.fewestDocuments,
            Int(min(Double(max(1, documentCount)), documents.rounded(.up))))
    }

    package var regionCount: Int { (documentCount + documentsPerRegion - 1) / documentsPerRegion }

    package func documents(ofRegion region: Int) -> Range<Int> {
        let first = region * documentsPerRegion
        return first..<min(documentCount, first + documentsPerRegion)
    }

    /// Places that a document of so many tokens takes.
    fileprivate func places(ofTokens count: Int) -> Int {
        predictsEnds ? count : max(0, count - 1)
    }
}

/// The rows of a region. First, document by document, those that one document fills; then what is left of each
/// document, by best fit. That is best-fit decreasing over all pieces, as a piece of T places has a bin of its own; but
/// what it takes does not grow with the length of documents.
struct PackedRegion: Sendable {
    private let geometry: PackedGeometry
    /// The first token of each document, and the end.
    private let starts: [Int]
    /// Full rows of the documents before each, and of all.
    private let fullRows: [Int]
    private let rests: BestFit

    init(
        _ region: Int, _ geometry: PackedGeometry, _ documents: any DocumentLengths
    ) throws(DatasetError) {
        self.geometry = geometry
        starts = try PackedRegion.starts(region, geometry, documents)
        let (fullRows, rests) = PackedRegion.cut(starts, geometry)
        self.fullRows = fullRows
        self.rests = BestFit(sizes: rests, capacity: geometry.rowLength)
    }

    var rowCount: Int { fullRows[fullRows.count - 1] + rests.binCount }

    /// Of a region whose packing is not kept.
    static func rowCount(
        _ region: Int, _ geometry: PackedGeometry, _ documents: any DocumentLengths
    ) throws(DatasetError) -> Int {
        let (fullRows, rests) = cut(try starts(region, geometry, documents), geometry)
        return fullRows[fullRows.count - 1]
            + BestFit.binCount(sizes: rests, capacity: geometry.rowLength)
    }

    func pieces(ofRow row: Int) -> [PackedPiece] {
        let full = fullRows[fullRows.count - 1]
        guard row < full else {
            return rests[row - full].map {
                piece(of: $0, after: fullRows[$0 + 1] - fullRows[$0])
            }
        }
        let document = fullRows.lastIndex(notAbove: row)
        return [piece(of: document, after: row - fullRows[document])]
    }

    /// The piece of a document that has `rows` full rows before it.
    private func piece(of document: Int, after rows: Int) -> PackedPiece {
        let (first, end) = (starts[document], starts[document + 1])
        let places = geometry.places(ofTokens: end - first)
        let from = rows * geometry.rowLength
        let to = min(places, from + geometry.rowLength)
        return PackedPiece(
            tokens: first + from..<first + to, predictsEnd: geometry.predictsEnds && to == places)
    }

    private static func starts(
        _ region: Int, _ geometry: PackedGeometry, _ documents: any DocumentLengths
    ) throws(DatasetError) -> [Int] {
        let range = geometry.documents(ofRegion: region)
        let starts = try documents.starts(of: range)
        guard starts.count == range.count + 1, zip(starts, starts.dropFirst()).allSatisfy(<=) else {
            throw DatasetError(
                .corrupt,
                "documents \(range): expected \(range.count + 1) starts that ascend, found "
                    + "\(starts.count) that do not; prepare the data again")
        }
        return starts
    }

    /// The full rows before each document and of all, and the places of each beyond its full rows.
    private static func cut(
        _ starts: [Int], _ geometry: PackedGeometry
    ) -> (fullRows: [Int], rests: [Int]) {
        var (fullRows, rests): ([Int], [Int]) = ([0], [])
        fullRows.reserveCapacity(starts.count)
        rests.reserveCapacity(starts.count - 1)
        var rows = 0
        for document in 0..<starts.count - 1 {
            let places = geometry.places(ofTokens: starts[document + 1] - starts[document])
            let (full, rest) = places.quotientAndRemainder(dividingBy: geometry.rowLength)
            rows += full
            fullRows.append(rows)
            rests.append(rest)
        }
        return (fullRows, rests)
    }
}

extension [Int] {
    /// The last index but one at most whose element, of numbers that ascend, is not above `value`: which of the parts
    /// with these borders holds it.
    func lastIndex(notAbove value: Int) -> Int {
        var (low, high) = (0, count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if self[middle] <= value { low = middle } else { high = middle }
        }
        return low
    }
}
