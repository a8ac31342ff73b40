// The search over the signatures of all units. Nothing is spilled: where hashes and document numbers do not fit into memory,
// a column is read several times and each pass takes a part of all hashes, so that equal ones meet.

import Datasets
import Foundation
import Synchronization

/// Finds the duplicates among documents whose signatures have been written.
package enum DuplicateSearch {
    /// What is done, for a report.
    package struct Figures: Sendable, Equatable {
        /// Pairs whose shingles were compared.
        package var compared = 0
        /// Of those, pairs of the threshold or above.
        package var confirmed = 0
    }

    /// The number of documents of a file of signatures that was made with `options`; nil where there is none, where it
    /// was made otherwise or is damaged at its ends, so that it must be made anew. What lies between is checked when it is read.
    package static func documentCount(
        ofSignatures path: String, options: DuplicateOptions
    ) -> Int? {
        guard let layout = try? SignatureFile(path).layout, layout.fits(SignatureLayout(options))
        else { return nil }
        return layout.documentCount
    }

    /// The duplicates: of documents with the same bytes the first stays, in the order of `signatures` and of the
    /// documents in each; then of each cluster of near duplicates, which are the components of the graph whose edges
    /// are pairs that share a band, stand within 64 documents of each other among those that do, and have a
    /// similarity of at least the threshold.
    ///
    /// The result depends on the documents and their order alone, not on how they are cut into units, nor on `memory`, `threads`
    /// or shares.
    ///
    /// - Parameters:
    ///   - signatures: a file a unit, in order.
    ///   - memory: bytes that tables for hashes may take, beyond about 16 a document.
    ///   - share: which of so many shares of the bands to search; the forests of all are to be merged.
    /// - Throws: `corrupt` for a damaged file, `mismatch` for one that was made with other options.
    package static func forest(
        signatures: [String], options: DuplicateOptions, memory: Int = 1 << 29, threads: Int = 1,
        share: (index: Int, count: Int) = (0, 1)
    ) throws(DatasetError) -> (DuplicateForest, Figures) {
        options.check()
        precondition(
            threads >= 1 && 0..<share.count ~= share.index && memory > 0,
            "DuplicateSearch: expected threads, memory and a share, got \(threads), \(memory), "
                + "\(share)")
        let files = try SignatureSet(signatures, options: options)
        var forest = DuplicateForest(starts: files.starts)
        if options.exact {
            try ExactSearch.search(files, memory: memory, forest: &forest)
        }
        guard options.near else { return (forest, Figures()) }
        let places = try Places(files)
        // Bands as their turn comes, so that shares and threads have alike many.
        let bands = Array(stride(from: share.index, to: files.layout.bandCount, by: share.count))
        let workers = min(threads, max(1, bands.count))
        if workers == 1 {
            var search = NearSearch(files, places, options, memory: memory)
            for band in bands { try search.search(band, forest: &forest) }
            forest.flatten()
            return (forest, search.figures)
        }
        let job = Job(
            signatures: signatures, options: options, memory: memory / workers, workers: workers,
            bands: bands, places: places, start: forest)
        return try job.run(into: &forest)
    }

    /// What threads share.
    private struct Job: Sendable {
        let signatures: [String]
        let options: DuplicateOptions
        let memory: Int
        let workers: Int
        let bands: [Int]
        let places: Places
        let start: DuplicateForest

        func run(into forest: inout DuplicateForest) throws(DatasetError) -> (
            DuplicateForest, Figures
        ) {
            typealias Part = Result<(DuplicateForest, Figures), DatasetError>
            let parts = Mutex([Part?](repeating: nil, count: workers))
            DispatchQueue.concurrentPerform(iterations: workers) { worker in
                let part: Part
                do throws(DatasetError) {
                    part = .success(try self.part(worker))
                } catch {
                    part = .failure(error)
                }
                parts.withLock { $0[worker] = part }
            }
            var figures = Figures()
            for part in parts.withLock({ $0 }) {
                guard let (found, count) = try part?.get() else { continue }
                forest.merge(found)
                figures.compared += count.compared
                figures.confirmed += count.confirmed
            }
            return (forest, figures)
        }

        private func part(_ worker: Int) throws(DatasetError) -> (DuplicateForest, Figures) {
            var forest = start
            var search = NearSearch(
                try SignatureSet(signatures, options: options), places, options, memory: memory)
            for index in stride(from: worker, to: bands.count, by: workers) {
                try search.search(bands[index], forest: &forest)
            }
            return (forest, search.figures)
        }
    }
}

/// Where each document's set of shingles stands in its unit's file.
struct Places: Sendable {
    private let places: [UInt32]
    private let starts: [Int]
    /// Words of the sets of each unit.
    private let ends: [Int]

    init(_ files: SignatureSet) throws(DatasetError) {
        var (places, ends) = ([UInt32](), [Int]())
        places.reserveCapacity(files.documentCount)
        for unit in files.paths.indices {
            let file = try files.file(unit)
            var last: UInt32 = 0
            var isAscending = true
            try file.read(.places, as: UInt32.self) { place in
                if place < last { isAscending = false }
                last = place
                places.append(place)
            }
            guard isAscending, last <= file.layout.wordCount else {
                throw SignatureFile.damaged(file.path, "places in order, found others")
            }
            ends.append(file.layout.wordCount)
        }
        (self.places, self.starts, self.ends) = (places, files.starts, ends)
    }

    /// Whether a document has words.
    func hasShingles(_ document: Int, unit: Int) -> Bool { !range(document, unit: unit).isEmpty }

    /// In words of 4 bytes.
    func range(_ document: Int, unit: Int) -> Range<Int> {
        let end = document + 1 < starts[unit + 1] ? Int(places[document + 1]) : ends[unit]
        return Int(places[document])..<end
    }
}

/// Documents of the same bytes.
enum ExactSearch {
    /// Bytes of a place in the table: the hash and a document.
    private static let slotByteCount = 20

    static func search(
        _ files: SignatureSet, memory: Int, forest: inout DuplicateForest
    ) throws(DatasetError) {
        let count = files.documentCount
        guard count > 1 else { return }
        // Tables of a power of two are between half and a quarter full, or hold a part of all documents.
        var capacity = 4
        while capacity < 2 * count { capacity *= 2 }
        var passes = 1
        while capacity > 1 << 12, capacity * slotByteCount > memory {
            capacity /= 2
            passes *= 2
        }
        for pass in 0..<passes {
            try search(files, pass, of: passes, capacity: capacity, forest: &forest)
        }
    }

    private static func search(
        _ files: SignatureSet, _ pass: Int, of passes: Int, capacity: Int,
        forest: inout DuplicateForest
    ) throws(DatasetError) {
        var hashes = [UInt64](repeating: 0, count: 2 * capacity)
        // 0: nothing here; else the document's number and 1.
        var documents = [UInt32](repeating: 0, count: capacity)
        let mask = UInt64(capacity - 1)
        var (next, low, isLow) = (0, UInt64(0), true)
        var used = 0
        try files.read(.exact, as: UInt64.self) { word in
            defer { isLow.toggle() }
            if isLow {
                low = word
                return
            }
            let document = next
            next += 1
            guard (Int(word >> 32) * passes) >> 32 == pass else { return }
            var slot = Int(low & mask)
            while documents[slot] != 0 {
                if hashes[2 * slot] == low, hashes[2 * slot + 1] == word {
                    forest.join(documents[slot] - 1, UInt32(document))
                    forest.markExact(document)
                    return
                }
                slot = (slot + 1) & Int(mask)
            }
            used += 1
            precondition(used < capacity, "ExactSearch: expected spread hashes, got others")
            (hashes[2 * slot], hashes[2 * slot + 1]) = (low, word)
            documents[slot] = UInt32(document) + 1
        }
    }
}
