/// `dataset.json`: what a prepared folder holds and what it was made of. No times, no machine: the same
/// text gives the same bytes.
package struct DatasetIndex: Codable, Equatable, Sendable {
    package struct Shard: Codable, Equatable, Sendable {
        let file: String
        let tokens: Int
        /// See `TokenShard.fingerprint`.
        let fingerprint: String

        package init(file: String, tokens: Int, fingerprint: String) {
            (self.file, self.tokens, self.fingerprint) = (file, tokens, fingerprint)
        }
    }

    static let fileName = "dataset.json"
    static let version = 1
    static let byteLimit = 64 << 20
    private static let keys: Set<String> = [
        "version", "tokenizer", "tokenizer_digest", "vocabulary", "validation_fraction", "sources",
        "train", "validation", "kind", "classes", "preparation", "test",
    ]

    let version: Int
    let tokenizer: Tokenizer.Kind
    let tokenizerDigest: String
    let vocabulary: Int
    let validationFraction: Double
    let sources: [TextCorpus.Source]
    let train: [Shard]
    let validation: [Shard]
    /// What a document is; nil: a text.
    var kind: String?
    /// Names of the classes of labelled texts.
    var classes: [String]?
    /// SHA-256 of what a preparation was made of; nil where the text was taken as it was.
    package var preparation: String?
    var test: [Shard]?

    enum CodingKeys: String, CodingKey {
        case version, tokenizer, vocabulary, sources, train, validation
        case kind, classes, preparation, test
        case tokenizerDigest = "tokenizer_digest"
        case validationFraction = "validation_fraction"
    }

    package static func load(folder: String) throws(DatasetError) -> DatasetIndex {
        let path = Folder.join(folder, fileName)
        let bytes = try Folder.read(path, limit: byteLimit)
        let index = try JSONFile.decode(DatasetIndex.self, from: bytes, name: path, keys: keys)
        guard index.version == version else {
            throw DatasetError(
                .corrupt, "\(path): version: expected \(version), found \(index.version)")
        }
        for (split, shards) in [
            ("train", index.train), ("validation", index.validation), ("test", index.test ?? []),
        ] {
            for (number, shard) in shards.enumerated() {
                let expected = shardName(split: split, number: number)
                guard shard.file == expected else {
                    throw DatasetError(
                        .corrupt,
                        "\(path): \(split)[\(number)].file: expected \(expected), found "
                            + shard.file.debugDescription)
                }
            }
        }
        return index
    }

    /// Throws where the index of `shards` made of the files at `paths` would be longer than `load` reads:
    /// asked before the work of making them.
    static func requireRoom(paths: [String], shards: Int) throws(DatasetError) {
        let digest = String(repeating: "0", count: 64)
        let sources = paths.map { TextCorpus.Source(path: $0, bytes: .max, sha256: digest) }
        let name = shardName(split: "validation", number: shards)
        func byteCount(_ shards: [Shard]) -> Int {
            let index = DatasetIndex(
                version: version, tokenizer: .character, tokenizerDigest: digest, vocabulary: .max,
                validationFraction: .pi, sources: sources, train: shards, validation: [])
            return JSONFile.encode(index).count
        }
        let none = byteCount([])
        let one = byteCount([Shard(file: name, tokens: .max, fingerprint: digest)])
        let most = none + shards * (one - none)
        guard most > byteLimit else { return }
        throw DatasetError(
            .tooLarge,
            "\(fileName): expected at most \(byteLimit) bytes, found up to \(most) for \(paths.count) "
                + "text files and \(shards) shards; join the text into fewer files, or prepare it in "
                + "several parts")
    }

    /// Throws where a further shard lies in the folder that the index does not name.
    func requireWhole(in folder: String) throws(DatasetError) {
        for (split, count) in [("train", train.count), ("validation", validation.count)] {
            let name = DatasetIndex.shardName(split: split, number: count)
            guard Folder.exists(Folder.join(folder, name)) else { continue }
            throw DatasetError(
                .corrupt,
                "\(Folder.join(folder, DatasetIndex.fileName)): \(split): expected every shard of the "
                    + "folder, found \(name) left out")
        }
    }

    package static func shardName(split: String, number: Int) -> String {
        let digits = String(number)
        return "\(split)-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits).tokens"
    }
}

extension DatasetIndex {
    /// The index of what a preparation made.
    package init(
        prepared identity: String, kind: SampleKind, tokenizer: Tokenizer, classes: [String],
        validationFraction: Double, train: [Shard], validation: [Shard], test: [Shard]
    ) {
        self.init(
            version: DatasetIndex.version, tokenizer: tokenizer.kind,
            tokenizerDigest: tokenizer.digest, vocabulary: tokenizer.vocabularySize,
            validationFraction: validationFraction, sources: [], train: train,
            validation: validation, kind: "\(kind)", classes: classes.isEmpty ? nil : classes,
            preparation: identity, test: test.isEmpty ? nil : test)
    }

    /// Writes the index and the tokenizer beside it.
    package func write(tokenizer: Tokenizer, folder: String) throws(DatasetError) {
        let bytes = JSONFile.encode(self)
        guard bytes.count <= DatasetIndex.byteLimit else {
            throw DatasetError(
                .tooLarge,
                "\(DatasetIndex.fileName): expected at most \(DatasetIndex.byteLimit) bytes, found "
                    + "\(bytes.count) for \(train.count + validation.count) shards; raise output.shard_tokens, "
                    + "or prepare in several parts")
        }
        try Folder.write(tokenizer.json(), to: Folder.join(folder, Tokenizer.fileName))
        try Folder.write(bytes, to: Folder.join(folder, DatasetIndex.fileName))
    }
}
