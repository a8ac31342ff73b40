import Checkpointing
import Foundation
import Tensors
import TestSupport
import Testing

/// Checkpoints of version 1, made by hand, and manifests that lie with a digest that is right.
@Suite struct HandmadeTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private static func tensorFile(_ values: [Float]) -> [UInt8] {
        let header = HostileFile.tensor("[\(values.count)]", "[0,\(values.count * 4)]", name: "w")
        return HostileFile.file(Array(header.utf8)) + Handmade.bytes(values)
    }

    /// Two files that hold elements 0 ..< 2 and 2 ..< 5 of a tensor, as manifest members.
    private static let parts: [(name: String, values: [Float])] = [
        ("a.safetensors", [1, 2]), ("b.safetensors", [3, 4, 5]),
    ]

    private static let files = parts.map { part in
        let file = tensorFile(part.values)
        let header = file.count - part.values.count * 4
        return Handmade.entry(part.name, file, header: header, .sha256)
    }

    private static let tensor = """
        {"name": "w", "dtype": "float32", "shape": [5], "parts": [\
        {"file": "a.safetensors", "elements": [0, 2], "digest": "\(digest([1, 2]))"}, \
        {"file": "b.safetensors", "elements": [2, 5], "digest": "\(digest([3, 4, 5]))"}]}
        """

    private static let body = Handmade.manifest(
        version: 1, files: files + Handmade.texts(.sha256), tensors: tensor)

    private static func digest(_ values: [Float]) -> String {
        Handmade.Algorithm.sha256.label(Handmade.bytes(values))
    }

    /// Writes the checkpoint with a manifest whose digest is right, and opens it.
    private func open(_ body: String = body) throws -> CheckpointReader {
        for part in Self.parts { try folder.write(Self.tensorFile(part.values), as: part.name) }
        try Handmade.write(body, into: folder)
        return try CheckpointReader(path: folder.path)
    }

    @Test func aTensorInSeveralPartsIsRead() throws {
        let reader = try open()
        try reader.verify()
        #expect(try reader.loadTensor("w").array == [1, 2, 3, 4, 5])
        let text = """
            murmuration state 1
            counter data.samples 4
            counter loss_scale none
            counter optimizer.updates 1
            counter step 1
            tensor w float32 [5] \(Handmade.sha256(Handmade.bytes([1, 2, 3, 4, 5])))

            """
        #expect(try reader.digest() == Handmade.sha256(Array(text.utf8)))
        var damaged = Self.tensorFile([3, 4, 5])
        damaged[damaged.count - 1] ^= 1
        try folder.write(damaged, as: "b.safetensors")
        let error = checkpointError { try CheckpointReader(path: folder.path).verify() }
        #expect(error?.message.contains("b.safetensors: tensor w: expected sha256:") == true)
    }

    @Test(arguments: [
        ("\"version\": 1", "\"version\": 0", "expected a format version, found 0"),
        ("\"version\": 1", "\"version\": 2", "expected a digest xxh64:…, found sha256:"),
        ("\"version\": 1,\n", "", "expected the version before"),
        ("\"file\": \"a", "\"key\": \"w\", \"file\": \"a", "expected a known key, found key"),
        ("murmuration-checkpoint", "other", "expected murmuration-checkpoint, found other"),
        ("a.safetensors", "../a.safetensors", "expected a file name"),
        ("a.safetensors", "/etc/passwd", "expected a file name"),
        ("a.safetensors", ".a.safetensors", "expected a file name"),
        ("a.safetensors", "a\\u0000.safetensors", "expected a file name"),
        ("a.safetensors", "manifest.json", "expected a file name"),
        ("a.safetensors", "b.safetensors", "twice"),
        ("a.safetensors", "c.safetensors", "expected 2 elements of F32, found none"),
        ("tokenizer.json", "other.json", "other.json: expected a file, found"),
        ("[0, 2]", "[0, 1]", "parts that cover 5 elements"),
        ("[0, 2]", "[1, 2]", "parts that cover 5 elements"),
        ("[2, 5]", "[2, 6]", "parts that cover 5 elements"),
        ("[2, 5]", "[5, 2]", "a part's file, key, digest and elements"),
        ("[0, 2]", "[0, 3]", "parts that cover 5 elements"),
        ("\"shape\": [5]", "\"shape\": [6]", "parts that cover 6 elements"),
        ("\"shape\": [5]", "\"shape\": [9223372036854775807, 2]", "below 2^63"),
        ("\"shape\": [5]", "\"shape\": [-5]", "non-negative integer"),
        ("\"name\": \"w\"", "\"name\": \"v\"", "expected 2 elements of F32, found none"),
        ("\"float32\"", "\"float16\"", "expected dtype float32, found float16"),
        ("\"step\": 1,", "\"step\": 1, \"step\": 1,", "\"step\" twice"),
        ("\"step\": 1,", "", "expected step, optimizer_updates, samples"),
        ("\"samples\": 4", "\"samples\": 4, \"tokens\": 5", "expected step, optimizer_updates"),
        (
            "\"samples\": 4", "\"samples\": 9223372036854775807",
            "at most 2^60 samples, found 1, 1 and"
        ),
        ("\"step\": 1,", "\"step\": 10000000000,", "of at most ten digits"),
        ("\"uuid\": \"u\"", "\"uuid\": \"u\\nerror: forged\"", "expected a line of at most"),
        ("\"uuid\": \"u\", ", "", "one of them missing"),
        ("\"uuid\": \"u\"", "\"uuid\": \"u\", \"host\": \"h\"", "found host"),
        (
            "\"parts\"",
            "\"sharding\": {\"axis\": 1, \"segments\": [[5, 1]], \"slices\": 4}, \"parts\"",
            "segments cover an axis"
        ),
        (
            "\"parts\"",
            "\"sharding\": {\"axis\": 0, \"segments\": [[4, 1]], \"slices\": 4}, \"parts\"",
            "segments cover an axis"
        ),
        (
            "\"parts\"",
            "\"sharding\": {\"axis\": 0, \"segments\": [[5, 1]], \"slices\": 0}, \"parts\"",
            "segments cover an axis"
        ),
        (
            "\"parts\"",
            "\"sharding\": {\"axis\": 0, \"segments\": [[9223372036854775807, 1], [2, 1]], \"slices\": 4}, \"parts\"",
            "segments of units"
        ),
        (
            "\"parts\"",
            "\"sharding\": {\"axis\": 0, \"segments\": [[5, 1], [0, 1], [0, 1]], \"slices\": 1048576}, \"parts\"",
            "segments cover an axis"
        ),
        ("\"tensors\": [", "\"tensors\": [[", "expected an object"),
        ("\"format\": ", "\"extra\": 1, \"format\": ", "expected a known key, found extra"),
    ])
    func aManifestThatLiesIsRefused(_ old: String, _ new: String, _ message: String) throws {
        let changed = Self.body.split(separator: old, omittingEmptySubsequences: false)
        try #require(changed.count > 1, "\(old) does not occur")
        let first = changed[0] + new + changed.dropFirst().joined(separator: old)
        let error = checkpointError { _ = try open(String(first)) }
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "accepted")")
        guard case .unusable = error?.kind else {
            Issue.record("expected unusable, found \(String(describing: error))")
            return
        }
    }

    @Test func aTensorThatTheManifestDoesNotNameIsRefused() throws {
        let error = checkpointError {
            _ = try open(Self.body.split(separator: Self.tensor).joined())
        }
        #expect(error?.message.contains("a.safetensors: expected 0 tensors, found 1") == true)
    }
}
