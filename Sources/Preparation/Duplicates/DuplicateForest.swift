// Which documents are duplicates of which: a union-find (Galler and Fischer 1964) whose roots are the first documents of their
// clusters, so that what it says depends on no order in which pairs were found.

import Datasets

/// A document that is left out.
package struct DroppedDocument: Sendable, Equatable {
    package enum Reason: Sendable, Equatable {
        /// An earlier document has the same bytes.
        case exact
        /// It is in a cluster of near duplicates, and not its first.
        case near
    }

    /// Within its unit, from 0.
    package var number: Int
    package var reason: Reason
    /// The first of its cluster, which stays.
    package var keptUnit: Int
    package var keptNumber: Int

    package init(number: Int, reason: Reason, keptUnit: Int, keptNumber: Int) {
        (self.number, self.reason) = (number, reason)
        (self.keptUnit, self.keptNumber) = (keptUnit, keptNumber)
    }
}

/// The duplicates among all documents of all units: 4 bytes and a bit a document.
package struct DuplicateForest: Sendable, Equatable {
    /// The first document of each unit among all, and the number of all.
    let starts: [Int]
    /// An earlier document of the cluster, or the document itself.
    private(set) var parents: [UInt32]
    /// A bit for each document: whether its bytes are those of an earlier one.
    private(set) var exact: [UInt64]

    init(starts: [Int]) {
        let count = starts[starts.count - 1]
        self.starts = starts
        parents = [UInt32](unsafeUninitializedCapacity: count) { parents, initialized in
            for index in 0..<count { parents[index] = UInt32(index) }
            initialized = count
        }
        exact = [UInt64](repeating: 0, count: (count + 63) / 64)
    }

    package var documentCount: Int { parents.count }

    /// The first document of the cluster of `document`.
    mutating func root(of document: UInt32) -> UInt32 {
        var document = document
        while true {
            let parent = parents[Int(document)]
            if parent == document { return document }
            // Every other step is halved, so that the paths stay short.
            let next = parents[Int(parent)]
            if next == parent { return parent }
            parents[Int(document)] = next
            document = next
        }
    }

    mutating func join(_ one: UInt32, _ other: UInt32) {
        let (left, right) = (root(of: one), root(of: other))
        parents[Int(max(left, right))] = min(left, right)
    }

    mutating func markExact(_ document: Int) { exact[document >> 6] |= 1 << UInt64(document & 63) }

    func isExact(_ document: Int) -> Bool { exact[document >> 6] >> UInt64(document & 63) & 1 == 1 }

    /// Adds what another search of the same files has found, as ranks and threads do that share the bands.
    package mutating func merge(_ other: DuplicateForest) {
        precondition(
            starts == other.starts,
            "DuplicateForest: expected one of the same documents, got another")
        for document in parents.indices {
            let parent = other.parents[document]
            if parent != document { join(UInt32(document), parent) }
        }
        for index in exact.indices { exact[index] |= other.exact[index] }
        flatten()
    }

    /// Makes each document point at its root.
    mutating func flatten() {
        // A parent comes before its children.
        for document in parents.indices {
            parents[document] = parents[Int(parents[document])]
        }
    }

    /// What is left out of a unit, ascending.
    package func dropped(inUnit unit: Int) -> [DroppedDocument] {
        var result: [DroppedDocument] = []
        for document in starts[unit]..<starts[unit + 1] where parents[document] != document {
            let kept = Int(parents[document])
            let keptUnit = starts.unit(of: kept)
            result.append(
                DroppedDocument(
                    number: document - starts[unit], reason: isExact(document) ? .exact : .near,
                    keptUnit: keptUnit, keptNumber: kept - starts[keptUnit]))
        }
        return result
    }

    /// How many documents of a unit, or of all, are left out, by reason.
    package func counts(inUnit unit: Int? = nil) -> (exact: Int, near: Int) {
        let range = unit.map { starts[$0]..<starts[$0 + 1] } ?? 0..<parents.count
        var (exact, near) = (0, 0)
        for document in range where parents[document] != document {
            if isExact(document) { exact += 1 } else { near += 1 }
        }
        return (exact, near)
    }
}

/// A forest as a file, for ranks that share a search: integers are little-endian.
///
///     0   8   `MURMDUP` and a line feed
///     8   4   version: 1
///     12  4   0
///     16  8   n documents
///     24  4·n the first document of the cluster of each
///         n/8 a bit for each that is an exact duplicate, in words of 8 bytes
///         4   CRC-32C of all before
extension DuplicateForest {
    private static let magic = Array("MURMDUP\n".utf8)
    private static let version: UInt32 = 1

    package func write(to path: String) throws(DatasetError) {
        var bytes = DuplicateForest.magic
        bytes.append(littleEndian: DuplicateForest.version)
        bytes.append(littleEndian: UInt32(0))
        bytes.append(littleEndian: UInt64(parents.count))
        bytes.append(integers: parents)
        bytes.append(integers: exact)
        bytes.append(littleEndian: CRC32C.checksum(of: bytes))
        var file = try FileDescriptor(creating: path)
        try file.append(bytes)
        try file.synchronize()
        try file.close()
    }

    /// Reads what a search over the same `signatures` has written.
    package init(reading path: String, signatures: [String], options: DuplicateOptions)
        throws(DatasetError)
    {
        self.init(starts: try SignatureSet(signatures, options: options).starts)
        let file = try FileDescriptor(reading: path)
        let (count, byteCount) = (parents.count, try file.byteCount())
        let expected = 28 + 4 * count + 8 * exact.count
        func damaged(_ found: String) -> DatasetError {
            DatasetError(
                .corrupt, "\(path): expected duplicates among \(count) documents, found \(found)")
        }
        guard byteCount == expected else { throw damaged("\(byteCount) bytes") }
        let bytes = try file.readExactly(byteCount, at: 0)
        var checksum = CRC32C()
        checksum.update(bytes[..<(byteCount - 4)])
        guard checksum.value == bytes.integer(at: byteCount - 4, as: UInt32.self),
            Array(bytes[..<8]) == DuplicateForest.magic,
            bytes.integer(at: 8, as: UInt32.self) == DuplicateForest.version,
            bytes.integer(at: 16, as: UInt64.self) == UInt64(count)
        else { throw damaged("a damaged file") }
        for document in 0..<count {
            let parent = bytes.integer(at: 24 + 4 * document, as: UInt32.self)
            guard parent <= document else { throw damaged("a document after its duplicate") }
            parents[document] = parent
        }
        for index in exact.indices {
            exact[index] = bytes.integer(at: 24 + 4 * count + 8 * index, as: UInt64.self)
        }
    }
}
