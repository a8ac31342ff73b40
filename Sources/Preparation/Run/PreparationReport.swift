// What became of everything that a preparation read: as JSON for programs and as one page for people.

import Datasets
import Files
import Foundation

package struct PreparationReport: Codable, Sendable, Equatable {
    static let jsonName = "report.json"
    static let pageName = "report.html"

    /// What a document is, in words.
    let kind: String
    private(set) var units = 0
    private(set) var cleaning = CleaningReport()
    private(set) var tokens = TokenReport()

    init(kind: SampleKind) { self.kind = kind.name }

    mutating func add(_ cleaned: CleaningReport, _ shards: TokenReport) {
        units += 1
        cleaning += cleaned
        for split in PreparedSplit.allCases {
            tokens[split].documents += shards[split].documents
            tokens[split].tokens += shards[split].tokens
            tokens[split].bytes += shards[split].bytes
            tokens[split].lengths += shards[split].lengths
        }
        tokens.exactDuplicates += shards.exactDuplicates
        tokens.nearDuplicates += shards.nearDuplicates
    }

    /// Documents left out, by what took them, the most first.
    package var losses: [(name: String, count: Int)] {
        var losses = cleaning.unread.map { (name: $0.key, count: $0.value) }
        losses += cleaning.cleaning.dropped.all.map { (name: $0.key.rawValue, count: $0.count) }
        losses += [
            ("contaminated", cleaning.contaminated), ("duplicate", tokens.exactDuplicates),
            ("near_duplicate", tokens.nearDuplicates),
        ]
        return losses.filter { $0.count > 0 }.sorted { ($1.count, $0.name) < ($0.count, $1.name) }
    }

    /// For the end of the command: a line each.
    package var summary: [String] {
        let read = cleaning
        var lines = [
            "read        \(read.files) files, \(read.unpackedBytes) bytes, \(read.documents) documents"
        ]
        for loss in losses { lines.append("left out    \(loss.count) \(loss.name)") }
        for (key, count) in read.cleaning.redactions.all {
            lines.append("redacted    \(count) \(key.rawValue)")
        }
        for split in PreparedSplit.allCases where tokens[split].documents > 0 {
            let name = split.rawValue.padding(toLength: 12, withPad: " ", startingAt: 0)
            lines.append(
                "\(name)\(tokens[split].documents) documents, \(tokens[split].tokens) tokens")
        }
        return lines
    }

    // MARK: Examples of duplicates

    func wantsExample(of document: DroppedDocument) -> Bool {
        examples(document.reason) < CleaningReport.mostExamples
    }

    var hasDuplicateExamples: Bool {
        (tokens.exactDuplicates == 0 || examples(.exact) == CleaningReport.mostExamples)
            && (tokens.nearDuplicates == 0 || examples(.near) == CleaningReport.mostExamples)
    }

    mutating func addExample(
        of dropped: DroppedDocument, _ document: Document, in unit: PreparationUnit,
        kept: PreparationUnit
    ) {
        let path = unit.files[0].path + (unit.files.count > 1 ? " and others" : "")
        cleaning.addExample(Self.name(of: dropped.reason), of: document, in: path)
    }

    private func examples(_ reason: DroppedDocument.Reason) -> Int {
        cleaning.examples.count { $0.reason == Self.name(of: reason) }
    }

    private static func name(of reason: DroppedDocument.Reason) -> String {
        switch reason {
        case .exact: "duplicate"
        case .near: "near_duplicate"
        }
    }

    // MARK: Files

    func write(
        to folder: String, configuration: PreparationConfiguration
    ) throws(DatasetError) {
        try StageFile.write(self, to: Folder.join(folder, Self.jsonName), isSealed: false)
        try Folder.write(
            Array(ReportPage(self, configuration: configuration).html.utf8),
            to: Folder.join(folder, Self.pageName))
    }

    static func read(from folder: String) throws(DatasetError) -> PreparationReport {
        let path = Folder.join(folder, jsonName)
        guard let report = StageFile.read(PreparationReport.self, from: path, isSealed: false)
        else {
            throw DatasetError(
                .corrupt,
                "\(path): expected the report of a preparation, found it missing or damaged; remove the "
                    + "folder and prepare again")
        }
        return report
    }
}
