import Files
import Foundation

/// The tokens of several shards as one array.
public struct TokenStream: Sendable {
    private let shards: [TokenShard]
    /// Index in the stream of each shard's first token, and the end.
    private let starts: [Int]
    /// SHA-256 that names tokenizer, order and content of the shards: 64 hexadecimal digits.
    public let fingerprint: String
    public let vocabularySize: Int
    /// Digest of the tokenizer that made the tokens: 64 hexadecimal digits.
    public let tokenizerDigest: String
    /// What a document is.
    public let kind: SampleKind
    /// Ids that are no tokens of the vocabulary, behind it.
    let markCount: Int
    /// Number in the stream of each shard's first document, and the end; nil where a shard tells of none.
    private let documentStarts: [Int]?

    /// Number of tokens.
    public var count: Int { starts[starts.count - 1] }
    public var paths: [String] { shards.map(\.path) }
    var shardCounts: [Int] { shards.map(\.layout.tokenCount) }
    package var shardFingerprints: [String] { shards.map(\.fingerprint) }

    /// Opens the shards at `paths`, in this order, and checks header, size and checksums' table of each;
    /// the problems of all shards are reported at once.
    ///
    /// - Parameter vocabulary: of the tokenizer of files that other programs wrote.
    package init(paths: [String], vocabulary: ForeignVocabulary? = nil) throws(DatasetError) {
        precondition(!paths.isEmpty, "TokenStream: expected at least one shard, got none")
        var (shards, errors): ([TokenShard], [DatasetError]) = ([], [])
        for path in paths {
            do throws(DatasetError) {
                let shard = try TokenShard(path: path, vocabulary: vocabulary)
                if let first = shards.first { try TokenStream.check(shard, belongsTo: first) }
                shards.append(shard)
            } catch {
                errors.append(error)
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        self.shards = shards
        starts = shards.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.layout.tokenCount) }
        vocabularySize = shards[0].layout.vocabularySize
        tokenizerDigest = shards[0].layout.tokenizerDigest.hexadecimal
        kind = shards[0].layout.kind
        markCount = shards[0].layout.idLimit - vocabularySize
        documentStarts =
            shards.contains { $0.documents == nil }
            ? nil
            : shards.reduce(into: [0]) { $0.append($0[$0.count - 1] + ($1.documents?.count ?? 0)) }
        let listing = shards.map(\.fingerprint).joined(separator: "\n")
        fingerprint = SHA256.digest(of: Array(listing.utf8)).hexadecimal
    }

    /// SHA-256 that names where documents are; of a file that does not tell, only that.
    package var documentsFingerprint: String {
        let listing = shards.map { $0.documents?.fingerprint ?? "none" }.joined(separator: "\n")
        return SHA256.digest(of: Array(listing.utf8)).hexadecimal
    }

    /// Opens the shards that file names or patterns name, sorted by name.
    package init(
        patterns: [String], vocabulary: ForeignVocabulary? = nil
    ) throws(DatasetError) {
        try self.init(paths: FilePattern.expand(patterns), vocabulary: vocabulary)
    }

    /// Documents of the stream; nil where its files do not tell where they start. Tokens before the first one
    /// belong to it.
    package var documentCount: Int? { documentStarts?.last }

    /// Where the documents `range` start, and where the last of them ends.
    package func documentBounds(of range: Range<Int>) throws(DatasetError) -> [Int] {
        guard let documentStarts, let total = documentStarts.last else {
            preconditionFailure("TokenStream: documents of files that tell of none")
        }
        precondition(
            range.lowerBound >= 0 && range.upperBound <= total,
            "TokenStream: documents \(range) of \(total)")
        var bounds: [Int] = []
        bounds.reserveCapacity(range.count + 1)
        let wanted = range.lowerBound..<min(total, range.upperBound + 1)
        var next = wanted.lowerBound
        var index = TokenStream.index(of: next, in: documentStarts)
        while next < wanted.upperBound {
            let end = min(wanted.upperBound, documentStarts[index + 1])
            let local = next - documentStarts[index]..<end - documentStarts[index]
            for start in try shards[index].documentStarts(of: local) {
                bounds.append(starts[index] + start)
            }
            next = end
            index += 1
        }
        if range.upperBound == total { bounds.append(count) }
        if range.lowerBound == 0, !bounds.isEmpty { bounds[0] = 0 }
        return bounds
    }

    /// Reads and checks every token, so that damage is found now and not in the middle of a run.
    public func verify() throws(DatasetError) {
        let length = 1 << 20
        var tokens = [Int32](repeating: 0, count: min(length, count))
        for start in stride(from: 0, to: count, by: length) {
            try copy(start..<min(count, start + length), into: &tokens)
        }
    }

    /// Copies the tokens of `range` to the start of `tokens`.
    public func copy(_ range: Range<Int>, into tokens: inout [Int32]) throws(DatasetError) {
        try copy(range, into: &tokens, at: 0)
    }

    /// Copies the tokens of `range` to `tokens`, from element `offset` on.
    func copy(
        _ range: Range<Int>, into tokens: inout [Int32], at offset: Int
    ) throws(DatasetError) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= count,
            "TokenStream: range \(range) of \(count) tokens")
        var (next, output) = (range.lowerBound, offset)
        var index = TokenStream.index(of: next, in: starts)
        while next < range.upperBound {
            let end = min(range.upperBound, starts[index + 1])
            let local = (next - starts[index])..<(end - starts[index])
            try shards[index].copy(local, into: &tokens, at: output)
            output += end - next
            next = end
            index += 1
        }
    }

    /// The last shard that starts at or before `place`, by where shards start.
    private static func index(of place: Int, in starts: [Int]) -> Int {
        var (low, high) = (0, starts.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= place { low = middle } else { high = middle }
        }
        return low
    }

    private static func check(
        _ shard: TokenShard, belongsTo first: TokenShard
    ) throws(DatasetError) {
        guard shard.layout.vocabularySize == first.layout.vocabularySize else {
            throw DatasetError(
                .mismatch,
                "\(shard.path): vocabulary: expected \(first.layout.vocabularySize) as in "
                    + "\(first.path), found \(shard.layout.vocabularySize)")
        }
        guard shard.layout.kind == first.layout.kind,
            shard.layout.idLimit == first.layout.idLimit
        else {
            throw DatasetError(
                .mismatch,
                "\(shard.path): kind: expected \(first.layout.kind.name) with ids below "
                    + "\(first.layout.idLimit) as in \(first.path), found \(shard.layout.kind.name) with "
                    + "ids below \(shard.layout.idLimit)")
        }
        guard shard.layout.tokenizerDigest == first.layout.tokenizerDigest else {
            throw DatasetError(
                .mismatch,
                "\(shard.path): tokenizer: expected \(first.layout.tokenizerDigest.hexadecimal) as in "
                    + "\(first.path), found \(shard.layout.tokenizerDigest.hexadecimal)")
        }
    }
}
