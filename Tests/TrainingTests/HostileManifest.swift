import Checkpointing
import Foundation

/// A manifest with a digest that is right and something wrong before it, and a part of the message it must get.
struct HostileManifest: Sendable {
    let name: String
    let text: String
    let message: String

    private static let run =
        "{\"uuid\": \"u\", \"configuration_digest\": \"\", \"tokenizer_digest\": \"\", "
        + "\"dataset_digest\": \"\", \"build\": \"\", \"blas\": \"\"}"

    /// A manifest of no files and no tensors, but for what is given.
    private init(
        _ name: String, format: String = "\"murmuration-checkpoint\"", version: String = "2",
        run: String = HostileManifest.run,
        counters: String = "{\"step\": 1, \"optimizer_updates\": 1, \"samples\": 4}",
        files: String = "[]", tensors: String = "[]", other: String = "", _ message: String
    ) {
        let body =
            "{\n\"format\": \(format),\n\"version\": \(version),\n\"run\": \(run),\n"
            + "\"counters\": \(counters),\n\"files\": \(files),\n\"tensors\": \(tensors),\n\(other)"
        self.init(name, body: body, message)
    }

    private init(_ name: String, body: String, _ message: String) {
        (self.name, self.message) = (name, message)
        text = body + "\"digest\": \"sha256:\(ContentDigest.hexadecimal(body))\"}\n"
    }

    /// Writes a checkpoint that has it and nothing else.
    func write(to folder: String) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/manifest.json"))
    }

    static let all = sizes + structure + versions + counters + files + tensors

    // MARK: What a reader could be made to spend

    private static func list(_ count: Int, _ element: (Int) -> String) -> String {
        "[\((0..<count).map(element).joined(separator: ","))]"
    }

    private static func file(
        _ name: String, bytes: String = "0", digested: String = "0",
        digest: String = "xxh64:0000000000000000"
    ) -> String {
        "{\"name\": \"\(name)\", \"bytes\": \(bytes), \"digested_bytes\": \(digested), "
            + "\"digest\": \"\(digest)\"}"
    }

    private static func tensor(
        _ name: String = "w", shape: String = "[0]", sharding: String? = nil, parts: String = "[]",
        dtype: String = "\"float32\""
    ) -> String {
        let sharding = sharding.map { "\"sharding\": \($0), " } ?? ""
        return "{\"name\": \"\(name)\", \"dtype\": \(dtype), \"shape\": \(shape), "
            + "\(sharding)\"parts\": \(parts)}"
    }

    private static func part(_ elements: String, file: String = "a.safetensors") -> String {
        "{\"file\": \"\(file)\", \"key\": \"w\", \"elements\": \(elements), "
            + "\"digest\": \"xxh64:0000000000000000\"}"
    }

    private static let deep = String(repeating: "[", count: 100_000)
    private static let noConfiguration = "expected a file configuration.yaml, found none"

    private static let sizes: [HostileManifest] = [
        .init(
            "70 MiB of spaces", other: String(repeating: " ", count: 70 << 20),
            "expected at most 8388608 bytes"),
        .init(
            "8 MiB of spaces", other: String(repeating: " ", count: 8 << 20 - 600), noConfiguration),
        .init(
            "80,000 files", files: list(80_000) { file("\($0)") }, "at most 16384 files"),
        .init(
            "16,384 files", files: list(16_384) { file("\($0)") }, "expected a file, found"),
        .init(
            "150,000 tensors", tensors: list(150_000) { _ in "{\"name\":\"w\"}" },
            "expected name and shape"),
        .init(
            "100,001 tensors",
            tensors: list(100_001) {
                "{\"name\":\"\(1_000_000 + $0)\",\"shape\":[0],\"parts\":[]}"
            }, "at most 100000 tensors"),
        .init(
            "100,000 tensors",
            tensors: list(100_000) {
                "{\"name\":\"\(1_000_000 + $0)\",\"shape\":[0],\"parts\":[]}"
            }, noConfiguration),
        .init(
            "80,000 empty parts",
            tensors: "[\(tensor(parts: list(80_000) { _ in part("[0,0]") }))]",
            noConfiguration),
        .init(
            "700,000 counters",
            counters: "{\((0..<700_000).map { "\"\($0)\":1" }.joined(separator: ","))}",
            "expected step, optimizer_updates, samples, found 0"),
        .init(
            "100,000 tensors without parts", version: "3",
            tensors: list(100_000) { "{\"name\":\"\(1_000_000 + $0)\",\"shape\":[0]}" },
            noConfiguration),
        .init(
            "a million keys",
            other: (0..<700_000).map { "\"\($0)\":1," }.joined(), "a known key, found 0"),
        .init(
            "a million segments",
            tensors: "[\(tensor(sharding: "{\"segments\":" + list(700_000) { _ in "[0,1]" }))]",
            "segments of units and unit size"),
        .init(
            "a million tensors of a million slices",
            tensors: list(30_000) {
                tensor(
                    "\(1_000_000 + $0)",
                    sharding: "{\"axis\":0,\"segments\":[[0,1]],\"slices\":1048576}")
            }, noConfiguration),
        .init(
            "a million axes", tensors: "[\(tensor(shape: list(1_000_000) { _ in "1" }))]",
            "at most 32 integers"),
        .init(
            "a name of 7 MiB", tensors: "[\(tensor(String(repeating: "n", count: 7 << 20)))]",
            "a string of at most 4096 bytes"),
        .init(
            "a key of 7 MiB", other: "\"\(String(repeating: "k", count: 7 << 20))\": 1,",
            "a string of at most 4096 bytes"),
        .init(
            "a uuid of 7 MiB",
            run: run.replacing("\"u\"", with: "\"\(String(repeating: "u", count: 7 << 20))\""),
            "a string of at most 65536 bytes"),
    ]

    // MARK: JSON that is none, or another's

    private static let structure: [HostileManifest] = [
        .init("nothing", body: "", "expected an object"),
        .init("a list", body: "[", "expected an object"),
        .init("100,000 arrays", body: "{\"tensors\": " + deep, "expected the version before"),
        .init("100,000 arrays of files", files: deep, "files: expected an object"),
        .init("100,000 arrays of tensors", tensors: deep, "tensors: expected an object"),
        .init("100,000 arrays of parts", tensors: "[\(tensor(parts: deep))]", "expected an object"),
        .init(
            "100,000 arrays of axes", tensors: "[\(tensor(shape: deep))]", "non-negative integer"),
        .init(
            "100,000 arrays of segments",
            tensors: "[\(tensor(sharding: "{\"segments\": \(deep)"))]", "non-negative integer"),
        .init("a key of another kind", other: "\"a\": null,", "a known key, found a"),
        .init("the files twice", other: "\"files\": [],", "\"files\" twice"),
        .init("an escape that is none", other: "\"\\x\": 1,", "escape of JSON"),
        .init("a lone surrogate", other: "\"\\ud800\": 1,", "surrogate"),
        .init("a raw line break", other: "\"a\nb\": 1,", "a control character"),
        .init("run null", run: "null", "run: expected an object"),
        .init("run empty", run: "{}", "one of them missing"),
    ]

    private static let versions: [HostileManifest] =
        ["0", "-1", "2.0", "9223372036854775808", "\"2\"", "null", "[2]", "02"].map { version in
            .init("version \(version)", version: version, "version: expected")
        } + [
            .init("another format", format: "\"pickle\"", "found pickle"),
            .init("a format that is a number", format: "1", "format: expected a string"),
        ]

    // MARK: Members that lie

    private static let counters: [HostileManifest] = [
        ("a negative step", "{\"step\": -1}", "non-negative integer"),
        ("a step beyond 2^63", "{\"step\": 9223372036854775808}", "below 2^63"),
        ("a step twice", "{\"step\": 1, \"step\": 1}", "\"step\" twice"),
        ("a fraction", "{\"step\": 1.5}", "non-negative integer"),
        ("no samples", "{\"step\": 1, \"optimizer_updates\": 1}", "one of them missing"),
        ("half a loss scale", "{\"loss_scale\": {\"scale\": 1}}", "one of them missing"),
        ("a loss scale that is a list", "{\"loss_scale\": []}", "expected an object"),
    ].map { .init($0.0, counters: $0.1, $0.2) }

    private static let files: [HostileManifest] =
        [
            "../a.safetensors", "/etc/passwd", ".a", "", "a/b.safetensors", "a\\u0000b", "..",
            "manifest.json", String(repeating: "n", count: 256), "a b", "é",
        ].map { name in
            .init("file \(name.prefix(20))", files: "[\(file(name))]", "expected a file name")
        } + [
            .init("a file twice", files: "[\(file("a")), \(file("a"))]", "a twice"),
            .init("negative bytes", files: "[\(file("a", bytes: "-1"))]", "non-negative integer"),
            .init(
                "more digested than there is", files: "[\(file("a", digested: "1"))]", "at most 0"),
            .init("no digest", files: "[\(file("a", digest: ""))]", "a digest xxh64:"),
            .init(
                "upper case", files: "[\(file("a", digest: "xxh64:0A00000000000000"))]", "a digest"),
            .init(
                "a file of 2^62 bytes", files: "[\(file("a", bytes: "4611686018427387904"))]",
                "a: expected a file"),
            .init(
                "files of 2^63 bytes",
                files: list(2) { file("\($0)", bytes: "4611686018427387904") },
                "files below 2^63 bytes"),
            .init("a file that is a text", files: "[\"a\"]", "expected an object"),
        ]

    private static let tensors: [HostileManifest] = [
        .init(
            "parts where files have them", version: "3", tensors: "[\(tensor())]",
            "tensor w: expected a known key, found parts"),
        .init(
            "no parts where the manifest has them", tensors: "[{\"name\": \"w\", \"shape\": [0]}]",
            "tensor w: expected parts, found none"),
        .init(
            "2^63 units of nothing",
            tensors:
                "[\(tensor(sharding: "{\"axis\":0,\"segments\":[[9223372036854775807,0]],\"slices\":4}"))]",
            "segments of units and unit size"),
        .init(
            "10^18 rows of nothing",
            tensors:
                "[\(tensor(shape: "[1000000000000000000,0]", sharding: "{\"axis\":1,\"segments\":[],\"slices\":4}"))]",
            "segments cover an axis"),
        .init(
            "2^64 elements beside a 0",
            tensors: "[\(tensor(shape: "[4294967296, 0, 4294967296]"))]", "below 2^63"),
        .init("another dtype", tensors: "[\(tensor(dtype: "\"float16\""))]", "found float16"),
        .init("no name", tensors: "[\(tensor(""))]", "expected a name"),
        .init("NUL in a name", tensors: "[\(tensor("a\\u0000"))]", "expected a name"),
        .init("out of order", tensors: "[\(tensor("b")), \(tensor("a"))]", "out of order"),
        .init("a tensor twice", tensors: "[\(tensor()), \(tensor())]", "out of order"),
        .init("elements without parts", tensors: "[\(tensor(shape: "[4]"))]", "cover 4 elements"),
        .init(
            "2^64 elements", tensors: "[\(tensor(shape: "[4294967296, 4294967296]"))]", "below 2^63"
        ),
        .init(
            "a part that ends before it begins",
            tensors: "[\(tensor(shape: "[1]", parts: "[\(part("[1,0]"))]"))]", "file, key, digest"),
        .init(
            "a part of nowhere", tensors: "[\(tensor(shape: "[1]", parts: "[\(part("[0,1]"))]"))]",
            noConfiguration),
        .init(
            "2^61 elements in a part",
            tensors:
                "[\(tensor(shape: "[2305843009213693952]", parts: "[\(part("[0,2305843009213693952]"))]"))]",
            "below 2^63"),
        .init(
            "slices beyond all measure",
            tensors:
                "[\(tensor(sharding: "{\"axis\":0,\"segments\":[[0,1]],\"slices\":9223372036854775807}"))]",
            "segments cover an axis"),
        .init(
            "an axis beyond the shape",
            tensors: "[\(tensor(sharding: "{\"axis\":7,\"segments\":[[0,1]],\"slices\":1}"))]",
            "segments cover an axis"),
        .init(
            "a sharding of nothing", tensors: "[\(tensor(sharding: "{}"))]",
            "segments cover an axis"),
    ]
}
