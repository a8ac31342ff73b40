// The power is cut at any moment of a run that saves after every step: no checkpoint is lost that the run
// said to have saved, and what is found is a state that the run had.

import Foundation
import TestSupport
import Testing

/// A run that saves after every step, of some 60 steps and a MiB.
private struct SavingRun {
    static let count = Chaos.trials(60, short: 20)
    static let settings = [
        "run.steps=\(count)", "run.threads=1", "model.layers=2", "model.width=60",
        "evaluation.every=0", "checkpoint.every=1",
    ]

    /// Undisturbed, with everything kept.
    static let undisturbed = Result {
        let run = try RunFolder()
        let launch = try run.train(settings: settings + ["checkpoint.keep=\(count)"])
        guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
        return try Undisturbed(run, stepCount: count)
    }
}

/// A run whose power is cut again and again, while it goes on.
private struct Experiment {
    let fileSystem: PowerCutDisk.FileSystem
    let ranks: Int?
    let undisturbed: Undisturbed
    let place: PowerCutDisk.Place
    /// The moments of the cuts.
    var generator: Dice
    /// Programs that stand before murmur.
    var wrapper: [String] = []
    /// Every so many cuts, a run is resumed from what was left.
    var resumesEvery = 10

    private(set) var cuts = 0
    private(set) var resumed = 0
    /// Cuts during which a save was under way, by what they left.
    private(set) var withinSaves = 0
    /// Cuts that found a later step than the last one that was said to be saved.
    private(set) var ahead = 0
    private(set) var faults: [String] = []

    init(
        _ fileSystem: PowerCutDisk.FileSystem, ranks: Int?, seed: UInt64,
        in place: PowerCutDisk.Place,
        against undisturbed: Undisturbed
    ) {
        (self.fileSystem, self.ranks, self.undisturbed) = (fileSystem, ranks, undisturbed)
        (self.place, generator) = (place, Dice(seed: seed))
    }

    /// Runs, as often as it takes for so many cuts.
    mutating func run(cuts wanted: Int) throws {
        while cuts < wanted {
            let before = cuts
            try oneRun(cuts: wanted)
            guard cuts > before else {
                throw NotFound(description: "power cuts: expected a save to meet, found none")
            }
        }
    }

    private mutating func oneRun(cuts wanted: Int) throws {
        let run = try RunFolder()
        let disk = try PowerCutDisk(fileSystem, in: place, at: run.directory)
        defer { withExtendedLifetime(run) { disk.end() } }
        let train =
            ["train", "\(packageRoot)/\(RunFolder.configuration)"]
            + run.settings(SavingRun.settings + ["checkpoint.keep=2"])
        let murmur = try Program("murmur")
        let words = wrapper + [murmur.path] + train
        let end = monotonicSeconds() + 300  // of a run that hangs
        let launch = try Program(path: words[0]).run(
            Array(words.dropFirst()), ranks: ranks, timeout: 600
        ) { running in
            while isAlive(running.process), cuts < wanted, monotonicSeconds() < end {
                guard isSaving(run) else {
                    usleep(500)
                    continue
                }
                let delay = UInt32.random(in: 0...50_000, using: &generator)
                usleep(delay)
                let acknowledged = lastSaved(in: running.errors)
                do { try cut(disk, acknowledged: acknowledged, delay: delay) } catch {
                    faults.append("cut \(cuts): \(error)")
                    return true
                }
            }
            return true
        }
        if launch.exitCode != 0 { faults.append("the run: \(launch.summary)") }
    }

    private func isSaving(_ run: RunFolder) -> Bool {
        let names = try? run.folder.names(in: "run/checkpoints")
        return names?.contains { $0.hasPrefix(".tmp-") } ?? false
    }

    private mutating func cut(_ disk: PowerCutDisk, acknowledged: Int, delay: UInt32) throws {
        cuts += 1
        let found = try RunFolder()
        let copy = try disk.cut(mountingAt: found.directory)
        defer { withExtendedLifetime(found) { copy.end() } }
        let remains = Remains(of: found.directory, acknowledged: acknowledged, against: undisturbed)
        let names = (try? found.folder.names(in: "run/checkpoints")) ?? []
        if names.contains(where: { $0.hasPrefix(".") }) { withinSaves += 1 }
        if (remains.step ?? 0) > acknowledged { ahead += 1 }
        var faults = remains.faults
        if cuts % resumesEvery == 0 { faults += try resume(found, from: remains.step ?? 0) }
        guard !faults.isEmpty else { return }
        self.faults.append(
            "cut \(cuts), \(delay) µs into a save, after step \(acknowledged) was saved: "
                + "\(faults); there are \(names)")
    }

    /// Goes on to the end from what a cut has left; returns what is wrong with that.
    private mutating func resume(_ run: RunFolder, from step: Int) throws -> [String] {
        resumed += 1
        let rows = Array(run.metrics.prefix(step))
        let launch = try run.train(
            settings: SavingRun.settings + ["checkpoint.every=0"], ["--resume", "--restart"])
        guard launch.exitCode == 0 else { return ["resume: \(launch.summary)"] }
        let end = Remains(
            of: run.directory, acknowledged: undisturbed.stepCount, against: undisturbed)
        let isSame = run.lossBits == undisturbed.lossBits
        let isKept = Array(run.metrics.prefix(step)) == rows
        return end.faults + (isSame ? [] : ["resume: other losses"])
            + (isKept ? [] : ["resume: earlier rows have changed"])
    }
}

extension Chaos {
    @Suite(.serialized) struct PowerCuts {
        struct Case: CustomStringConvertible, Sendable {
            var fileSystem = PowerCutDisk.FileSystem.ext4
            var ranks: Int?
            var cuts = 200

            var description: String { "\(fileSystem.rawValue), \(ranks ?? 1) ranks" }
        }

        static let cases: [Case] =
            Chaos.isLong
            ? [Case(), Case(fileSystem: .xfs, cuts: 100), Case(ranks: 2, cuts: 50)]
            : [Case(cuts: 3)]

        static let needs: Comment = "needs root, loop devices, mkfs.ext4 and mkfs.xfs"

        @Test(.enabled(if: PowerCutDisk.isPossible, needs), arguments: cases)
        func nothingThatWasSaidToBeSavedIsLost(_ trial: Case) throws {
            let seed = Dice.seed
            var experiment = Experiment(
                trial.fileSystem, ranks: trial.ranks, seed: seed, in: try PowerCutDisk.Place(),
                against: try SavingRun.undisturbed.get())
            if !Chaos.isLong { experiment.resumesEvery = 3 }
            try experiment.run(cuts: trial.cuts)
            let faults = experiment.faults
            // Most of the time such a run is saving: cuts that were not would show nothing.
            #expect(
                experiment.withinSaves >= experiment.cuts / 4 || !Chaos.isLong,
                "\(trial), seed \(seed)")
            #expect(
                faults.isEmpty,
                "\(trial), seed \(seed), \(faults.count) faults: \(faults.joined(separator: "\n"))")
            Chaos.report(
                "power cuts, \(trial): \(experiment.cuts), \(experiment.withinSaves) of them within a "
                    + "save or a removal, \(experiment.ahead) with a step that was not yet said to be "
                    + "saved; \(faults.count) faults; \(experiment.resumed) resumed to the end")
        }

        /// The control: where `fsync` does nothing, cuts do take what was said to be saved.
        @Test(
            .enabled(if: Chaos.isLong && PowerCutDisk.isPossible, "one of the long form; \(needs)"),
            .enabled(if: Injection.isPossible, "\(Injection.requirement)"),
            arguments: PowerCutDisk.FileSystem.allCases)
        func withoutSynchronizingCheckpointsAreLost(_ fileSystem: PowerCutDisk.FileSystem) throws {
            var experiment = Experiment(
                fileSystem, ranks: nil, seed: Dice.seed, in: try PowerCutDisk.Place(),
                against: try SavingRun.undisturbed.get())
            experiment.resumesEvery = .max
            experiment.wrapper = [
                try #require(Injection.program), "-f", "--seccomp-bpf", "-o", "/dev/null",
                "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0",
            ]
            try experiment.run(cuts: 10)
            let lost = experiment.faults.count { $0.contains("said to have saved step") }
            #expect(lost > 0, "\(fileSystem): \(experiment.faults)")
            Chaos.report(
                "power cuts without fsync, \(fileSystem.rawValue): \(lost) of \(experiment.cuts) lost "
                    + "a checkpoint, as they must")
        }

    }
}
