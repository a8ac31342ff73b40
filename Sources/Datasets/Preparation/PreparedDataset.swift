import Files
import Foundation

/// Token shards of a training and a validation split with the tokenizer that made them.
public struct PreparedDataset: Sendable {
    public let tokenizer: Tokenizer
    public let train: TokenStream
    /// Nil where everything trains.
    public let validation: TokenStream?
    /// Names of the classes of labelled texts, where they have some.
    public var classes: [String] = []

    /// The training split, of which windows are samples.
    public func texts() throws(DatasetError) -> TokenStream {
        guard train.kind == .text else {
            throw DatasetError(
                .mismatch,
                "\(train.paths[0]): expected texts for this model and its objective, found "
                    + "\(train.kind.name)")
        }
        return train
    }

    /// SHA-256 that names tokenizer, content and order of all tokens: 64 hexadecimal digits. A run that
    /// resumes with another one would not see the data it started on.
    ///
    /// - Parameter readsDocuments: whether samples depend on where documents are, as records always do.
    public func fingerprint(readsDocuments: Bool) -> String {
        var parts = [tokenizer.digest, train.fingerprint, validation?.fingerprint ?? ""]
        for stream in [train, validation].compactMap({ $0 })
        where readsDocuments || stream.kind != .text {
            parts.append("\(stream.kind.name) \(stream.documentsFingerprint)")
        }
        return SHA256.digest(of: Array(parts.joined(separator: "\n").utf8)).hexadecimal
    }

    /// The same where samples do not depend on documents.
    public var fingerprint: String { fingerprint(readsDocuments: false) }

    /// Opens a folder that `DatasetBuilder` made and checks it against its index.
    public init(folder: String) throws(DatasetError) {
        let index = try DatasetIndex.load(folder: folder)
        guard !index.train.isEmpty else {
            throw DatasetError(
                .corrupt,
                "\(Folder.join(folder, DatasetIndex.fileName)): train: expected at least 1 shard, found 0"
            )
        }
        try index.requireWhole(in: folder)
        let tokenizer = try Tokenizer.load(Folder.join(folder, Tokenizer.fileName))
        guard index.tokenizerDigest == tokenizer.digest,
            index.vocabulary == tokenizer.vocabularySize
        else {
            throw DatasetError(
                .mismatch,
                "\(Folder.join(folder, DatasetIndex.fileName)): tokenizer_digest, vocabulary: expected "
                    + "\(tokenizer.digest) and \(tokenizer.vocabularySize) of \(Tokenizer.fileName), found "
                    + "\(index.tokenizerDigest) and \(index.vocabulary)")
        }
        guard let train = try PreparedDataset.open(index.train, in: folder) else {
            preconditionFailure("PreparedDataset: expected shards, got none")
        }
        try self.init(
            tokenizer: tokenizer, train: train,
            validation: PreparedDataset.open(index.validation, in: folder))
        classes = index.classes ?? []
    }

    /// Opens every shard of a folder, those that are put aside for tests too, and checks headers against the index.
    package static func check(folder: String) throws(DatasetError) {
        let dataset = try PreparedDataset(folder: folder)
        let index = try DatasetIndex.load(folder: folder)
        guard let test = try open(index.test ?? [], in: folder) else { return }
        _ = try PreparedDataset(tokenizer: dataset.tokenizer, train: test, validation: nil)
    }

    private static func open(
        _ shards: [DatasetIndex.Shard], in folder: String
    ) throws(DatasetError) -> TokenStream? {
        if shards.isEmpty { return nil }
        let stream = try TokenStream(paths: shards.map { Folder.join(folder, $0.file) })
        for (number, shard) in shards.enumerated() {
            guard stream.shardFingerprints[number] == shard.fingerprint,
                stream.shardCounts[number] == shard.tokens
            else {
                throw DatasetError(
                    .mismatch,
                    "\(stream.paths[number]): fingerprint: expected \(shard.fingerprint) of "
                        + "\(DatasetIndex.fileName), found \(stream.shardFingerprints[number])")
            }
        }
        return stream
    }

    /// Opens shards by file names or patterns; the tokenizer is the `tokenizer.json` beside the first, or, of files
    /// that other programs wrote, the one that is named.
    public init(
        train: [String], validation: [String], tokenizer choice: TokenizerChoice = .byte
    ) throws(DatasetError) {
        let trainPaths = try FilePattern.expand(train)
        let beside = Folder.join(Folder.parent(of: trainPaths[0]), Tokenizer.fileName)
        let tokenizer: Tokenizer
        if !Folder.exists(beside), let named = try choice.load() {
            tokenizer = .pipeline(named)
        } else {
            tokenizer = try Tokenizer.load(beside)
        }
        let vocabulary = ForeignVocabulary(
            size: tokenizer.vocabularySize, tokenizerDigest: tokenizer.digestBytes)
        let trainStream = try TokenStream(paths: trainPaths, vocabulary: vocabulary)
        let validationStream =
            validation.isEmpty
            ? nil : try TokenStream(patterns: validation, vocabulary: vocabulary)
        try self.init(
            tokenizer: tokenizer, train: trainStream, validation: validationStream)
    }

    init(
        tokenizer: Tokenizer, train: TokenStream, validation: TokenStream?
    ) throws(DatasetError) {
        for stream in [train, validation].compactMap({ $0 }) {
            guard
                stream.tokenizerDigest == tokenizer.digest,
                stream.vocabularySize == tokenizer.vocabularySize
            else {
                throw DatasetError(
                    .mismatch,
                    "\(stream.paths[0]): tokenizer: expected \(tokenizer.digest) (\(tokenizer.kind), "
                        + "\(tokenizer.vocabularySize) tokens), found \(stream.tokenizerDigest) "
                        + "(\(stream.vocabularySize) tokens)")
            }
        }
        (self.tokenizer, self.train, self.validation) = (tokenizer, train, validation)
    }
}
