import Foundation

/// Turns text files into a folder of token shards.
public enum DatasetBuilder {
    /// Tokens of a shard that `prepare` makes, unless told otherwise.
    public static let defaultShardTokens = 100_000_000

    /// Writes `train-NNNNN.tokens`, `validation-NNNNN.tokens`, `tokenizer.json` and `dataset.json` into
    /// the new folder `output` and opens it.
    ///
    /// The files that `text` names (or matches: `*`, `?`, `[…]`, `**`) follow each other in the order of
    /// their paths. The first ⌊(1−f)·n⌋ of the n tokens train, f being `validationFraction` in [0, 1):
    /// at character level the split of nanoGPT. The folder appears under its name when it is whole. A
    /// folder that is already there is left as it is when it holds the same dataset, and is an error
    /// (`outputExists`) otherwise.
    public static func build(
        text: [String], tokenizer: TokenizerChoice, validationFraction: Double, output: String,
        shardTokens: Int = defaultShardTokens
    ) throws(DatasetError) -> PreparedDataset {
        try requireFree(output)
        return try build(
            TextCorpus(patterns: text, tokenizer: tokenizer),
            validationFraction: validationFraction,
            output: output, shardTokens: shardTokens)
    }

    static func build(
        _ corpus: TextCorpus, validationFraction: Double, output: String,
        shardTokens: Int = defaultShardTokens
    ) throws(DatasetError) -> PreparedDataset {
        precondition(
            validationFraction >= 0 && validationFraction < 1,
            "DatasetBuilder: expected a validation fraction in [0, 1), got \(validationFraction)")
        precondition(
            shardTokens > 0,
            "DatasetBuilder: expected shards of at least 1 token, got \(shardTokens)")
        let trainCount = Int((1 - validationFraction) * Double(corpus.tokenCount))
        guard trainCount > 0 else {
            throw DatasetError(
                .tooSmall,
                "text: expected at least 1 token to train on, found 0 of \(corpus.tokenCount); "
                    + "lower validation_fraction")
        }
        let shardCount = [trainCount, corpus.tokenCount - trainCount]
            .reduce(0) { $0 + $1 / shardTokens + 1 }
        try DatasetIndex.requireRoom(paths: corpus.sources.map(\.path), shards: shardCount)
        try Folder.create(Folder.parent(of: output))
        Folder.discardAbandoned(beside: output)
        let temporary = Folder.temporary(beside: output)
        try Folder.create(temporary)
        defer { Folder.discard(temporary) }
        let layout = SplitWriter.Layout(
            folder: temporary, trainCount: trainCount, shardTokens: shardTokens)
        try write(corpus, validationFraction: validationFraction, layout: layout)
        if try !Folder.publish(temporary, as: output) {
            try checkSame(output, as: temporary)
        }
        return try PreparedDataset(folder: output)
    }

    private static func write(
        _ corpus: TextCorpus, validationFraction: Double, layout: SplitWriter.Layout
    ) throws(DatasetError) {
        var writer = SplitWriter(tokenizer: corpus.tokenizer, layout: layout)
        try corpus.forEachChunk { tokens, startsDocument throws(DatasetError) in
            if startsDocument { writer.beginDocument() }
            try writer.append(tokens)
        }
        let (train, validation) = try writer.finish()
        let index = DatasetIndex(
            version: DatasetIndex.version, tokenizer: corpus.tokenizer.kind,
            tokenizerDigest: corpus.tokenizer.digest, vocabulary: corpus.tokenizer.vocabularySize,
            validationFraction: validationFraction, sources: corpus.sources, train: train,
            validation: validation)
        try Folder.write(
            corpus.tokenizer.json(), to: Folder.join(layout.folder, Tokenizer.fileName))
        try Folder.write(
            JSONFile.encode(index), to: Folder.join(layout.folder, DatasetIndex.fileName))
    }

    /// What is no dataset is refused before the work; whether one is the same is known after it.
    private static func requireFree(_ output: String) throws(DatasetError) {
        guard Folder.exists(output), !Folder.isEmpty(output),
            (try? DatasetIndex.load(folder: output)) == nil
        else { return }
        throw taken(output, by: "something else")
    }

    private static func taken(_ output: String, by found: String) -> DatasetError {
        DatasetError(
            .outputExists,
            "\(output): expected no folder, or one of the same dataset, found \(found); remove it or "
                + "name another output")
    }

    /// An index holds the fingerprints of all else, so equal indices are equal datasets.
    private static func checkSame(_ output: String, as built: String) throws(DatasetError) {
        let (there, here) = (
            try? DatasetIndex.load(folder: output), try DatasetIndex.load(folder: built)
        )
        guard there == here else {
            throw taken(output, by: there == nil ? "something else" : "another dataset")
        }
    }
}

/// Cuts a stream of tokens into the shards of both splits.
private struct SplitWriter: ~Copyable {
    struct Layout {
        let folder: String
        let trainCount: Int
        let shardTokens: Int
    }

    private let tokenizer: Tokenizer
    private let layout: Layout
    private var shard: TokenShardWriter?
    private var names: (train: [String], validation: [String]) = ([], [])
    private var count = 0
    /// Whether the next token is a document's first.
    private var startsDocument = false

    init(tokenizer: Tokenizer, layout: Layout) {
        (self.tokenizer, self.layout) = (tokenizer, layout)
    }

    /// The next token starts a document, if one follows.
    mutating func beginDocument() { startsDocument = true }

    mutating func append(_ tokens: ArraySlice<Int32>) throws(DatasetError) {
        var rest = tokens
        while !rest.isEmpty {
            let isTraining = count < layout.trainCount
            let inSplit = isTraining ? count : count - layout.trainCount
            let untilShardEnd = layout.shardTokens - inSplit % layout.shardTokens
            let untilSplit = isTraining ? layout.trainCount - count : Int.max
            let part = rest.prefix(min(untilShardEnd, untilSplit))
            if inSplit % layout.shardTokens == 0 { try beginShard(isTraining: isTraining) }
            // What a split begins with is a document, if only the rest of one.
            if startsDocument || inSplit == 0 { shard?.beginDocument() }
            startsDocument = false
            try shard?.append(part)
            count += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    consuming func finish() throws(DatasetError) -> (
        train: [DatasetIndex.Shard], validation: [DatasetIndex.Shard]
    ) {
        try endShard()
        return (try index(names.train), try index(names.validation))
    }

    private mutating func beginShard(isTraining: Bool) throws(DatasetError) {
        try endShard()
        let name: String
        if isTraining {
            name = DatasetIndex.shardName(split: "train", number: names.train.count)
            names.train.append(name)
        } else {
            name = DatasetIndex.shardName(split: "validation", number: names.validation.count)
            names.validation.append(name)
        }
        shard = try TokenShardWriter(
            path: Folder.join(layout.folder, name), vocabularySize: tokenizer.vocabularySize,
            tokenizerDigest: tokenizer.digestBytes, tellsOfDocuments: true)
    }

    private mutating func endShard() throws(DatasetError) {
        if let shard = shard.take() { try shard.finish() }
    }

    private func index(_ names: [String]) throws(DatasetError) -> [DatasetIndex.Shard] {
        var shards: [DatasetIndex.Shard] = []
        for name in names {
            let shard = try TokenShard(path: Folder.join(layout.folder, name))
            shards.append(
                DatasetIndex.Shard(
                    file: name, tokens: shard.layout.tokenCount, fingerprint: shard.fingerprint))
        }
        return shards
    }
}
