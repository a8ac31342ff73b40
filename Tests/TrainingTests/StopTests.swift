import Communication
import Datasets
import Foundation
import Glibc
import Models
import Parallelism
import TestSupport
import Testing
import Training

/// What a stop from outside leaves behind.
@Suite(.serialized) struct StopTests {
    /// Batches of nothing, the reading of which may fail.
    private struct Split: EvaluationSource {
        let batchCount = 100
        var damaged: Int?
        var weight: Float = 1

        func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
            if index == damaged { throw DatasetError(.corrupt, "batch \(index)") }
            return Batch(
                fields: [
                    .init(name: "tokens", rows: 1, columns: 1, values: [0]),
                    .init(name: "targets", rows: 1, columns: 1, values: [0]),
                ], weights: [weight], sequences: 1, firstSequence: 0)
        }
    }

    /// A rank alone is asked to stop after 40 batches, or meets an error: none goes through the rest.
    @Test(arguments: [1, 3]) func anEvaluationEndsAtASignal(ranks: Int) throws {
        try InProcess.run(ranks: ranks) { communicator in
            var batches = 0
            let last = communicator.rank == ranks - 1
            func loss() -> Double {
                batches += 1
                usleep(100_000)
                return 2
            }
            let result = try evaluate(
                on: Split(), mesh: Mesh(data: communicator), host: "h",
                signal: last && batches >= 4 ? SIGTERM : 0, objective: CausalLanguageModelling()
            ) { _ in [loss()] }
            #expect(result == nil && batches < 100 / ranks, "\(batches)")
        }
    }

    @Test(arguments: [1, 3]) func theLossIsTheSameOnAnyRanks(ranks: Int) throws {
        try InProcess.run(ranks: ranks) { communicator in
            let result = try evaluate(
                on: Split(), mesh: Mesh(data: communicator), host: "h",
                objective: CausalLanguageModelling()
            ) { _ in [2] }
            #expect(result?.loss == 2 && result?.targets == 100)
        }
    }

    @Test func aSplitOfNoTargetsIsAnErrorAndNoLoss() throws {
        try InProcess.run(ranks: 2) { communicator in
            let error = #expect(throws: RunError.self) {
                try evaluate(
                    on: Split(weight: 0), mesh: Mesh(data: communicator), host: "h",
                    objective: CausalLanguageModelling()
                ) { _ in [0] }
            }
            #expect(error?.kind == .data && error?.isShared == true)
        }
    }

    @Test func anErrorInAnEvaluationIsThatOfAllRanks() throws {
        try InProcess.run(ranks: 2) { communicator in
            let error = #expect(throws: RunError.self) {
                try evaluate(
                    on: Split(damaged: 80), mesh: Mesh(data: communicator), host: "h",
                    objective: CausalLanguageModelling()
                ) { _ in [2] }
            }
            #expect(error?.kind == .data && error?.isShared == true && error?.rank == 1)
        }
    }

    // MARK: Whole runs

    /// A validation split that takes long enough for a signal to come within it.
    private func longSplit(_ run: RunFolder) throws -> ShardFiles {
        let shards = try ShardFiles(run)
        let tokens = try shards.tokens()
        try shards.rewrite(
            (0..<4_000_000).map { tokens[$0 % tokens.count] }, as: shards.validation)
        return shards
    }

    /// The step's own checkpoint is there at once, the rest of the split is not gone through, and the run goes on from
    /// there. Where no checkpoint is due, one is made.
    @Test(arguments: [nil, 2], [true, false])
    func aSignalInAnEvaluationSavesAndLeaves(ranks: Int?, isDue: Bool) throws {
        let run = try RunFolder()
        let shards = try longSplit(run)
        let settings =
            shards.settings + [
                "evaluation.every=\(isDue ? 1 : 2)", "checkpoint.every=\(isDue ? 1 : 0)",
            ]
        let last = isDue ? 1 : 2
        let launch = try run.train(ranks: ranks, settings: settings) { running in
            // What is being saved is a folder already; else the step takes a moment.
            if isDue {
                let names = try? run.folder.names(in: "run/checkpoints")
                guard names?.isEmpty == false else { return false }
            } else {
                guard run.metrics.count == 1 else { return false }
                usleep(300_000)
            }
            return kill(running.process, ranks == nil ? SIGTERM : SIGUSR1) == 0
        }
        #expect(launch.exitCode == 75, "\(launch.summary)")
        #expect(launch.errors.contains("stopped: step \(last): signal "), "\(launch.summary)")
        #expect(run.checkpoints == [last])
        #expect(run.metrics.count == last)
        #expect(run.metrics.allSatisfy { !$0.contains("validation_loss") }, "\(run.metrics)")
        #expect(try murmur(["checkpoint", "verify", run.directory]).exitCode == 0)
        let resumed = try run.train(
            settings: shards.settings + ["evaluation.every=1000"],
            ["--resume", "--stop-at", "\(last)"])
        #expect(resumed.errors.contains("resuming at step \(last)"), "\(resumed.summary)")
    }

    /// The validation split is damaged meanwhile: the checkpoint that is due with the evaluation is there, and so is one
    /// where none is due.
    @Test(arguments: [nil, 2], [2, 1000])
    func anEvaluationThatFailsCostsNoCheckpoint(ranks: Int?, every: Int) throws {
        let run = try RunFolder()
        let shards = try ShardFiles(run)
        let settings =
            shards.settings + [
                "run.steps=100000", "evaluation.every=4", "checkpoint.every=\(every)",
            ]
        let launch = try run.train(ranks: ranks, settings: settings) { _ in
            run.metrics.count >= 1 && shards.damage(shards.validation)
        }
        #expect(launch.exitCode == 3, "\(launch.summary)")
        let errors = launch.errorLines.filter { $0.hasPrefix("error:") }
        #expect(errors.count == 1 && errors[0].contains(shards.validation), "\(launch.summary)")
        let step = run.metrics.count
        #expect(step % 4 == 0 && errors.first?.contains("step \(step): ") == true)
        #expect(run.metrics.last?.contains("validation_loss") == false)
        #expect(run.checkpoints.last == step, "\(launch.summary)")
        #expect(try murmur(["checkpoint", "verify", run.directory]).exitCode == 0)
    }

    /// A trace that cannot be written ends the run with code 5, its work saved.
    @Test(arguments: [nil, 2]) func anErrorOfTheDiskSavesWhatWasLearnt(ranks: Int?) throws {
        let run = try RunFolder()
        try FileManager.default.createDirectory(
            atPath: "\(run.directory)/trace-step-0000000007.json.new",
            withIntermediateDirectories: true)
        let launch = try run.train(ranks: ranks, settings: ["run.trace_steps=[7]"])
        #expect(launch.exitCode == 5, "\(launch.summary)")
        #expect(launch.errorLines.filter { $0.hasPrefix("error:") }.count == 1)
        #expect(run.checkpoints == [7] && run.metrics.count == 7)
    }

    /// The reader of the log goes away; the run does not.
    @Test func aLogThatNobodyReadsDoesNotEndARun() throws {
        let run = try RunFolder()
        let murmur = try Program("murmur").path
        let words = (["train", RunFolder.configuration] + run.settings() + ["--stop-at", "8"])
            .map { "'\($0)'" }.joined(separator: " ")
        let script =
            "cd '\(packageRoot)'; { '\(murmur)' \(words) 2>&1; echo $? > '\(run.folder.file("code"))'; } | true"
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = ["-c", script]
        try shell.run()
        shell.waitUntilExit()
        #expect(try run.folder.bytes("code") == Array("0\n".utf8))
        #expect(run.checkpoints == [8])
    }

    /// Rows of a run without a checkpoint are not cut off unasked, and are kept where asked.
    @Test func aRunWithoutACheckpointIsNotRestartedInSilence() throws {
        let run = try RunFolder()
        try FileManager.default.createDirectory(
            atPath: run.directory, withIntermediateDirectories: true)
        try run.folder.write("run/metrics.jsonl", "{\"step\": 1}\n")
        let refused = try run.train(["--resume"])
        #expect(refused.exitCode == 2, "\(refused.summary)")
        #expect(refused.errors.contains("add --restart"), "\(refused.summary)")
        #expect(run.metrics.count == 1)
        let launch = try run.train(["--resume", "--restart", "--stop-at", "2"])
        #expect(launch.exitCode == 0 && run.metrics.count == 2, "\(launch.summary)")
        #expect(try run.folder.bytes("run/metrics.jsonl.1") == Array("{\"step\": 1}\n".utf8))
    }

    @Test func stepsBeyondTheDecayAreWarnedOf() throws {
        let path = "\(packageRoot)/\(RunFolder.configuration)"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        var configuration = try RunConfiguration.parse(yaml: text, file: path)
        #expect(configuration.decayWarning() == nil)
        configuration.schedule.decaySteps = 49
        #expect(configuration.decayWarning()?.contains("(50), found 49") == true)
        #expect(configuration.decayWarning(until: 50) == configuration.decayWarning())
        #expect(configuration.decayWarning(until: 49) == nil, "it never gets there")
        configuration.schedule.decay = .constant
        #expect(configuration.decayWarning() == nil)
    }

    @Test func tooLittleRoomIsSaidInFigures() {
        func warning(_ free: Int?, count: Int = 4) -> String? {
            DiskRoom(directory: "r", checkpoint: 1_500_000_000, count: count, free: free).warning
        }
        #expect(warning(nil) == nil && warning(6_000_000_000) == nil)
        #expect(warning(5_999_999_999)?.contains("4 more checkpoints of 1.50 GB") == true)
        #expect(warning(1_000_000_000)?.contains("one checkpoint (1.50 GB), found 1.00 GB") == true)
        #expect(warning(0, count: .max) != nil)
    }
}
