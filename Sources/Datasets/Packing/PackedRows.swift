import Synchronization

/// The rows into which all documents of an array of tokens are packed: any of them by itself, from 8 bytes of memory a
/// region.
///
/// Documents are packed region by region, and of a region no more is kept than how many rows it has. A row is found by
/// looking for its region and packing that again; the last few are remembered.
public struct PackedRows: Sendable {
    /// T, the inputs of a row.
    public var rowLength: Int { geometry.rowLength }
    /// What the last token of a document predicts; nil: it predicts nothing, as the document ends with a token that
    /// says so, or its end is not to be learnt.
    public let endToken: Int32?
    package let geometry: PackedGeometry
    private let documents: any DocumentLengths
    /// The first row of each region, and the end.
    private let firstRows: [Int]
    private let recent = RecentRegions()

    /// Packs all documents once to count their rows.
    public init(
        documents: any DocumentLengths, rowLength: Int, endToken: Int32?
    ) throws(DatasetError) {
        let geometry = try PackedRows.geometry(
            of: documents, rowLength: rowLength, predictsEnds: endToken != nil)
        self.init(
            documents: documents, geometry: geometry, endToken: endToken,
            rowCounts: try PackedRows.rowCounts(
                ofRegions: 0..<geometry.regionCount, geometry, documents))
    }

    /// From the counts of all regions, in their order, which several have made together.
    package init(
        documents: any DocumentLengths, geometry: PackedGeometry, endToken: Int32?, rowCounts: [Int]
    ) {
        precondition(
            rowCounts.count == geometry.regionCount && geometry.predictsEnds == (endToken != nil),
            "PackedRows: the rows of \(geometry.regionCount) regions expected, got \(rowCounts.count)"
        )
        (self.documents, self.geometry, self.endToken) = (documents, geometry, endToken)
        firstRows = rowCounts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    }

    /// How `documents` are cut into regions.
    package static func geometry(
        of documents: any DocumentLengths, rowLength: Int, predictsEnds: Bool
    ) throws(DatasetError) -> PackedGeometry {
        PackedGeometry(
            rowLength: rowLength, predictsEnds: predictsEnds,
            documentCount: documents.documentCount, tokenCount: try documents.tokenCount())
    }

    /// The rows of each of some regions: a share of the work of opening.
    package static func rowCounts(
        ofRegions regions: Range<Int>, _ geometry: PackedGeometry, _ documents: any DocumentLengths
    ) throws(DatasetError) -> [Int] {
        var counts: [Int] = []
        counts.reserveCapacity(regions.count)
        for region in regions {
            counts.append(try PackedRegion.rowCount(region, geometry, documents))
        }
        return counts
    }

    /// All rows.
    public var count: Int { firstRows[firstRows.count - 1] }

    /// The pieces of row `row`, at most T tokens together.
    package func pieces(ofRow row: Int) throws(DatasetError) -> [PackedPiece] {
        precondition(row >= 0 && row < count, "PackedRows: row \(row) of \(count)")
        let index = firstRows.lastIndex(notAbove: row)
        var region = recent[index]
        if region == nil {
            region = try PackedRegion(index, geometry, documents)
            recent[index] = region
        }
        guard let region, row - firstRows[index] < region.rowCount else {
            throw DatasetError(
                .corrupt,
                "documents \(geometry.documents(ofRegion: index)): expected as many as when the run began, found "
                    + "others; do not change data that a run reads")
        }
        return region.pieces(ofRow: row - firstRows[index])
    }
}

/// The regions that were packed last. Threads that miss at the same time pack the same.
private final class RecentRegions: Sendable {
    private static let capacity = 16
    private let entries = Mutex<[(region: Int, packed: PackedRegion)]>([])

    subscript(region: Int) -> PackedRegion? {
        get { entries.withLock { $0.first { $0.region == region }?.packed } }
        set {
            guard let newValue else { return }
            entries.withLock { entries in
                if entries.count == RecentRegions.capacity { entries.removeFirst() }
                entries.append((region, newValue))
            }
        }
    }
}
