// What checkpoints made by hand have in common: digests that are right, whatever they cover.

import Checkpointing
import Files

/// Bytes, digests and manifests of checkpoints that no program wrote.
enum Handmade {
    /// Names one of the digests that manifests have.
    enum Algorithm {
        case sha256, xxh64

        /// With its name before it, as manifests have it.
        func label(_ bytes: [UInt8]) -> String {
            switch self {
            case .sha256: "sha256:" + Handmade.sha256(bytes)
            case .xxh64: "xxh64:" + Handmade.xxh64(bytes)
            }
        }
    }

    static func sha256(_ bytes: [UInt8]) -> String { SHA256.digest(of: bytes).hexadecimal }

    static func xxh64(_ bytes: [UInt8]) -> String {
        var hash = XXHash64()
        let span = bytes.span
        hash.update(span.bytes)
        let digits = String(hash.value(), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Of Float32 values.
    static func bytes(_ values: [Float]) -> [UInt8] {
        values.flatMap { value in (0..<4).map { UInt8(value.bitPattern >> ($0 * 8) & 255) } }
    }

    /// A manifest's line for a file of which the first `header` bytes are digested.
    static func entry(
        _ name: String, _ file: [UInt8], header: Int, _ algorithm: Algorithm
    ) -> String {
        "{\"name\": \"\(name)\", \"bytes\": \(file.count), \"digested_bytes\": \(header), "
            + "\"digest\": \"\(algorithm.label(Array(file[..<header])))\"}"
    }

    /// The lines of two empty texts.
    static func texts(_ algorithm: Algorithm) -> [String] {
        textNames.map { entry($0, [], header: 0, algorithm) }
    }

    private static let textNames = ["configuration.yaml", "tokenizer.json"]

    /// A manifest without its last line, the digest; `tensors` in JSON.
    static func manifest(version: Int, files: [String], tensors: String) -> String {
        """
        {
        "format": "murmuration-checkpoint",
        "version": \(version),
        "run": {"uuid": "u", "configuration_digest": "", "tokenizer_digest": "", \
        "dataset_digest": "", "build": "", "blas": ""},
        "counters": {"step": 1, "optimizer_updates": 1, "samples": 4},
        "files": [\(files.joined(separator: ", "))],
        "tensors": [\(tensors)],

        """
    }

    /// Writes two empty texts and the manifest, with the digest that is right.
    static func write(_ manifest: String, into folder: TemporaryFolder) throws {
        for name in textNames { try folder.write([], as: name) }
        let line = "\"digest\": \"\(Algorithm.sha256.label(Array(manifest.utf8)))\"}\n"
        try folder.write(Array((manifest + line).utf8), as: "manifest.json")
    }
}
