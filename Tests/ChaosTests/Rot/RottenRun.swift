import Checkpointing
import Foundation
import TestSupport
import Testing

/// A run with two checkpoints, of two ranks each, whose newer one is damaged and mended again.
struct RottenRun {
    static let (older, newer) = (20, 40)
    static let olderFolder = "checkpoints/step-0000000020"
    static let newerFolder = "checkpoints/step-0000000040"

    /// The run, stopped at step 40 of 50.
    static let image = Result { try stopped() }
    /// The same run, never stopped.
    static let undisturbed = Result {
        let run = try RunFolder()
        let launch = try run.train(settings: settings)
        try requireDone(launch)
        return try RunOutcome(run)
    }

    /// A run of the configuration, with other settings where they are given.
    static func stopped(_ others: [String] = []) throws -> RunImage {
        let run = try RunFolder()
        try requireDone(
            try run.train(ranks: 2, settings: settings + others, ["--stop-at", "\(newer)"]))
        guard run.checkpoints == [older, newer] else {
            throw NotFound(description: "checkpoints: expected 20 and 40, found \(run.checkpoints)")
        }
        return try RunImage(of: run)
    }

    static let settings = ["run.threads=1", "checkpoint.every=20"]

    static func requireDone(_ launch: Launch) throws {
        if launch.exitCode != 0 { throw NotFound(description: launch.summary) }
    }

    let run: RunFolder
    let image: RunImage
    var directory: String { run.directory }

    init(_ image: RunImage) throws {
        self.image = image
        run = try image.write(to: RunFolder())
    }

    init() throws { try self.init(RottenRun.image.get()) }

    // MARK: Files of the newer checkpoint

    /// Names of the files, sorted; those of the other checkpoint are the same.
    var names: [String] {
        image.files.keys.filter { $0.hasPrefix("\(RottenRun.newerFolder)/") }
            .map { String($0.split(separator: "/").last ?? "") }.sorted()
    }

    func path(_ name: String) -> String { "\(directory)/\(RottenRun.newerFolder)/\(name)" }

    /// A file's bytes as they were saved.
    func saved(_ name: String) -> [UInt8] {
        image.files["\(RottenRun.newerFolder)/\(name)"] ?? []
    }

    func write(_ bytes: [UInt8], _ name: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
    }

    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path(name)) }

    /// Makes both checkpoints what they were, and the metrics.
    func mend() throws {
        try? FileManager.default.removeItem(atPath: "\(directory)/checkpoints")
        try image.write(to: run)
    }

    /// Runs `body` while the older checkpoint is away.
    func withoutOlder<Value>(_ body: () throws -> Value) throws -> Value {
        let (place, away) = ("\(directory)/\(RottenRun.olderFolder)", run.folder.file("older"))
        try FileManager.default.moveItem(atPath: place, toPath: away)
        defer { try? FileManager.default.moveItem(atPath: away, toPath: place) }
        return try body()
    }

    // MARK: What must come of damage

    /// nil: the older checkpoint is taken, and the reason why not the newer one has all of `reasons`.
    func objection(reasons: [String], ranks: Int = 1) -> String? {
        Search(directory, ranks: ranks).objection(step: RottenRun.older, reasons: reasons)
    }

    /// nil: the newer checkpoint is taken without a word.
    func objectionToClean(ranks: Int = 1) -> String? {
        Search(directory, ranks: ranks).objection(step: RottenRun.newer)
    }

    /// nil: with no other checkpoint the program ends with exit code 4 before the first step, in one error that
    /// has all of `reasons`, and touches nothing; so does its command that verifies.
    func objectionOfProgram(reasons: [String], ranks: Int?) throws -> String? {
        try withoutOlder {
            let before = run.metrics
            let launch = try run.train(ranks: ranks, settings: RottenRun.settings, ["--resume"])
            let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
            guard launch.exitCode == 4, !launch.timedOut, errors.count == 1,
                reasons.allSatisfy({ errors[0].contains($0) }), run.metrics == before
            else { return "train --resume: expected \(reasons), found \(launch.summary)" }
            let verify = try murmur(["checkpoint", "verify", directory])
            guard verify.exitCode == 4, !verify.timedOut,
                reasons.allSatisfy({ verify.errors.contains($0) })
            else { return "checkpoint verify: expected \(reasons), found \(verify.summary)" }
            return nil
        }
    }

    /// nil: the program goes on from the older checkpoint, says why, and ends with the bits of a run that nothing
    /// happened to. The run is mended afterwards.
    func objectionToFallBack(reasons: [String], layout: RunLayout) throws -> String? {
        let launch = try run.train(
            ranks: layout.ranks, settings: layout.settings + ["checkpoint.every=20"], ["--resume"])
        defer { try? mend() }
        let warnings = launch.errorLines.filter { $0.hasPrefix("warning: passed over: ") }
        guard launch.exitCode == 0, warnings.count == 1,
            reasons.allSatisfy({ warnings[0].contains($0) }),
            launch.errors.contains("resuming at step \(RottenRun.older)")
        else { return "\(layout): expected \(reasons), found \(launch.summary)" }
        guard try RunOutcome(run) == RottenRun.undisturbed.get() else {
            return "\(layout): other bits than those of an undisturbed run; \(launch.summary)"
        }
        let verify = try murmur(["checkpoint", "verify", directory])
        return verify.exitCode == 0 ? nil : "\(layout): after the run: \(verify.summary)"
    }
}

/// Whether all trials went as they should; the first that did not are said.
func expectNone(_ objections: [String], of count: Int, _ what: String) {
    let areNone = objections.isEmpty  // or all of them would be printed
    #expect(
        areNone,
        "\(what): \(objections.count) of \(count), seed \(Dice.seed): \(objections.prefix(3))")
}
