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

    /// Number of tokens.
    public var count: Int { starts[starts.count - 1] }
    public var paths: [String] { shards.map(\.path) }
    var shardCounts: [Int] { shards.map(\.header.tokenCount) }
    var shardFingerprints: [String] { shards.map(\.fingerprint) }

    /// Opens the shards at `paths`, in this order, and checks header, size and checksums' table of each;
    /// the problems of all shards are reported at once.
    public init(paths: [String]) throws(DatasetError) {
        precondition(!paths.isEmpty, "TokenStream: expected at least one shard, got none")
        var (shards, errors): ([TokenShard], [DatasetError]) = ([], [])
        for path in paths {
            do throws(DatasetError) {
                let shard = try TokenShard(path: path)
                if let first = shards.first { try TokenStream.check(shard, belongsTo: first) }
                shards.append(shard)
            } catch {
                errors.append(error)
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        self.shards = shards
        starts = shards.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.header.tokenCount) }
        vocabularySize = shards[0].header.vocabularySize
        tokenizerDigest = shards[0].header.tokenizerDigest.hexadecimal
        let listing = shards.map(\.fingerprint).joined(separator: "\n")
        fingerprint = SHA256.digest(of: Array(listing.utf8)).hexadecimal
    }

    /// Opens the shards that file names or patterns name, sorted by name.
    public init(patterns: [String]) throws(DatasetError) {
        try self.init(paths: FilePattern.expand(patterns))
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
        var index = shardIndex(of: next)
        while next < range.upperBound {
            let end = min(range.upperBound, starts[index + 1])
            let local = (next - starts[index])..<(end - starts[index])
            try shards[index].copy(local, into: &tokens, at: output)
            output += end - next
            next = end
            index += 1
        }
    }

    /// The last shard that starts at or before `token`.
    private func shardIndex(of token: Int) -> Int {
        var (low, high) = (0, shards.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= token { low = middle } else { high = middle }
        }
        return low
    }

    private static func check(
        _ shard: TokenShard, belongsTo first: TokenShard
    ) throws(DatasetError) {
        guard shard.header.vocabularySize == first.header.vocabularySize else {
            throw DatasetError(
                .mismatch,
                "\(shard.path): vocabulary: expected \(first.header.vocabularySize) as in "
                    + "\(first.path), found \(shard.header.vocabularySize)")
        }
        guard shard.header.tokenizerDigest == first.header.tokenizerDigest else {
            throw DatasetError(
                .mismatch,
                "\(shard.path): tokenizer: expected \(first.header.tokenizerDigest.hexadecimal) as in "
                    + "\(first.path), found \(shard.header.tokenizerDigest.hexadecimal)")
        }
    }
}
