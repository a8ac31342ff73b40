import Foundation

/// The program as a user runs it, in the repository's root, under mpirun where `ranks` says so.
package func murmur(
    _ arguments: [String], ranks: Int? = nil, timeout: Double = Program.patience,
    whileRunning: (Program.Running) -> Bool = { _ in true }
) throws -> Launch {
    try Program("murmur").run(
        arguments, ranks: ranks, timeout: timeout, whileRunning: whileRunning)
}

/// A place for a run of configs/tests/same-bits.yaml: every path it writes lies in one folder.
package struct RunFolder {
    package static let configuration = "configs/tests/same-bits.yaml"

    package let folder: TemporaryFolder

    package init() throws { folder = try TemporaryFolder() }

    /// The run's own folder; a run makes it.
    package var directory: String { folder.file("run") }

    /// The settings that keep a run within the folder, and others. MURMUR_CHAOS_STORAGE=float16 has every run that
    /// does not say otherwise store halves.
    package func settings(_ others: [String] = []) -> [String] {
        let storage = ProcessInfo.processInfo.environment["MURMUR_CHAOS_STORAGE"]
        let own = ["run.directory=\(directory)", "data.cache=\(folder.file("cache"))"]
        return (own + (storage.map { ["precision.storage=\($0)"] } ?? []) + others)
            .flatMap { ["--set", $0] }
    }

    /// `murmur train`, alone or on so many ranks, with these settings and further arguments.
    package func train(
        ranks: Int? = nil, settings: [String] = [], _ arguments: [String] = [],
        whileRunning: (Program.Running) -> Bool = { _ in true }
    ) throws -> Launch {
        try murmur(
            ["train", RunFolder.configuration] + self.settings(settings) + arguments, ranks: ranks,
            whileRunning: whileRunning)
    }

    // MARK: What a run has left

    /// Lines of `metrics.jsonl`, a torn last one too.
    package var metrics: [String] {
        let data = FileManager.default.contents(atPath: "\(directory)/metrics.jsonl") ?? Data()
        return data.split(separator: 0x0A, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }.filter { !$0.isEmpty }
    }

    /// Every step's loss as its bit pattern.
    package var lossBits: [String] {
        metrics.compactMap {
            $0.firstMatch(of: /"loss_bits": "([0-9a-f]{8})"/).map { String($0.1) }
        }
    }

    /// Steps of the checkpoints, ascending.
    package var checkpoints: [Int] {
        let names = (try? folder.names(in: "run/checkpoints")) ?? []
        return names.compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }.sorted()
    }

    package func checkpoint(_ step: Int) -> String {
        "\(directory)/checkpoints/step-" + String(format: "%010d", step)
    }

    /// What `murmur checkpoint digest` says of the newest checkpoint.
    package func digest() throws -> String {
        let launch = try murmur(["checkpoint", "digest", directory])
        return launch.exitCode == 0 ? launch.output : launch.summary
    }

    /// Ranks of this run that are alive.
    package var ranks: [pid_t] { processes(of: "murmur", naming: folder.path) }
}

/// What a run of 50 steps gave.
package struct RunOutcome: Sendable, Equatable {
    package let digest: String
    package let lossBits: [String]

    package init(_ run: RunFolder) throws { (digest, lossBits) = (try run.digest(), run.lossBits) }

    package var losses: [Float] {
        lossBits.compactMap { UInt32($0, radix: 16).map(Float.init(bitPattern:)) }
    }

    /// A digest of 64 digits and a loss a step.
    package var isWhole: Bool {
        digest.wholeMatch(of: /[0-9a-f]{64}\n/) != nil && lossBits.count == 50
    }
}
