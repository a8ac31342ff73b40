// The first stage, unit by unit: files are read, their documents cleaned and judged, and what is left is written with
// its signatures. A unit's result is a folder that appears under its name when it is whole.

import Datasets
import Dispatch
import Files
import Foundation

struct CleaningStage {
    static let textsName = "texts"
    static let signaturesName = "signatures"
    static let reportName = "report.json"

    /// Bytes of documents that a thread is given at a time.
    private static let shareByteCount = 4 << 20
    private static let mostClasses = 1 << 20

    private let configuration: PreparationConfiguration
    private let reading: ReadingOptions
    private let contamination: ContaminationIndex
    private let cleaners: [CleanerOfThread]

    /// - Parameter contamination: of the test sets; empty where there are none.
    init(
        _ configuration: PreparationConfiguration, _ named: NamedFiles,
        contamination: ContaminationIndex, threads: Int
    ) throws(DatasetError) {
        self.configuration = configuration
        self.contamination = contamination
        reading = configuration.readingOptions
        var cleaners: [CleanerOfThread] = []
        let cleaning = named.options(configuration.cleaning)
        for _ in 0..<threads { cleaners.append(CleanerOfThread(try Cleaner(cleaning))) }
        self.cleaners = cleaners
    }

    /// Makes `folder` of the files of `unit`.
    func run(_ unit: PreparationUnit, into folder: String) throws(DatasetError) {
        let temporary = Folder.temporary(beside: folder)
        try Folder.create(temporary)
        defer { Folder.discard(temporary) }
        let report = try clean(unit, into: temporary)
        try StageFile.write(report, to: Folder.join(temporary, Self.reportName))
        if try !Folder.publish(temporary, as: folder) {
            // Left by a run that was ended within it, or damaged.
            Folder.discard(folder)
            guard try Folder.publish(temporary, as: folder) else {
                throw DatasetError(
                    .inputOutput,
                    "\(folder): expected a name that is free, found that another process makes it; prepare "
                        + "again when it is done")
            }
        }
    }

    private func clean(
        _ unit: PreparationUnit, into folder: String
    ) throws(DatasetError) -> CleaningReport {
        // What a unit that failed has left in them.
        for cleaner in cleaners { _ = cleaner.takeCounts() }
        var report = CleaningReport()
        report.files = unit.files.count
        var texts = try PreparedTextsWriter(path: Folder.join(folder, Self.textsName))
        var signatures = try SignatureWriter(
            path: Folder.join(folder, Self.signaturesName), options: configuration.duplicates)
        var errors: [DatasetError] = []
        for file in unit.files {
            do throws(DatasetError) {
                try clean(file, &report, &texts, &signatures)
            } catch {
                errors.append(error)
                // What a full disk or a broken file of ours says once it says for every file.
                if error.kind == .inputOutput { break }
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        for cleaner in cleaners { report.cleaning += cleaner.takeCounts() }
        try texts.finish()
        try signatures.finish()
        return report
    }

    private func clean(
        _ file: PreparationUnit.File, _ report: inout CleaningReport,
        _ texts: inout PreparedTextsWriter, _ signatures: inout SignatureWriter
    ) throws(DatasetError) {
        var reader =
            if let target = file.target {
                try DocumentReader(source: file.path, target: target, options: reading)
            } else {
                try DocumentReader(path: file.path, options: reading)
            }
        var isAtEnd = false
        var total = 0
        while !isAtEnd {
            var (documents, byteCount): ([Document], Int) = ([], 0)
            let wanted = Self.shareByteCount * cleaners.count
            while byteCount < wanted {
                guard let document = try reader.next() else {
                    isAtEnd = true
                    break
                }
                let size = document.parts.reduce(64) { $0 + $1.text.count }
                byteCount += size
                total += size
                guard document.label ?? 0 < Self.mostClasses else {
                    throw DatasetError(
                        .mismatch,
                        "\(file.path): document \(document.number): expected a class below "
                            + "\(Self.mostClasses), found \(document.label ?? 0)")
                }
                documents.append(document)
            }
            // Entries of a catalogue may lie over one another.
            guard total <= 64 << 20 + 64 * reader.counts.unpackedBytes else {
                throw DatasetError(
                    .corrupt,
                    "\(file.path): expected documents of the size of their file, found \(total) bytes in one "
                        + "of \(reader.counts.unpackedBytes)")
            }
            for (document, outcome) in judged(documents) {
                switch outcome {
                case .kept:
                    try texts.append(document)
                    try signatures.append(document.parts)
                    report.kept += 1
                    report.highestLabel = max(report.highestLabel, document.label ?? -1)
                    report.bytes.add(document.parts.reduce(0) { $0 + $1.text.count })
                case .dropped(let reason):
                    report.addExample(reason, of: document, in: file.path)
                case .contaminated(let shared):
                    report.contaminated += 1
                    report.addExample("contaminated", of: shared, in: file.path)
                }
            }
        }
        report.add(reader.counts)
    }

    private enum Outcome: Sendable {
        case kept
        case dropped(String)
        /// With the words that it shares with a test, as a document to show.
        case contaminated(Document)
    }

    /// The documents as cleaning leaves them, in their order, by all threads.
    private func judged(_ documents: [Document]) -> [(Document, Outcome)] {
        let threads = min(cleaners.count, documents.count)
        guard threads > 1 else {
            return documents.map { judged($0, by: cleaners[0]) }
        }
        return [(Document, Outcome)](unsafeUninitializedCapacity: documents.count) {
            results, initialized in
            nonisolated(unsafe) let base = results.baseAddress!
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                for index in stride(from: thread, to: documents.count, by: threads) {
                    (base + index).initialize(to: judged(documents[index], by: cleaners[thread]))
                }
            }
            initialized = documents.count
        }
    }

    private func judged(
        _ document: Document, by cleaner: CleanerOfThread
    ) -> (Document, Outcome) {
        var cleaned = document
        if case .drop(let reason) = cleaner.cleaner.clean(&cleaned) {
            return (document, .dropped(reason.rawValue))
        }
        guard contamination.count > 0 else { return (cleaned, .kept) }
        let overlap = contamination.overlap(of: cleaned.parts)
        guard overlap.count > 0 else { return (cleaned, .kept) }
        var shared = cleaned
        if let first = overlap.first {
            shared.parts = [.init(.text, Array(cleaned.parts[first.part].text[first.bytes]))]
        }
        return (cleaned, .contaminated(shared))
    }
}

/// A cleaner, which one thread at a time uses.
private final class CleanerOfThread: @unchecked Sendable {
    var cleaner: Cleaner

    init(_ cleaner: Cleaner) { self.cleaner = cleaner }

    /// What it has done since the last time.
    func takeCounts() -> CleaningCounts {
        defer { cleaner.counts = CleaningCounts() }
        return cleaner.counts
    }
}
