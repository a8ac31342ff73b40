import Files
import Foundation

/// Shards made from text on first use and found again by what they were made of.
public enum DatasetCache {
    /// Where caches live unless a configuration says otherwise, relative to the current directory.
    public static let defaultFolder = "cache"

    /// The dataset of `text`, from the folder `<cache>/<key>`, which is made where it is missing.
    ///
    /// The key is a digest of tokenizer kind, split, and paths, sizes and content of the files, so text
    /// that changed is another dataset. Any number of processes may ask at once: the first of a host
    /// builds, in a folder of its own that it renames when it is whole; the others wait for it. Where
    /// locks do not reach (several hosts on one disk), the first to finish gives its folder the name.
    public static func dataset(
        text: [String], tokenizer: TokenizerChoice, validationFraction: Double,
        cache: String = defaultFolder
    ) throws(DatasetError) -> PreparedDataset {
        let corpus = try TextCorpus(patterns: text, tokenizer: tokenizer)
        let key = key(of: corpus, validationFraction: validationFraction)
        let folder = Folder.join(cache, key)
        // Of the processes of a host, the first makes the shards and the others wait.
        try Folder.create(cache)
        return try FileDescriptor.withLock(on: Folder.join(cache, "\(key).lock")) {
            () throws(DatasetError) in
            try open(folder, corpus, validationFraction: validationFraction)
        }
    }

    /// The same where the cache has it; nil where it would have to be made. Writes nothing.
    public static func existing(
        text: [String], tokenizer: TokenizerChoice, validationFraction: Double, cache: String
    ) throws(DatasetError) -> PreparedDataset? {
        let corpus = try TextCorpus(patterns: text, tokenizer: tokenizer)
        let folder = Folder.join(cache, key(of: corpus, validationFraction: validationFraction))
        guard Folder.exists(folder) else { return nil }
        return try open(folder, corpus, validationFraction: validationFraction)
    }

    private static func open(
        _ folder: String, _ corpus: TextCorpus, validationFraction: Double
    ) throws(DatasetError) -> PreparedDataset {
        if !Folder.exists(folder) {
            return try DatasetBuilder.build(
                corpus, validationFraction: validationFraction, output: folder)
        }
        do throws(DatasetError) {
            return try PreparedDataset(folder: folder)
        } catch {
            throw DatasetError(
                error.kind, error.message + "; remove \(folder) to have it made again")
        }
    }

    private static func key(of corpus: TextCorpus, validationFraction: Double) -> String {
        let description =
            [
                "murmuration dataset \(DatasetIndex.version) \(TokenShardHeader.versions.upperBound)",
                corpus.tokenizer.digest, String(validationFraction.bitPattern),
            ] + corpus.sources.map { "\($0.bytes) \($0.sha256) \($0.path)" }
        let digest = SHA256.digest(of: Array(description.joined(separator: "\n").utf8))
        return String(digest.hexadecimal.prefix(32))
    }
}
