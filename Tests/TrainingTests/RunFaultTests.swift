import Communication
import Foundation
import Glibc
import TestSupport
import Testing
import Training

/// What befalls a run that is on its way.
@Suite(.serialized) struct RunFaultTests {
    /// Signals `targets` once the run has written so many rows.
    private func signal(
        _ number: Int32, after rows: Int, in run: RunFolder,
        _ targets: @escaping (Program.Running) -> [pid_t]
    ) -> (Program.Running) -> Bool {
        { running in
            guard run.metrics.count >= rows else { return false }
            for target in targets(running) { kill(target, number) }
            return true
        }
    }

    // MARK: Signals

    @Test(arguments: [SIGTERM, SIGUSR1, SIGINT, SIGHUP])
    func aSignalIsACommittedCheckpointAndExitCode75(number: Int32) throws {
        let run = try RunFolder()
        let launch = try run.train(
            whileRunning: signal(number, after: 5, in: run) { [$0.process] })
        try expectPreempted(run, launch)
        #expect(!launch.errors.contains("to save and leave"), "\(launch.summary)")
        try resume(run, ranks: nil)
    }

    /// mpirun passes SIGUSR1 on to its ranks: two copies of the model, or one that both hold.
    @Test(arguments: [1, 2]) func aSignalToTheLauncherReachesEveryRank(tensor: Int) throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: 2, settings: ["parallelism.tensor=\(tensor)"],
            whileRunning: signal(SIGUSR1, after: 5, in: run) { [$0.process] })
        try expectPreempted(run, launch)
        let advice = launch.errorLines.filter {
            $0.contains("to save and leave: SIGUSR1 to mpirun")
        }
        #expect(advice.count == 1, "\(launch.summary)")
        try resume(run, ranks: 1)
    }

    /// One rank alone is told: all stop at the same step.
    @Test func aSignalToOneRankStopsAll() throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: 2,
            whileRunning: signal(SIGTERM, after: 5, in: run) { _ in Array(run.ranks.suffix(1)) })
        try expectPreempted(run, launch)
        try resume(run, ranks: 4)
    }

    private func expectPreempted(_ run: RunFolder, _ launch: Launch) throws {
        #expect(launch.exitCode == 75, "\(launch.summary)")
        let step = try #require(run.checkpoints.last)
        #expect((5..<50).contains(step) && run.metrics.count == step)
        let lines = launch.errorLines.filter { $0.hasPrefix("stopped:") }
        #expect(lines.count == 1, "\(launch.summary)")
        #expect(lines.first?.hasPrefix("stopped: step \(step): signal ") == true, "\(lines)")
        #expect(waitUntil { run.ranks.isEmpty })
    }

    private func resume(_ run: RunFolder, ranks: Int?) throws {
        let launch = try run.train(ranks: ranks, ["--resume"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(try RunOutcome(run) == LayoutTests.reference.get(), "\(launch.summary)")
    }

    // MARK: A rank that dies

    @Test(arguments: [0, 1], [1, 2])
    func aRankThatIsKilledEndsAll(rank: Int, tensor: Int) throws {
        let run = try RunFolder()
        let settings = ["run.steps=100000", "parallelism.tensor=\(tensor)"]
        let launch = try run.train(ranks: 2, settings: settings) { _ in
            let ranks = run.ranks
            guard run.metrics.count >= 5, ranks.count == 2 else { return false }
            return kill(ranks[rank], SIGKILL) == 0
        }
        #expect(launch.exitCode == 137 && !launch.timedOut, "\(launch.summary)")
        #expect(waitUntil { run.ranks.isEmpty }, "processes are left: \(run.ranks)")
    }

    /// A rank that stops is named with its host, and so is the step that the others have reached.
    @Test(arguments: [1, 2]) func aRankThatFreezesIsNamedWithHostAndStep(tensor: Int) throws {
        let run = try RunFolder()
        let settings = [
            "run.steps=100000", "run.communication_timeout=2", "parallelism.tensor=\(tensor)",
        ]
        let launch = try run.train(ranks: 2, settings: settings) { _ in
            let ranks = run.ranks
            guard run.metrics.count >= 5, ranks.count == 2 else { return false }
            return kill(ranks[1], SIGSTOP) == 0
        }
        #expect(launch.exitCode == 8 && !launch.timedOut, "\(launch.summary)")
        let line = try #require(launch.errorLines.first { $0.hasPrefix("error:") })
        let form = /error: step \d+: .+ outstanding (from|to) rank 1 \(host \S+\).*/
        #expect(line.wholeMatch(of: form) != nil, "\(line)")
        #expect(waitUntil { run.ranks.isEmpty }, "processes are left: \(run.ranks)")
    }

    // MARK: Damage

    /// What all find in the same place is told once, and nobody is torn down by another.
    @Test func whatIsAmissWithARunIsSharedByItsRanks() throws {
        let folder = try TemporaryFolder()
        var configuration = RunConfiguration(
            run: .init(directory: folder.path, steps: 1),
            model: .init(layers: 1, heads: 1, width: 4, contextLength: 4),
            batch: .init(sequences: 2, microBatch: 1), optimizer: .init(learningRate: 1e-2))
        configuration.run.directory = folder.path
        let isShared = try InProcess.run(ranks: 2) { [configuration] communicator in
            let world = World(communicator: communicator)
            return [
                Self.failure {
                    let options = TrainOptions(resume: true, newestOnly: true)
                    _ = try openRunDirectory(configuration, options: options, world: world)
                },
                Self.failure { _ = try TrainedModel(path: folder.path, world: world) },
            ].map { $0?.kind == .checkpoint && $0?.isShared == true }
        }
        #expect(isShared == [[true, true], [true, true]])
    }

    private static func failure(_ body: () throws -> Void) -> RunError? {
        do { try body() } catch { return error as? RunError }
        return nil
    }

    @Test(arguments: [nil, 2])
    func aDamagedCheckpointIsPassedOver(ranks: Int?) throws {
        let run = try RunFolder()
        let first = try run.train(settings: ["checkpoint.every=10"], ["--stop-at", "30"])
        #expect(first.exitCode == 0 && run.checkpoints == [10, 20, 30], "\(first.summary)")
        try BadInput.damage(run.checkpoint(30))
        let refused = try run.train(ranks: ranks, ["--resume", "--newest-only"])
        #expect(refused.exitCode == 4 && run.checkpoints == [10, 20, 30], "\(refused.summary)")
        #expect(
            refused.errorLines.filter { $0.hasPrefix("error: ") }.count == 1
                && refused.errors.contains("\(run.checkpoint(20)) can be used"),
            "\(refused.summary)")
        let launch = try run.train(ranks: ranks, ["--resume"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        // It is named when it is passed over, and again when older ones are removed and it stays.
        let warnings = launch.errorLines.filter { $0.hasPrefix("warning:") }
        #expect(warnings.count == 2, "\(launch.summary)")
        #expect(warnings.first?.hasPrefix("warning: passed over: ") == true)
        #expect(warnings.allSatisfy { $0.contains(run.checkpoint(30)) }, "\(launch.summary)")
        #expect(run.checkpoints == [20, 25, 30, 50])
        #expect(launch.errors.contains("resuming at step 20"), "\(launch.summary)")
        #expect(try RunOutcome(run) == LayoutTests.reference.get())
    }

    /// Blocks that have not been read yet are overwritten under a run: 32,000 of them, of which a step
    /// reads some 50.
    @Test(arguments: [(nil, 1), (2, 1), (2, 2)] as [(Int?, Int)])
    func aShardThatIsDamagedMeanwhileEndsAllRanks(ranks: Int?, tensor: Int) throws {
        let run = try RunFolder()
        let shards = try ShardFiles(run)
        let tokens = try shards.tokens()
        try shards.rewrite((0..<2_000_000).map { tokens[$0 % tokens.count] })
        let settings =
            shards.settings + ["run.steps=100000", "parallelism.tensor=\(tensor)"]
        let launch = try run.train(ranks: ranks, settings: settings) { _ in
            run.metrics.count >= 1 && shards.damage(shards.train)
        }
        #expect(launch.exitCode == 3 && !launch.timedOut, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == 1, "\(launch.summary)")
        let line = try #require(errors.first)
        #expect(line.contains("\(shards.train): checksum of block"), "\(line)")
        #expect(line.contains(#/^error: (rank [01] host \S+ )?step [0-9]+: /#), "\(line)")
        // What was learnt until then is saved.
        #expect(run.checkpoints.last == run.metrics.count, "\(launch.summary)")
        #expect(waitUntil { run.ranks.isEmpty })
    }

    // MARK: Divergence

    /// A weight decay that multiplies weights by −9,999 a step.
    private static let divergence = [
        "optimizer.learning_rate=100", "optimizer.weight_decay=100", "schedule.warmup_steps=0",
        "schedule.decay=constant", "evaluation.every=0",
    ]

    /// Steps that are skipped save nothing anew, so that the last good ones stay; without a due save in time the last
    /// of them is saved when the run ends.
    @Test(arguments: [nil, 2], [0, 1])
    func whatWasGoodBeforeADivergenceStays(ranks: Int?, every: Int) throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: ranks,
            settings: Self.divergence + ["checkpoint.every=\(every)", "checkpoint.keep=2"])
        #expect(launch.exitCode == 6, "\(launch.summary)")
        let skipped = run.metrics.map { $0.contains("\"skipped\": true") }
        let good = skipped.indices.filter { !skipped[$0] }.map { $0 + 1 }
        try #require(good.count >= 2 && skipped.suffix(8) == Array(repeating: true, count: 8))
        #expect(run.checkpoints == (every == 1 ? good.suffix(2) : [skipped.count]))
        #expect(try murmur(["checkpoint", "verify", run.directory]).exitCode == 0)
    }

    @Test(arguments: [(nil, 1), (2, 1), (2, 2)] as [(Int?, Int)])
    func aRunThatDivergesStops(ranks: Int?, tensor: Int) throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: ranks, settings: Self.divergence + ["parallelism.tensor=\(tensor)"])
        #expect(launch.exitCode == 6 && !launch.timedOut, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == 1, "\(launch.summary)")
        let found =
            #/: expected finite numbers, found -?(nan|inf) at element \d+ in 8 steps in a row; /#
        #expect(
            errors.first?.contains(
                #/^error: (rank [01] host \S+ )?step \d+: (output of block \d|weight \S+|gradient of \S+): expected/#
            )
                == true, "\(launch.summary)")
        #expect(errors.first?.contains(found) == true, "\(launch.summary)")
        let skipped = run.metrics.filter { $0.contains("\"skipped\": true") }
        #expect(skipped.count >= 7 && skipped.count < run.metrics.count, "\(run.metrics)")
        #expect(skipped.allSatisfy { $0.contains("\"grad_norm\": null") })
        #expect(waitUntil { run.ranks.isEmpty })
    }

    // MARK: A full disk

    @Test(
        .enabled(if: SmallDisk.isPossible, "a tmpfs cannot be mounted here"), arguments: [nil, 2])
    func aFullDiskKeepsTheLastCheckpoint(ranks: Int?) throws {
        let run = try RunFolder()
        // A checkpoint takes some 220 KiB: the second one does not fit.
        let disk = try SmallDisk(at: run.folder.file("disk"), kibibytes: 400)
        let directory = "\(disk.path)/run"
        let launch = try run.train(
            ranks: ranks, settings: ["run.directory=\(directory)", "checkpoint.every=10"])
        #expect(launch.exitCode == 5 && !launch.timedOut, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == 1 && errors[0].contains("expected room for"), "\(errors)")
        // A save that fails is borne twice: steps 20 and 30, then the third ends the run.
        #expect(errors.first?.contains("step 40: ") == true, "\(errors)")
        let warnings = launch.errorLines.filter { $0.hasPrefix("warning:") }
        #expect(
            warnings.count { $0.contains("checkpoint not saved") } == 2, "\(launch.summary)")
        let digest = try murmur(["checkpoint", "digest", directory])
        #expect(digest.exitCode == 0 && digest.errors == "", "\(digest.summary)")
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(directory)/checkpoints")
        #expect(names == ["step-0000000010"])
    }

    @Test(
        .enabled(if: SmallDisk.isPossible, "a tmpfs cannot be mounted here"), arguments: [nil, 2])
    func metricsThatCannotBeWrittenEndTheRun(ranks: Int?) throws {
        let run = try RunFolder()
        let disk = try SmallDisk(at: run.folder.file("disk"), kibibytes: 12)
        let launch = try run.train(
            ranks: ranks,
            settings: ["run.directory=\(disk.path)", "checkpoint.every=30", "run.steps=100000"])
        #expect(launch.exitCode == 5 && !launch.timedOut, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(
            errors.count == 1 && errors[0].hasSuffix("3 saves in a row have failed"),
            "\(launch.summary)")
        // Rows are held, which is said once.
        let held = launch.errorLines.filter {
            $0.contains("metrics.jsonl: expected to append a row, found No space left")
        }
        #expect(held.count == 2 && held[0].hasPrefix("warning: step "), "\(launch.summary)")
        #expect(held.last?.hasSuffix("rows are held; what is held is lost") == true)
        #expect(waitUntil { run.ranks.isEmpty })
    }
}
