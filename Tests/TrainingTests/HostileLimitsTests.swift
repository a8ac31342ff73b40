import Checkpointing
import Communication
import Foundation
import Layers
import Tensors
import TestSupport
import Testing

/// What hostile files cost the program: an error with its exit code, 64 MiB more than a harmless file at most, and
/// no time to speak of: half a second of a processor, or two of one that is slow and shared, where work that grows with
/// the square of the file would take minutes.
@Suite(
    .serialized,
    .enabled(if: MeasuredRun.isPossible, "/proc does not tell what a process waits for here"))
struct HostileLimitsTests {
    static let mostBytes = 64 << 20
    static let mostSeconds = 10.0

    /// The largest costs so far.
    private struct Costs {
        let harmless: MeasuredRun
        var count = 0
        var (bytes, seconds) = (0, 0.0)
        var (largest, slowest) = ("", "")

        init(_ harmless: MeasuredRun) { self.harmless = harmless }

        mutating func expect(
            _ name: String, _ message: String, _ arguments: [String]
        ) throws {
            let run = try MeasuredRun(Program("murmur"), arguments)
            let text = run.text.prefix(2000)
            #expect(run.exitCode == 4 && !run.timedOut, "\(name): exit \(run.exitCode): \(text)")
            #expect(run.text.contains(message), "\(name): \(text)")
            #expect(run.text.hasPrefix("error: ") && run.text.hasSuffix("\n"), "\(name): \(text)")
            let extra = run.peakBytes - harmless.peakBytes
            #expect(run.peakBytes > 0 && extra <= mostBytes, "\(name): \(extra) bytes more")
            #expect(run.seconds <= mostSeconds, "\(name): \(run.seconds) s of the processor")
            count += 1
            if extra > bytes { (bytes, largest) = (extra, name) }
            if run.seconds > seconds { (seconds, slowest) = (run.seconds, name) }
        }

        func report(_ what: String) {
            print(
                String(
                    format: "hostile %@: %d, at most %.1f MiB more (%@) and %.2f s (%@)",
                    what, count, Double(bytes) / 1_048_576, largest, seconds, slowest))
        }
    }

    @Test func hostileManifestsAreCheaplyRefused() throws {
        let run = try RunFolder()
        let launch = try run.train(settings: ["run.steps=1", "run.threads=1"])
        try #require(launch.exitCode == 0, "\(launch.summary)")
        let harmless = try MeasuredRun(Program("murmur"), ["checkpoint", "verify", run.directory])
        try #require(harmless.exitCode == 0 && harmless.peakBytes > 0, "\(harmless.text)")
        var costs = Costs(harmless)
        for hostile in HostileManifest.all {
            let folder = try TemporaryFolder()
            try hostile.write(to: folder.file("step-0000000001"))
            try costs.expect(
                hostile.name, hostile.message,
                ["checkpoint", "verify", folder.file("step-0000000001")])
        }
        #expect(costs.count >= 60)
        costs.report("manifests")
    }

    /// The corpus of headers takes the place of a model's weights.
    @Test func hostileFoldersAreCheaplyRefused() throws {
        let headers = HostileFile.all.map { file in
            HostileFolder(
                name: file.name, file: "model.safetensors", content: .bytes(file.bytes),
                message: file.message)
        }
        let first = try TemporaryFolder()
        let harmless = try MeasuredRun(
            Program("murmur"),
            ["checkpoint", "import", HuggingFaceFixture.path, first.file("run")])
        try #require(harmless.exitCode == 0 && harmless.peakBytes > 0, "\(harmless.text)")
        var costs = Costs(harmless)
        for (index, hostile) in (HostileFolder.all + headers).enumerated() {
            let folder = try TemporaryFolder()
            let model = try HuggingFaceFixture.copy(into: folder)
            if index >= HostileFolder.all.count {
                try FileManager.default.removeItem(atPath: "\(model)/model.safetensors.index.json")
            }
            try hostile.write(to: model)
            try costs.expect(
                hostile.name, hostile.message,
                ["checkpoint", "import", model, folder.file("run")])
            #expect(try folder.names() == ["model"], "\(hostile.name)")
        }
        #expect(costs.count >= 150)
        costs.report("folders and headers")
    }

    /// A checkpoint with the right digests and this configuration; returns its path.
    private func checkpoint(configuration: String, in folder: TemporaryFolder) throws -> String {
        let reader = try CheckpointReader(
            path: "\(packageRoot)/Tests/Fixtures/format_2/step-0000000002")
        let state = reader.manifest.tensors.map { entry in
            let count = entry.spec.shape.count
            return StateTensor(
                name: entry.name, spec: ShardSpec(replicated: entry.spec.shape),
                pieces: [.init(range: 0..<count, buffer: Buffer(count: count))])
        }
        try reader.restore(into: state)
        var progress = reader.progress
        progress.identity.configuration = configuration
        progress.identity.configurationDigest = ContentDigest.hexadecimal(configuration)
        return try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
            state, progress: progress, communicator: InProcess.alone()
        ).path
    }

    @Test func hostileConfigurationsAreCheaplyRefused() throws {
        func lines(_ count: Int, _ line: (Int) -> String) -> String {
            (0..<count).map(line).joined()
        }
        let first = try TemporaryFolder()
        // Refused as well, for one section that is none.
        let harmless = try MeasuredRun(
            Program("murmur"),
            ["evaluate", "--checkpoint", checkpoint(configuration: "run: 1\n", in: first)])
        try #require(harmless.exitCode == 4 && harmless.peakBytes > 0, "\(harmless.text)")
        var costs = Costs(harmless)
        for (name, text, message) in [
            (
                "50,000 unknown keys", "model:\n" + lines(50_000) { "  k\($0): 1\n" },
                " more problems"
            ),
            ("50,000 unknown sections", lines(50_000) { "section\($0): 1\n" }, " more problems"),
            (
                "60,000 anchors", "run:\n" + lines(60_000) { "  k\($0): &a 1\n" },
                "and 59980 more problems"
            ),
            (
                "2 MiB", String(repeating: "#", count: 2 << 20),
                "configuration.yaml: expected at most 1 MiB"
            ),
        ] {
            let folder = try TemporaryFolder()
            let path = try checkpoint(configuration: text, in: folder)
            try costs.expect(name, message, ["evaluate", "--checkpoint", path])
            try costs.expect(
                "\(name): a change", message,
                ["evaluate", "--checkpoint", path, "--set", "data.cache=\(folder.file("cache"))"])
        }
        costs.report("configurations")
    }

    /// The control: the measure sees memory and time where they are spent.
    @Test func theMeasureMeasures() throws {
        // 200 MB in a shell's variable.
        let script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}"
        let run = try MeasuredRun(Program(path: "/bin/sh"), ["-c", script])
        #expect(run.text == "100000000\n" && run.exitCode == 0)
        #expect(run.peakBytes > HostileLimitsTests.mostBytes, "\(run.peakBytes)")
    }
}
