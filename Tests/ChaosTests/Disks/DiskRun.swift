import Foundation
import Glibc
import TestSupport
import Testing

/// A short run of same-bits that saves six times and removes nothing, for what happens to its disk.
struct DiskRun {
    /// Who takes part.
    enum Layout: String, CaseIterable, Sendable {
        case alone, data, tensor

        var ranks: Int? { self == .alone ? nil : 2 }

        /// Of a whole job; 1 where there is no launcher.
        var rankCount: Int { ranks ?? 1 }
    }

    static let (lastStep, interval) = (24, 4)

    let layout: Layout
    let run: RunFolder

    init(_ layout: Layout) throws {
        self.layout = layout
        run = try RunFolder()
    }

    /// One thread a rank, so that two ranks do not fight for the cores of a small machine.
    var settings: [String] {
        [
            "run.steps=\(DiskRun.lastStep)", "checkpoint.every=\(DiskRun.interval)",
            "checkpoint.keep=9", "batch.sequences=12", "evaluation.every=0", "run.threads=1",
            "parallelism.tensor=\(layout == .tensor ? 2 : 1)",
        ]
    }

    /// `murmur train`; what is given later overrides.
    func train(
        settings others: [String] = [], _ arguments: [String] = [],
        whileRunning: (Program.Running) -> Bool = { _ in true }
    ) throws -> Launch {
        try run.train(
            ranks: layout.ranks, settings: settings + others, arguments, whileRunning: whileRunning)
    }

    /// The words of `murmur train`, for a rank that is started in another way.
    func words(_ arguments: [String] = []) -> [String] {
        ["train", RunFolder.configuration] + run.settings(settings) + arguments
    }

    var checkpointFolder: String { "\(run.directory)/checkpoints" }

    // MARK: The undisturbed run

    /// What no trial may differ from, and what a checkpoint takes on a disk of pages.
    struct Reference: Sendable {
        let outcome: RunOutcome
        let checkpointBytes: Int
    }

    static func reference(_ layout: Layout) throws -> Reference {
        switch layout {
        case .alone: try alone.get()
        case .data: try data.get()
        case .tensor: try tensor.get()
        }
    }

    private static let alone = measured(.alone)
    private static let data = measured(.data)
    private static let tensor = measured(.tensor)

    private static func measured(_ layout: Layout) -> Result<Reference, any Error> {
        Result {
            let run = try DiskRun(layout)
            let launch = try run.train()
            let outcome = try RunOutcome(run.run)
            guard launch.exitCode == 0, outcome.lossBits.count == lastStep else {
                throw NotFound(description: "an undisturbed run: \(launch.summary)")
            }
            let folder = run.run.checkpoint(lastStep)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder)
            let bytes = try names.reduce(0) { sum, name in
                let size = try FileManager.default.attributesOfItem(atPath: "\(folder)/\(name)")
                return sum + ((size[.size] as? Int ?? 0) + 4095) / 4096 * 4096
            }
            return Reference(outcome: outcome, checkpointBytes: bytes)
        }
    }

    // MARK: What must hold after any trial

    /// No folder bears a checkpoint's name and is none; losses are those of the undisturbed run as far as it
    /// came; a run that says that it is done is done.
    func expectIntact(_ launch: Launch, _ trial: String, directory: String? = nil) throws {
        let reference = try DiskRun.reference(layout).outcome
        #expect(!launch.timedOut, "\(trial): hangs: \(launch.summary)")
        #expect(waitUntil { run.ranks.isEmpty }, "\(trial): processes are left: \(run.ranks)")
        let bits = run.lossBits
        #expect(
            bits == Array(reference.lossBits.prefix(bits.count)), "\(trial): losses \(bits)")
        if !run.checkpoints.isEmpty {
            let verify = try murmur(["checkpoint", "verify", run.directory])
            #expect(
                verify.exitCode == 0 && verify.errors == "", "\(trial): \(verify.summary)")
        }
        guard launch.exitCode == 0 else { return }
        #expect(run.checkpoints.last == DiskRun.lastStep, "\(trial): \(run.checkpoints)")
        let outcome = try RunOutcome(run)
        #expect(outcome == reference, "\(trial): \(outcome)\n\(launch.summary)")
    }

    /// Exactly one line of error, with all of `parts`.
    static func expectOneError(_ launch: Launch, naming parts: [String], _ trial: String) {
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == 1, "\(trial): \(launch.summary)")
        for part in parts {
            #expect(
                errors.first?.contains(part) == true, "\(trial): no \(part): \(launch.summary)")
        }
    }
}

extension Launch {
    /// Saves that it gave up and went on.
    var savesGivenUp: [String] {
        errorLines.filter { $0.hasPrefix("warning:") && $0.contains("checkpoint not saved") }
    }

    /// The save that it did not bear, and how many in a row had failed by then.
    var endedBySave: (step: Int, inARow: Int)? {
        let form =
            #/^error: step (\d+): checkpoint not saved: .*?(?:; (\d+) saves in a row have failed)?$/#
        guard let found = errorLines.lazy.compactMap({ $0.firstMatch(of: form) }).first,
            let step = Int(found.1)
        else { return nil }
        return (step, found.2.flatMap { Int($0) } ?? 1)
    }
}

/// Numbers that a trial can be made from again.
struct Draws: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
