// Locality-sensitive hashing by bands (Indyk and Motwani 1998; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets",
// section 3.4): documents whose r minima of one band are equal are compared, and joined where they are alike indeed.

import Datasets

/// Searches one band after another.
struct NearSearch {
    private let files: SignatureSet
    private let places: Places
    private let threshold: Double
    private let memory: Int
    private(set) var figures = DuplicateSearch.Figures()

    /// Pairs that are known not to be alike: each at the place its hash gives it, the last one there stays. What is
    /// forgotten is compared again.
    private var rejected: [UInt64] = []
    /// Sets in use, each at the place its document's number gives it.
    private var sets: [(document: Int, set: ShingleSet)?]

    /// Hash in the upper half, document in the lower.
    private var entries: [UInt64] = []
    private var scratch: [UInt64] = []

    private static let rejectedCount = 1 << 18
    private static let setCount = 4 * DuplicateOptions.window
    /// Bytes of an entry, and of its place in the scratch.
    private static let entryByteCount = 16

    init(_ files: SignatureSet, _ places: Places, _ options: DuplicateOptions, memory: Int) {
        (self.files, self.places, self.memory) = (files, places, memory)
        threshold = options.threshold
        sets = Array(repeating: nil, count: NearSearch.setCount)
    }

    mutating func search(_ band: Int, forest: inout DuplicateForest) throws(DatasetError) {
        let most = max(1 << 10, memory / NearSearch.entryByteCount)
        let passes = (files.documentCount + most - 1) / most
        for pass in 0..<passes {
            try collect(band, pass, of: passes, forest)
            RadixSort.sort(&entries, scratch: &scratch)
            var start = 0
            while start < entries.count {
                var end = start + 1
                while end < entries.count, entries[end] >> 32 == entries[start] >> 32 { end += 1 }
                if end - start > 1 { try compare(start..<end, forest: &forest) }
                start = end
            }
        }
    }

    /// The band's entries of a pass: of documents that have words and are no exact duplicates.
    private mutating func collect(
        _ band: Int, _ pass: Int, of passes: Int, _ forest: DuplicateForest
    ) throws(DatasetError) {
        entries.removeAll(keepingCapacity: true)
        entries.reserveCapacity(files.documentCount / passes)
        var document = 0
        for unit in files.paths.indices {
            try files.file(unit).read(.band(band), as: UInt32.self) { hash in
                if (Int(hash) * passes) >> 32 == pass, !forest.isExact(document),
                    places.hasShingles(document, unit: unit)
                {
                    entries.append(UInt64(hash) << 32 | UInt64(document))
                }
                document += 1
            }
        }
    }

    /// Compares each document of a bucket with those shortly before it, unless both are in one cluster already.
    private mutating func compare(
        _ bucket: Range<Int>, forest: inout DuplicateForest
    ) throws(DatasetError) {
        for later in bucket.dropFirst() {
            let first = max(bucket.lowerBound, later - DuplicateOptions.window)
            let document = UInt32(truncatingIfNeeded: entries[later])
            var root = forest.root(of: document)
            for earlier in (first..<later).reversed() {
                let other = UInt32(truncatingIfNeeded: entries[earlier])
                if forest.root(of: other) == root { continue }
                let pair = UInt64(document) << 32 | UInt64(other)
                let slot = Int(WordHashes.mixed(pair) & UInt64(NearSearch.rejectedCount - 1))
                if !rejected.isEmpty, rejected[slot] == pair { continue }
                figures.compared += 1
                guard try similarity(Int(other), Int(document)) >= threshold else {
                    if rejected.isEmpty {
                        rejected = Array(repeating: 0, count: NearSearch.rejectedCount)
                    }
                    rejected[slot] = pair
                    continue
                }
                figures.confirmed += 1
                forest.join(other, document)
                root = forest.root(of: document)
            }
        }
    }

    private mutating func similarity(_ one: Int, _ other: Int) throws(DatasetError) -> Double {
        let set = try shingles(of: other)
        return try shingles(of: one).similarity(set)
    }

    private mutating func shingles(of document: Int) throws(DatasetError) -> ShingleSet {
        let slot = document % NearSearch.setCount
        if let known = sets[slot], known.document == document { return known.set }
        let unit = files.unit(of: document)
        let range = places.range(document, unit: unit)
        let set = try files.file(unit).shingles(range)
        sets[slot] = (document, set)
        return set
    }
}

/// Sorts by the upper 32 bits and leaves what is equal there in its order: three rounds of counting, the lowest digit first.
enum RadixSort {
    static func sort(_ entries: inout [UInt64], scratch: inout [UInt64]) {
        let count = entries.count
        if scratch.count < count { scratch = [UInt64](repeating: 0, count: count) }
        for (shift, bits) in [(UInt64(32), 11), (43, 11), (54, 10)] {
            var ends = [Int](repeating: 0, count: 1 << bits)
            let mask = UInt64(1 << bits - 1)
            entries.withUnsafeBufferPointer { from in
                for entry in from { ends[Int(entry >> shift & mask)] += 1 }
                var next = 0
                for digit in ends.indices { (ends[digit], next) = (next, next + ends[digit]) }
                scratch.withUnsafeMutableBufferPointer { to in
                    for entry in from {
                        let digit = Int(entry >> shift & mask)
                        to[ends[digit]] = entry
                        ends[digit] += 1
                    }
                }
            }
            swap(&entries, &scratch)
            // Both are as long as the longest so far; what lies behind is no entry.
            if entries.count > count { entries.removeLast(entries.count - count) }
            if scratch.count < count {
                scratch.append(contentsOf: repeatElement(0, count: count - scratch.count))
            }
        }
    }
}
