import Datasets
import Foundation
import TestSupport

/// The tokens of configs/tests/same-bits.yaml as shards that a test may damage.
struct ShardFiles {
    /// Bytes of a shard before its tokens.
    static let headerByteCount = 128
    static let vocabulary = 45

    let folder: TemporaryFolder

    /// Makes `shards/` in the run's folder with `murmur prepare`.
    init(_ run: RunFolder) throws {
        folder = run.folder
        let output = folder.file("shards")
        let launch = try murmur(["prepare", RunFolder.configuration, "--output", output])
        guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
    }

    /// Settings that train on them.
    var settings: [String] {
        [
            "data.text=[]", "data.train=[\(folder.file("shards/train-*.tokens"))]",
            "data.validation=[\(folder.file("shards/validation-*.tokens"))]",
        ]
    }

    var train: String { folder.file("shards/train-00000.tokens") }
    var validation: String { folder.file("shards/validation-00000.tokens") }

    func bytes() throws -> [UInt8] { try folder.bytes("shards/train-00000.tokens") }
    func write(_ bytes: [UInt8]) throws { try folder.write("shards/train-00000.tokens", bytes) }

    /// The training tokens, one byte each.
    func tokens() throws -> [Int32] {
        let bytes = try bytes()
        let count = (16..<24).reversed().reduce(0) { $0 << 8 | Int(bytes[$1]) }
        return bytes[Self.headerByteCount..<Self.headerByteCount + count].map(Int32.init)
    }

    /// Writes a shard, that of training, again with tokens of its own and a checksum every 64 bytes.
    func rewrite(
        _ tokens: [Int32], vocabulary: Int = vocabulary, as path: String? = nil
    ) throws {
        let digest = Array(try bytes()[32..<64])
        var writer = try TokenShardWriter(
            path: path ?? train, vocabularySize: vocabulary, tokenizerDigest: digest,
            blockByteCount: 64)
        try writer.append(tokens[...])
        try writer.finish()
    }

    /// Damages every token of a shard, in place: the file stays the one that was opened. Returns whether it could.
    func damage(_ path: String) -> Bool {
        guard var bytes = FileManager.default.contents(atPath: path),
            let file = FileHandle(forUpdatingAtPath: path)
        else { return false }
        let count = bytes[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
        for index in Self.headerByteCount..<Self.headerByteCount + count { bytes[index] ^= 1 }
        return (try? file.write(contentsOf: bytes)) != nil
    }

    /// Makes the header claim the vocabulary of the tokenizer, with its checksum mended.
    func forgeVocabulary() throws {
        var bytes = try bytes()
        bytes.replaceSubrange(24..<28, with: [UInt8(Self.vocabulary), 0, 0, 0])
        let checksum = crc32c(bytes[..<124])
        for index in 0..<4 {
            bytes[124 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index))
        }
        try write(bytes)
    }

    private func crc32c(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        var checksum = ~UInt32(0)
        for byte in bytes {
            checksum ^= UInt32(byte)
            for _ in 0..<8 {
                checksum = checksum & 1 == 1 ? checksum >> 1 ^ 0x82F6_3B78 : checksum >> 1
            }
        }
        return ~checksum
    }
}
