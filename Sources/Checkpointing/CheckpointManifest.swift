// The manifest of a checkpoint: what it holds, where, and the digest of every byte. The format is
// described in docs/checkpoint-format.md; CheckpointManifest+Reading.swift is the other direction.

import Layers
import Tensors

/// What `manifest.json` says.
public struct CheckpointManifest: Sendable, Equatable {
    /// A file of the checkpoint.
    public struct File: Sendable, Equatable {
        public let name: String
        public let byteCount: Int
        /// The digest covers this many bytes from the file's beginning: all of a text, the header of a
        /// safetensors file, whose other bytes the tensors' digests cover.
        public let digestedByteCount: Int
        public let digest: String

        /// Whether it is a safetensors file.
        var holdsTensors: Bool { name.hasSuffix(".safetensors") }
    }

    /// Consecutive elements of a tensor and where they are, as manifests before version 3 say it.
    struct Part: Sendable, Equatable {
        let file: String
        /// The name that the file has them under.
        let key: String
        /// In memory order (`ShardSpec`) in version 2, in logical order before.
        let elements: Range<Int>
        let digest: String
    }

    /// A tensor of the state, Float32.
    public struct Entry: Sendable, Equatable {
        public let name: String
        /// Its logical shape, and how the run that saved it cut it.
        public let spec: ShardSpec
        /// In ascending order, covering the tensor; none since version 3, where files say what they have.
        let parts: [Part]

        init(name: String, spec: ShardSpec, parts: [Part] = []) {
            (self.name, self.spec, self.parts) = (name, spec, parts)
        }
    }

    /// The version that is written; older ones are read.
    public static let version = 3
    /// What a file's `__metadata__` has the digests of its tensors under.
    static let digestsKey = "xxh64"
    static let fileName = "manifest.json"
    static let configurationName = "configuration.yaml"
    static let tokenizerName = "tokenizer.json"

    public let formatVersion: Int
    public internal(set) var progress: TrainingProgress
    public let files: [File]
    /// In ascending order of their names' UTF-8 bytes.
    public let tensors: [Entry]

    /// The manifest as JSON; its last line is the digest of all bytes before that line.
    func encoded() -> [UInt8] {
        let identity = progress.identity
        let run = [
            ("uuid", identity.run), ("configuration_digest", identity.configurationDigest),
            ("tokenizer_digest", identity.tokenizerDigest),
            ("dataset_digest", identity.datasetDigest), ("build", identity.build),
            ("blas", identity.blas),
        ].map { "\"\($0)\": \($1.json)" }
        let text = """
            {
            "format": "\(CheckpointManifest.format)",
            "version": \(formatVersion),
            "run": {\(run.joined(separator: ", "))},
            "counters": {\(counters.joined(separator: ", "))},
            "files": [
            \(files.map(\.json).joined(separator: ",\n"))
            ],
            "tensors": [
            \(tensors.map(\.json).joined(separator: ",\n"))
            ],

            """
        let body = Array(text.utf8)
        return body + CheckpointManifest.lastLine(after: body)
    }

    /// The order in which the parts of a tensor have its elements: a replicated tensor's is the logical one.
    func order(of entry: Entry) -> ShardSpec {
        formatVersion == 1 ? ShardSpec(replicated: entry.spec.shape) : entry.spec
    }

    static let format = "murmuration-checkpoint"

    static func lastLine(after body: [UInt8]) -> [UInt8] {
        Array("\"digest\": \"\(ContentDigest.labelled(body))\"}\n".utf8)
    }

    private var counters: [String] {
        var counters = [
            "\"step\": \(progress.step)", "\"optimizer_updates\": \(progress.optimizerUpdates)",
            "\"samples\": \(progress.samples)",
        ]
        if let scale = progress.lossScale {
            counters.append(
                "\"loss_scale\": {\"scale\": \(scale.scale), \"good_steps\": \(scale.goodSteps), "
                    + "\"hysteresis\": \(scale.hysteresis), \"lost_steps\": \(scale.lostSteps)}")
        }
        return counters
    }
}

extension CheckpointManifest.File {
    fileprivate var json: String {
        "{\"name\": \(name.json), \"bytes\": \(byteCount), \"digested_bytes\": \(digestedByteCount), "
            + "\"digest\": \(digest.json)}"
    }
}

extension CheckpointManifest.Entry {
    fileprivate var json: String {
        var members = [
            "\"name\": \(name.json)", "\"dtype\": \"float32\"",
            "\"shape\": \(spec.shape.description)",
        ]
        if let axis = spec.axis {
            let segments = spec.segments.map { "[\($0.units), \($0.unitSize)]" }
            members.append(
                "\"sharding\": {\"axis\": \(axis), \"segments\": [\(segments.joined(separator: ", "))], "
                    + "\"slices\": \(spec.sliceCount)}")
        }
        return "{\(members.joined(separator: ", "))}"
    }
}

/// The digest of a state: SHA-256 of a text with a line for each counter and tensor.
///
/// It depends on names, logical shapes and Float32 bytes; not on layout, files, run, time.
/// - Parameter tensors: with the SHA-256 of their bytes in logical order.
func stateDigest(
    of progress: TrainingProgress, tensors: [(name: String, shape: Shape, digest: String)]
) -> String {
    let scale = progress.lossScale.map {
        "\($0.scale) \($0.goodSteps) \($0.hysteresis) \($0.lostSteps)"
    }
    var text = """
        murmuration state 1
        counter data.samples \(progress.samples)
        counter loss_scale \(scale ?? "none")
        counter optimizer.updates \(progress.optimizerUpdates)
        counter step \(progress.step)

        """
    for tensor in tensors.sorted(by: { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }) {
        text += "tensor \(tensor.name) float32 \(tensor.shape) \(tensor.digest)\n"
    }
    var digest = ContentDigest()
    digest.update(Array(text.utf8))
    return digest.hexadecimal()
}
