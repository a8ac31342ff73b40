import Checkpointing
import Communication
import Foundation
import TestSupport
import Testing

/// Checkpoints of version 3, made by hand: files that lie about what they have, with every digest right.
@Suite struct HandmadeHeadersTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A file of one part; what is given takes the place of what is right.
    private struct Shard {
        var key: String
        var values: [Float]
        var type = "F32"
        var shape: String?
        var digests: String?
        /// More tensors, in JSON.
        var more = ""

        func file() -> [UInt8] {
            let data = Handmade.bytes(values)
            let digests = digests ?? "\"xxh64\":\"\(Handmade.xxh64(data))\""
            let json =
                "{\"__metadata__\":{\(digests)},\"\(key)\":{\"dtype\":\"\(type)\",\"shape\":"
                + "\(shape ?? "[\(values.count)]"),\"data_offsets\":[0,\(data.count)]}\(more)}"
            return HostileFile.file(Array(json.utf8)) + data
        }
    }

    private static let first = Shard(key: "w[0:3]", values: [0, 1, 2])
    private static let second = Shard(key: "w[3:5]", values: [3, 4])

    /// Writes a checkpoint of the files.
    private func write(_ shards: [Shard], digested: Int = 0) throws {
        let lines = try shards.enumerated().map { index, shard in
            let (name, file) = ("\(index).safetensors", shard.file())
            try folder.write(file, as: name)
            let header = file.count - 4 * shard.values.count + digested
            return Handmade.entry(name, file, header: header, .xxh64)
        }
        let tensor = "{\"name\": \"w\", \"dtype\": \"float32\", \"shape\": [5]}"
        let manifest = Handmade.manifest(
            version: 3, files: Handmade.texts(.xxh64) + lines, tensors: tensor)
        try Handmade.write(manifest, into: folder)
    }

    @Test(arguments: [[first, second], [second, first]])
    private func whatFilesSayIsRead(_ shards: [Shard]) throws {
        try write(shards)
        let reader = try CheckpointReader(path: folder.path)
        try reader.verify()
        #expect(try reader.loadTensor("w").array == [0, 1, 2, 3, 4])
    }

    private func expectRefusal(_ message: String, shared: String? = nil, _ what: String) throws {
        let error = checkpointError { try CheckpointReader(path: folder.path).verify() }
        #expect(error?.message.contains(message) == true, "\(what): \(error?.message ?? "taken")")
        // Two ranks, of which each reads one of the files.
        let errors = try InProcess.run(ranks: 2) { communicator in
            checkpointError {
                _ = try CheckpointReader.newest(in: folder.path, communicator: communicator)
            }
        }
        for error in errors {
            let text = error?.message ?? "taken"
            #expect(text.contains(shared ?? message), "\(what), two ranks: \(text)")
            guard case .unusable = error?.kind else {
                Issue.record("\(what): expected unusable, found \(String(describing: error))")
                return
            }
        }
    }

    @Test func partsThatDoNotCoverOnceAreRefused() throws {
        let shards: [(String, [Shard])] = [
            ("a gap", [Shard(key: "w[0:2]", values: [0, 1]), Self.second]),
            ("an overlap", [Self.first, Shard(key: "w[2:5]", values: [2, 3, 4])]),
            ("a part twice", [Self.first, Self.first]),
            ("none at the end", [Self.first]),
            ("all twice", [Self.first, Self.second, Self.first, Self.second]),
            // As many elements as there are.
            ("a gap and an overlap", [Self.first, Shard(key: "w[2:4]", values: [2, 3])]),
            ("nothing", []),
        ]
        for (what, shards) in shards {
            try write(shards)
            try expectRefusal(
                "tensor w: expected parts that cover 5 elements once",
                shared: "expected parts that cover every tensor once", what)
        }
    }

    @Test func keysAndDigestsThatAreNoneAreRefused() throws {
        let refusal = "0.safetensors: tensor "
        let shards: [(String, Shard, String)] = [
            ("no brackets", Shard(key: "w", values: [0, 1, 2]), refusal),
            ("another tensor", Shard(key: "v[0:3]", values: [0, 1, 2]), refusal),
            ("a sign", Shard(key: "w[+0:3]", values: [0, 1, 2]), refusal),
            ("a zero in front", Shard(key: "w[0:03]", values: [0, 1, 2]), refusal),
            ("something behind", Shard(key: "w[0:3] ", values: [0, 1, 2]), refusal),
            ("backwards", Shard(key: "w[3:0]", values: [0, 1, 2]), refusal),
            ("nothing", Shard(key: "w[0:0]", values: []), refusal),
            ("beyond the end", Shard(key: "w[3:6]", values: [3, 4, 5]), refusal),
            ("far beyond", Shard(key: "w[0:9223372036854775807]", values: [0, 1, 2]), refusal),
            ("fewer than it says", Shard(key: "w[0:3]", values: [0, 1]), refusal),
            ("another type", Shard(key: "w[0:3]", values: [0, 1, 2], type: "I32"), refusal),
            (
                "another shape", Shard(key: "w[0:3]", values: [0, 1, 2], shape: "[3,1]"), refusal
            ),
            (
                "no digests", Shard(key: "w[0:3]", values: [0, 1, 2], digests: ""),
                "0.safetensors: expected xxh64 of 16 digits for each of 1 tensors, found 0"
            ),
            (
                "too many digests",
                Shard(
                    key: "w[0:3]", values: [0, 1, 2],
                    digests: "\"xxh64\":\"\(String(repeating: "0", count: 32))\""), "found 32"
            ),
            (
                "upper case",
                Shard(
                    key: "w[0:3]", values: [0, 1, 2],
                    digests: "\"xxh64\":\"\(String(repeating: "A", count: 16))\""), refusal
            ),
            (
                "another digest",
                Shard(
                    key: "w[0:3]", values: [0, 1, 2],
                    digests: "\"xxh64\":\"\(String(repeating: "0", count: 16))\""),
                "0.safetensors: tensor w: expected xxh64:0000000000000000, found xxh64:"
            ),
            (
                "a part without elements beside it",
                Shard(
                    key: "w[0:3]", values: [0, 1, 2],
                    digests: "\"xxh64\":\"\(String(repeating: "0", count: 32))\"",
                    more: ",\"w[3:3]\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[12,12]}"),
                refusal
            ),
        ]
        for (what, shard, message) in shards {
            try write([shard, Self.second])
            try expectRefusal(message, what)
        }
    }

    /// Every byte is to be covered, and by one digest.
    @Test func aDigestOfLessThanTheHeaderIsRefused() throws {
        for digested in [-1, 1] {
            try write([Self.first, Self.second], digested: digested)
            try expectRefusal("expected a digest of its header, ", "\(digested)")
        }
    }
}
