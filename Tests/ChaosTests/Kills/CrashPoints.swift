// A rank is killed at each call by which it changes the run's folder, during a save and the removal of the
// checkpoint before: the old or the new checkpoint is there afterwards, and the run goes on from it as if
// nothing had been.

import Foundation
import TestSupport
import Testing

/// A run of five steps that saves after the fourth and the last one, and keeps one checkpoint.
private struct FiveSteps {
    enum Layout: String, CaseIterable {
        case alone
        case copies = "2 copies"
        case slices = "2 slices"

        var ranks: Int? { self == .alone ? nil : 2 }
        var settings: [String] { self == .slices ? ["parallelism.tensor=2"] : [] }
    }

    static let count = 5
    private static let small = [
        "run.steps=\(count)", "run.threads=1", "model.layers=1", "evaluation.every=0",
    ]

    /// Undisturbed, with everything kept.
    static let undisturbed = Result {
        let run = try RunFolder()
        let keep = ["checkpoint.every=1", "checkpoint.keep=9"]
        let launch = try run.train(settings: small + keep)
        guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
        return try Undisturbed(run, stepCount: count)
    }

    /// A run that has done so many steps, in a layout; 0: none, in an empty folder.
    static func begun(_ layout: Layout, steps: Int) throws -> RunFolder {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: layout.ranks, settings: settings(layout), ["--stop-at", "\(max(steps, 1))"])
        guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
        if steps == 0 {
            try FileManager.default.removeItem(atPath: run.directory)
            try FileManager.default.createDirectory(
                atPath: run.directory, withIntermediateDirectories: false)
        }
        return run
    }

    static func settings(_ layout: Layout) -> [String] {
        small + ["checkpoint.every=2", "checkpoint.keep=1"] + layout.settings
    }

    /// Another with the same in it.
    static func copy(of run: RunFolder) throws -> RunFolder {
        let copy = try RunFolder()
        for name in try run.folder.names() {
            try FileManager.default.copyItem(
                atPath: run.folder.file(name), toPath: copy.folder.file(name))
        }
        return copy
    }

    /// Goes on with a run, one rank of which is watched, and killed where `call` says so.
    static func goOn(
        _ run: RunFolder, _ layout: Layout, watching victim: Int, killAt call: FileCall? = nil,
        log: String
    ) throws -> Launch {
        let train =
            ["train", "\(packageRoot)/\(RunFolder.configuration)", "--resume", "--restart"]
            + run.settings(settings(layout))
        let (watcher, murmur) = (try Program("FileCalls"), try Program("murmur"))
        let watched =
            [run.directory, log] + (call.map { ["--\($0.moment)", $0.line] } ?? [])
            + [murmur.path] + train
        guard let ranks = layout.ranks else { return try watcher.run(watched) }
        return try Program.run(
            (0..<ranks).map {
                $0 == victim
                    ? Program.Rank(watcher.path, watched) : Program.Rank(murmur.path, train)
            })
    }
}

extension Chaos {
    @Suite(.serialized) struct CrashPoints {
        struct Victim: CustomStringConvertible, Sendable {
            fileprivate var layout = FiveSteps.Layout.alone
            var rank = 0
            /// Steps done before it begins.
            var start = 2

            var description: String { "\(layout.rawValue), rank \(rank), after step \(start)" }
        }

        static let victims: [Victim] =
            Chaos.isLong
            ? [
                Victim(), Victim(start: 0), Victim(layout: .copies),
                Victim(layout: .copies, rank: 1),
                Victim(layout: .slices), Victim(layout: .slices, rank: 1),
            ] : [Victim()]

        @Test(
            .enabled(if: FileCall.isPossible, "needs ptrace on an x86-64 machine"),
            arguments: victims)
        func killedAtAnyCallARunLeavesTheOldOrTheNew(_ victim: Victim) throws {
            let undisturbed = try FiveSteps.undisturbed.get()
            let begun = try FiveSteps.begun(victim.layout, steps: victim.start)
            let calls = try callsOfASave(victim, begun)
            #expect(calls.count > (victim.rank == 0 ? 40 : 6), "\(victim): \(calls)")

            let chosen = Chaos.isLong ? calls : spread(calls)
            var steps: [Int] = []
            for (number, call) in chosen.enumerated() {
                let trial = Trial(
                    name: "\(victim), \(call)", number: number, victim: victim, call: call)
                steps.append(try trial.run(FiveSteps.copy(of: begun), undisturbed))
            }
            let counts = Set(steps).sorted().map { step in
                "\(steps.count { $0 == step }) at step \(step)"
            }
            Chaos.report(
                "\(victim): killed at \(chosen.count) points of \(calls.count); found "
                    + counts.joined(separator: ", "))
        }

        /// The ways to die in an undisturbed run: from its start to its end, or to that of a first save; of
        /// several ranks, from the second save's beginning to the end of the removal of the one before.
        private func callsOfASave(_ victim: Victim, _ begun: RunFolder) throws -> [FileCall] {
            let run = try FiveSteps.copy(of: begun)
            let log = run.folder.file("log")
            let launch = try FiveSteps.goOn(run, victim.layout, watching: victim.rank, log: log)
            #expect(launch.exitCode == 0, "\(victim): \(launch.summary)")
            let calls = FileCall.all(in: log)
            if victim.start == 0 {
                return calls.filter { call in
                    !["-0000000004", "-0000000005"].contains(where: call.line.contains)
                }
            }
            guard victim.layout != .alone else { return calls }
            return calls.filter {
                $0.line.contains("step-0000000004-") || $0.line.contains("step-0000000002")
                    || $0.line.hasSuffix(" checkpoints 1") || $0.line.hasSuffix(" checkpoints 2")
            }
        }

        /// A few that differ: at a torn manifest, before the rename, and while the old one goes.
        private func spread(_ calls: [FileCall]) -> [FileCall] {
            let kinds: [(FileCall.Moment, String)] = [
                (.within, "manifest.json 1"), (.before, ".tmp-step-0000000004-* 1"),
                (.after, "manifest.json 1"),
            ]
            return kinds.compactMap { moment, end in
                calls.first {
                    $0.moment == moment && $0.line.hasSuffix(end)
                        && ["write", "pwrite64", "rename", "unlink"].contains(
                            where: $0.line.hasPrefix)
                }
            }
        }
    }
}

/// One death and what comes after it.
private struct Trial {
    let name: String
    let number: Int
    let victim: Chaos.CrashPoints.Victim
    let call: FileCall

    /// Returns the step that was found.
    func run(_ run: RunFolder, _ undisturbed: Undisturbed) throws -> Int {
        let log = run.folder.file("log")
        let rows = run.metrics
        let launch = try FiveSteps.goOn(
            run, victim.layout, watching: victim.rank, killAt: call, log: log)
        #expect(FileCall.lines(of: log).last == "killed", "\(name): not met\n\(launch.summary)")
        #expect(launch.exitCode == 137, "\(name): \(launch.summary)")
        #expect(waitUntil { run.ranks.isEmpty }, "\(name): ranks left behind: \(run.ranks)")

        let remains = Remains(
            of: run.directory, acknowledged: max(lastSaved(in: launch.errors), victim.start),
            against: undisturbed)
        #expect(remains.faults.isEmpty, "\(name): \(remains.faults)\n\(launch.summary)")
        if remains.step != nil {
            let verify = try murmur(["checkpoint", "verify", run.directory])
            #expect(verify.exitCode == 0, "\(name): \(verify.summary)")
        }
        try resume(run, rows: rows, from: remains.step ?? 0, undisturbed)
        return remains.step ?? 0
    }

    /// Goes on to the end: now and then in another layout than the one that was killed.
    private func resume(
        _ run: RunFolder, rows: [String], from step: Int, _ undisturbed: Undisturbed
    ) throws {
        let layouts = FiveSteps.Layout.allCases
        let layout = number % 5 == 4 ? layouts[1 + number / 5 % 2] : .alone
        let kept = Array(run.metrics.prefix(step))
        let launch = try run.train(
            ranks: layout.ranks, settings: FiveSteps.settings(layout), ["--resume", "--restart"])
        let name = "\(name), resumed from \(step) with \(layout.rawValue)"
        #expect(launch.exitCode == 0, "\(name): \(launch.summary)")
        #expect(run.lossBits == undisturbed.lossBits, "\(name): \(run.metrics)")
        #expect(Array(run.metrics.prefix(step)) == kept, "\(name): rows have changed")
        #expect(Array(run.metrics.prefix(rows.count)) == rows, "\(name): old rows have changed")
        let end = Remains(
            of: run.directory, acknowledged: FiveSteps.count, against: undisturbed)
        #expect(end.step == FiveSteps.count && end.faults.isEmpty, "\(name): \(end.faults)")
        let names = try run.folder.names(in: "run/checkpoints")
        if step < FiveSteps.count { #expect(names == ["step-0000000005"], "\(name): \(names)") }
    }
}
