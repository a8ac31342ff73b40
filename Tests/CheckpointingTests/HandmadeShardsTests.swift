import Checkpointing
import Foundation
import Tensors
import TestSupport
import Testing

/// Checkpoints of version 2, made by hand: the order of slice-major memory, and manifests that lie about it.
@Suite struct HandmadeShardsTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Of a tensor [2, 4] with the elements 0 … 7, cut along axis 1 into 2 slices of two segments, a unit of 2
    /// and two units of 1: slice 0 has column 2, slice 1 columns 0, 1 and 3.
    private static let parts: [(name: String, key: String, values: [Float])] = [
        ("a.safetensors", "w[0:3]", [2, 6, 0]), ("b.safetensors", "w[3:8]", [1, 3, 4, 5, 7]),
    ]

    private static func file(_ part: (name: String, key: String, values: [Float])) -> [UInt8] {
        let header = HostileFile.tensor(
            "[\(part.values.count)]", "[0,\(part.values.count * 4)]", name: part.key)
        return HostileFile.file(Array(header.utf8)) + Handmade.bytes(part.values)
    }

    private static let files = parts.map { part in
        let file = file(part)
        let header = file.count - part.values.count * 4
        return Handmade.entry(part.name, file, header: header, .xxh64)
    }

    private static let body = Handmade.manifest(
        version: 2, files: files + Handmade.texts(.xxh64),
        tensors: """
            {"name": "w", "dtype": "float32", "shape": [2, 4], \
            "sharding": {"axis": 1, "segments": [[1, 2], [2, 1]], "slices": 2}, "parts": [\
            {"file": "a.safetensors", "key": "w[0:3]", "elements": [0, 3], \
            "digest": "\(digest(parts[0].values))"}, \
            {"file": "b.safetensors", "key": "w[3:8]", "elements": [3, 8], \
            "digest": "\(digest(parts[1].values))"}]}
            """)

    private static func digest(_ values: [Float]) -> String {
        Handmade.Algorithm.xxh64.label(Handmade.bytes(values))
    }

    /// Writes the checkpoint with a manifest whose digest is right, and opens it.
    private func open(_ body: String = body) throws -> CheckpointReader {
        for part in Self.parts { try folder.write(Self.file(part), as: part.name) }
        try Handmade.write(body, into: folder)
        return try CheckpointReader(path: folder.path)
    }

    @Test func sliceMajorMemoryBecomesLogicalOrder() throws {
        let reader = try open()
        try reader.verify()
        #expect(try reader.loadTensor("w").array == (0..<8).map { Float($0) })
        for first in 0..<8 {
            for last in first...8 {
                let buffer = Buffer(count: last - first)
                let entry = try #require(reader.entry(named: "w"))
                try reader.read(entry, elements: first..<last, into: buffer)
                #expect(
                    Tensor(buffer: buffer, shape: [buffer.count]).array
                        == (first..<last).map { Float($0) })
            }
        }
        let text = """
            murmuration state 1
            counter data.samples 4
            counter loss_scale none
            counter optimizer.updates 1
            counter step 1
            tensor w float32 [2, 4] \(Handmade.sha256(Handmade.bytes((0..<8).map { Float($0) })))

            """
        #expect(try reader.digest() == Handmade.sha256(Array(text.utf8)))
    }

    @Test(arguments: [
        ("\"key\": \"w[0:3]\", ", "", "a part's file, key, digest and elements"),
        ("\"w[0:3]\"", "\"w[0:4]\"", "expected 3 elements of F32, found none"),
        ("[0, 3]", "[0, 4]", "parts that cover 8 elements"),
        ("xxh64:", "sha256:", "expected a digest xxh64:"),
        ("\"slices\": 2", "\"slices\": 0", "segments cover an axis"),
        ("\"slices\": 2", "\"slices\": 1048577", "segments cover an axis"),
        ("\"slices\": 2", "\"slices\": 1048576", "segments cover an axis"),
        ("\"axis\": 1", "\"axis\": 2", "segments cover an axis"),
        ("\"axis\": 1", "\"axis\": 0", "segments cover an axis"),
        ("[2, 1]]", "[3, 1]]", "segments cover an axis"),
        (
            "\"shape\": [2, 4]", "\"shape\": [0, 4, 4611686018427387904, 4]",
            "a size below 2^63"
        ),
        // Sizes of 0 hide what overflows beside them.
        ("[2, 1]]", "[2, 1], [9223372036854775807, 0]]", "segments of units and unit size"),
        ("[2, 1]]", "[2, 1], [0, 0]]", "segments of units and unit size"),
        (
            "[2, 4], \"sharding\": {\"axis\": 1, \"segments\": [[1, 2], [2, 1]]",
            "[4611686018427387904, 0], \"sharding\": {\"axis\": 1, \"segments\": []",
            "a size below 2^63"
        ),
        (
            "[2, 4], \"sharding\": {\"axis\": 1, \"segments\": [[1, 2], [2, 1]]",
            "[1000000000000000000, 0], \"sharding\": {\"axis\": 1, \"segments\": []",
            "segments cover an axis"
        ),
        (
            "\"bytes\": 0, \"digested_bytes\": 0",
            "\"bytes\": 9223372036854775807, \"digested_bytes\": 0", "files below 2^63 bytes"
        ),
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
}
