// What became of the documents of a unit, in numbers that add up.

import Datasets
import Files
import Foundation

/// A document that was left out, for people to look at.
struct DroppedExample: Codable, Sendable, Equatable {
    let reason: String
    let path: String
    let number: Int
    /// The beginning of its text, or that of which it is a duplicate.
    let text: String
}

/// Numbers of documents by their lengths: bucket b holds those of 2^b … 2^(b+1) − 1, the first those of 0 too.
struct LengthHistogram: Codable, Sendable, Equatable {
    private(set) var counts: [Int] = []

    init() {}

    mutating func add(_ length: Int) {
        let bucket = length < 2 ? 0 : Int.bitWidth - 1 - length.leadingZeroBitCount
        while counts.count <= bucket { counts.append(0) }
        counts[bucket] += 1
    }

    static func += (left: inout LengthHistogram, right: LengthHistogram) {
        while left.counts.count < right.counts.count { left.counts.append(0) }
        for (bucket, count) in right.counts.enumerated() { left.counts[bucket] += count }
    }

    init(from decoder: any Decoder) throws {
        counts = try decoder.singleValueContainer().decode([Int].self)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(counts)
    }
}

/// What the first stage made of a unit: read, cleaned, signed.
struct CleaningReport: Codable, Sendable, Equatable {
    /// Examples of a reason that are kept.
    static let mostExamples = 3

    var files = 0
    var readBytes = 0
    var unpackedBytes = 0
    var emptyFiles = 0
    /// Documents that the files held.
    var documents = 0
    /// Why some were no documents, by name.
    var unread: [String: Int] = [:]
    var cleaning = CleaningCounts()
    var contaminated = 0
    /// Of the documents that are left: UTF-8.
    var bytes = LengthHistogram()
    var kept = 0
    /// The greatest class of a labelled text; −1: there is none.
    var highestLabel = -1
    var examples: [DroppedExample] = []

    mutating func add(_ counts: ReadingCounts) {
        readBytes += counts.readBytes
        unpackedBytes += counts.unpackedBytes
        emptyFiles += counts.emptyFiles
        documents += counts.documents
        for reason in UnreadReason.allCases where counts[reason] > 0 {
            unread[reason.name, default: 0] += counts[reason]
        }
    }

    mutating func addExample(_ reason: String, of document: Document, in path: String) {
        guard examples.count(where: { $0.reason == reason }) < Self.mostExamples else { return }
        examples.append(
            DroppedExample(
                reason: reason, path: path, number: document.number,
                text: document.parts.map { String(decoding: $0.text.prefix(240), as: UTF8.self) }
                    .joined(separator: " | ").printable(most: 240)))
    }

    static func += (left: inout CleaningReport, right: CleaningReport) {
        left.files += right.files
        left.readBytes += right.readBytes
        left.unpackedBytes += right.unpackedBytes
        left.emptyFiles += right.emptyFiles
        left.documents += right.documents
        left.unread.merge(right.unread, uniquingKeysWith: +)
        left.cleaning += right.cleaning
        left.contaminated += right.contaminated
        left.bytes += right.bytes
        left.kept += right.kept
        left.highestLabel = max(left.highestLabel, right.highestLabel)
        left.add(right.examples)
    }

    private mutating func add(_ others: [DroppedExample]) {
        for example in others
        where examples.count(where: { $0.reason == example.reason }) < Self.mostExamples {
            examples.append(example)
        }
    }
}

/// What the second stage made of a unit: shards.
struct TokenReport: Codable, Sendable, Equatable {
    struct Shard: Codable, Sendable, Equatable {
        let file: String
        let tokens: Int
        let fingerprint: String
    }

    struct Split: Codable, Sendable, Equatable {
        var shards: [Shard] = []
        var documents = 0
        var tokens = 0
        var bytes = 0
        /// Of documents, in tokens.
        var lengths = LengthHistogram()
    }

    var train = Split()
    var validation = Split()
    var test = Split()
    var exactDuplicates = 0
    var nearDuplicates = 0
}

/// Small files of the stages: JSON with sorted keys.
enum StageFile {
    /// - Parameter isSealed: whether a line with the digest follows, by which `read` tells that nothing was changed.
    static func write(
        _ value: some Encodable, to path: String, isSealed: Bool = true
    ) throws(DatasetError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else {
            preconditionFailure("StageFile: expected a value that JSON has, got \(value)")
        }
        let text = Array(data) + [0x0A]
        let seal = isSealed ? Array((SHA256.digest(of: text).hexadecimal + "\n").utf8) : []
        try Folder.write(text + seal, to: path)
    }

    /// Nil where it is not there, or is not what was written.
    static func read<Value: Decodable>(
        _ type: Value.Type, from path: String, isSealed: Bool = true
    ) -> Value? {
        guard let bytes = try? Folder.read(path, limit: 64 << 20) else { return nil }
        let sealCount = isSealed ? 65 : 0
        guard bytes.count > sealCount else { return nil }
        let text = Array(bytes.dropLast(sealCount))
        if isSealed {
            let seal = Array((SHA256.digest(of: text).hexadecimal + "\n").utf8)
            guard Array(bytes.suffix(sealCount)) == seal else { return nil }
        }
        return try? JSONDecoder().decode(type, from: Data(text))
    }
}
