// The last stage, unit by unit: duplicates are left out, each document goes to its split by its hash, texts become
// tokens, and tokens shards.

import Datasets
import Dispatch
import Files
import Foundation
import Tokenizers

struct TokenStage {
    static let reportName = "tokens.json"
    private static let batchByteCount = 4 << 20

    private let configuration: PreparationConfiguration
    private let tokenizer: Tokenizer
    private let encoders: [EncoderOfThread]
    private let kind: SampleKind
    private let (markCount, classes): (Int, Int)

    init(
        _ configuration: PreparationConfiguration, tokenizer: Tokenizer, classes: Int,
        threads: Int
    ) {
        (self.configuration, self.tokenizer) = (configuration, tokenizer)
        kind = configuration.sampleKind
        (markCount, self.classes) = (Record.markCount(of: kind, classes: classes), classes)
        encoders = (0..<threads).map { _ in EncoderOfThread(tokenizer) }
    }

    /// Makes `folder` of the texts that the first stage left in `cleaned`, without `dropped`.
    func run(
        cleaned: String, dropped: [DroppedDocument], into folder: String
    ) throws(DatasetError) {
        let temporary = Folder.temporary(beside: folder)
        try Folder.create(temporary)
        defer { Folder.discard(temporary) }
        let report = try write(cleaned: cleaned, dropped: dropped, into: temporary)
        try StageFile.write(report, to: Folder.join(temporary, Self.reportName))
        if try !Folder.publish(temporary, as: folder) {
            Folder.discard(folder)
            _ = try Folder.publish(temporary, as: folder)
        }
    }

    private func write(
        cleaned: String, dropped: [DroppedDocument], into folder: String
    ) throws(DatasetError) -> TokenReport {
        var report = TokenReport()
        report.exactDuplicates = dropped.count { $0.reason == .exact }
        report.nearDuplicates = dropped.count - report.exactDuplicates
        let texts = try PreparedTextsReader(
            path: Folder.join(cleaned, CleaningStage.textsName))
        var splits = SplitShards(
            folder: folder, tokenizer: tokenizer, kind: kind, markCount: markCount,
            most: configuration.output.shardTokens)
        var (number, next, isAtEnd) = (0, 0, false)
        while !isAtEnd {
            var (documents, byteCount): ([Document], Int) = ([], 0)
            while byteCount < Self.batchByteCount * encoders.count {
                guard let document = try texts.read() else {
                    isAtEnd = true
                    break
                }
                // The file's checksum stands behind all of them.
                guard document.label.map({ $0 < classes }) ?? true else {
                    throw DatasetError(
                        .corrupt,
                        "\(Folder.join(cleaned, CleaningStage.textsName)): label: expected a class below "
                            + "\(classes), found \(document.label ?? 0); remove the file and prepare again"
                    )
                }
                if next < dropped.count, dropped[next].number == number {
                    next += 1
                } else {
                    documents.append(document)
                    byteCount += document.parts.reduce(64) { $0 + $1.text.count }
                }
                number += 1
            }
            for (document, ids) in zip(documents, try encoded(documents)) {
                let split = split(of: document)
                try splits.append(ids, to: split)
                report.add(
                    tokens: ids.count, bytes: document.parts.reduce(0) { $0 + $1.text.count },
                    to: split)
            }
        }
        try splits.finish(into: &report)
        return report
    }

    /// By its hash alone, so that a document is in the same split whatever else there is.
    private func split(of document: Document) -> PreparedSplit {
        let hash = document.splitHash
        let place = Double(hash >> 11) / Double(1 << 53)
        let output = configuration.output
        if place < output.validationFraction { return .validation }
        return place < output.validationFraction + output.testFraction ? .test : .train
    }

    private func encoded(_ documents: [Document]) throws(DatasetError) -> [[Int32]] {
        let threads = min(encoders.count, documents.count)
        guard threads > 0 else { return [] }
        typealias Part = Result<[Int32], DatasetError>
        let parts = [Part](unsafeUninitializedCapacity: documents.count) { results, initialized in
            nonisolated(unsafe) let base = results.baseAddress!
            DispatchQueue.concurrentPerform(iterations: threads) { thread in
                for index in stride(from: thread, to: documents.count, by: threads) {
                    (base + index).initialize(to: encoders[thread].ids(of: documents[index], kind))
                }
            }
            initialized = documents.count
        }
        var ids: [[Int32]] = []
        ids.reserveCapacity(parts.count)
        for part in parts { ids.append(try part.get()) }
        return ids
    }
}

/// The splits of a prepared folder.
enum PreparedSplit: String, CaseIterable, Sendable {
    case train, validation, test
}

extension Document {
    /// Drawn of its texts for nothing but its split.
    fileprivate var splitHash: UInt64 {
        var hash: UInt64 = 0x6D75_726D_7572_6174
        for part in parts {
            let own = part.text.withUnsafeBytes { Hash128($0, seed: hash) }
            hash = own.low ^ UInt64(bitPattern: Int64(part.role.rawValue))
        }
        return hash
    }
}

extension TokenReport {
    fileprivate mutating func add(tokens: Int, bytes: Int, to split: PreparedSplit) {
        self[split].documents += 1
        self[split].tokens += tokens
        self[split].bytes += bytes
        self[split].lengths.add(tokens)
    }

    subscript(split: PreparedSplit) -> Split {
        get {
            switch split {
            case .train: train
            case .validation: validation
            case .test: test
            }
        }
        set {
            switch split {
            case .train: train = newValue
            case .validation: validation = newValue
            case .test: test = newValue
            }
        }
    }
}

/// The shards of a unit under way, one for each split.
private struct SplitShards: ~Copyable {
    private let folder: String
    private let tokenizer: Tokenizer
    private let kind: SampleKind
    private let markCount: Int
    /// Tokens of a shard, but where a document has more.
    private let most: Int
    private var train: TokenShardWriter?
    private var validation: TokenShardWriter?
    private var test: TokenShardWriter?
    private var names: [PreparedSplit: [String]] = [:]

    init(
        folder: String, tokenizer: Tokenizer, kind: SampleKind, markCount: Int, most: Int
    ) {
        (self.folder, self.tokenizer, self.kind) = (folder, tokenizer, kind)
        (self.markCount, self.most) = (markCount, most)
    }

    mutating func append(_ ids: [Int32], to split: PreparedSplit) throws(DatasetError) {
        if ids.isEmpty { return }
        var shard = take(split)
        if let count = shard?.tokenCount, count + ids.count > most {
            try shard.take()?.finish()
        }
        if shard == nil {
            let number = names[split, default: []].count
            let name = "\(split.rawValue)-\(number).tokens"
            names[split, default: []].append(name)
            shard = try TokenShardWriter(
                path: Folder.join(folder, name), vocabularySize: tokenizer.vocabularySize,
                tokenizerDigest: tokenizer.digestBytes, tellsOfDocuments: true, kind: kind,
                markCount: markCount)
        }
        shard?.beginDocument()
        try shard?.append(ids[...])
        put(shard.take(), split)
    }

    private mutating func take(_ split: PreparedSplit) -> TokenShardWriter? {
        switch split {
        case .train: train.take()
        case .validation: validation.take()
        case .test: test.take()
        }
    }

    private mutating func put(_ shard: consuming TokenShardWriter?, _ split: PreparedSplit) {
        switch split {
        case .train: train = shard
        case .validation: validation = shard
        case .test: test = shard
        }
    }

    consuming func finish(into report: inout TokenReport) throws(DatasetError) {
        try train.take()?.finish()
        try validation.take()?.finish()
        try test.take()?.finish()
        for split in PreparedSplit.allCases {
            for name in names[split, default: []] {
                let stream = try TokenStream(paths: [Folder.join(folder, name)])
                report[split].shards.append(
                    TokenReport.Shard(
                        file: name, tokens: stream.count,
                        fingerprint: stream.shardFingerprints[0]))
            }
        }
    }
}

/// Makes tokens of documents on one thread.
private final class EncoderOfThread: @unchecked Sendable {
    private let tokenizer: Tokenizer
    private let encoder: TextEncoder?

    init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
        if case .pipeline(let own) = tokenizer {
            encoder = TextEncoder(own.pipeline)
        } else {
            encoder = nil
        }
    }

    func ids(of document: Document, _ kind: SampleKind) -> Result<[Int32], DatasetError> {
        do throws(DatasetError) {
            if kind == .text {
                var ids = tokenizer.documentStart
                for part in document.parts { try append(part.text, to: &ids) }
                return .success(ids)
            }
            var record = Record(parts: [], label: document.label.map { Int32($0) })
            for part in document.parts {
                var tokens: [Int32] = []
                try append(part.text, to: &tokens)
                record.parts.append(Record.Part(part.role, tokens))
            }
            return .success(record.ids(vocabularySize: tokenizer.vocabularySize))
        } catch {
            return .failure(error)
        }
    }

    private func append(_ text: [UInt8], to ids: inout [Int32]) throws(DatasetError) {
        guard let encoder else {
            ids.append(contentsOf: text.lazy.map { Int32($0) })
            return
        }
        do throws(TokenizerError) {
            try encoder.encode(text, into: &ids)
        } catch {
            throw DatasetError(.invalidText, "text: \(error.message)")
        }
    }
}
