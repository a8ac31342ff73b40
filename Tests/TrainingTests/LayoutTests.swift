import Foundation
import Glibc
import TestSupport
import Testing

/// One configuration, one result: whatever the ranks and threads, whatever ended the run on its way.
@Suite(.serialized) struct LayoutTests {
    /// So many ranks under mpirun (none: a process alone) of so many threads, and how they share the work.
    struct Layout: Sendable, CustomTestStringConvertible {
        var ranks: Int?
        var threads = 1
        var tensor = 1
        var sequence = false

        var testDescription: String {
            "\(ranks.map { "mpirun -n \($0)" } ?? "alone"), \(threads)"
                + (tensor == 1 ? "" : ", tensor \(tensor)\(sequence ? ", sequence" : "")")
        }

        var settings: [String] {
            [
                "run.threads=\(threads)", "parallelism.tensor=\(tensor)",
                "parallelism.sequence=\(sequence)",
            ]
        }
    }

    /// The undisturbed run of one process with one thread.
    static let reference = Result { try run(Layout(ranks: nil, threads: 1)) }

    static func run(_ layout: Layout, settings: [String] = []) throws -> RunOutcome {
        let run = try RunFolder()
        let launch = try run.train(ranks: layout.ranks, settings: layout.settings + settings)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let outcome = try RunOutcome(run)
        #expect(outcome.isWhole, "\(outcome) \(launch.summary)")
        return outcome
    }

    @Test(arguments: [
        Layout(ranks: nil, threads: 2), Layout(ranks: 1, threads: 1), Layout(ranks: 2, threads: 1),
        Layout(ranks: 2, threads: 2), Layout(ranks: 4, threads: 1),
    ])
    func everyLayoutGivesTheSameBits(layout: Layout) throws {
        #expect(try Self.run(layout) == Self.reference.get())
    }

    /// With the dropout of the file and without any; buckets of the smallest size and of one for all.
    @Test(arguments: [
        ["model.dropout=0"], ["model.dropout=0.25", "parallelism.bucket_bytes=1024"],
    ])
    func otherRunsDoTooButAreOthers(settings: [String]) throws {
        let alone = try Self.run(Layout(ranks: nil, threads: 2), settings: settings)
        #expect(try Self.run(Layout(ranks: 4, threads: 1), settings: settings) == alone)
        #expect(try alone.digest != Self.reference.get().digest, "control: the same bits")
    }

    @Test(
        arguments: [
            Layout(ranks: nil, threads: 2), Layout(ranks: 2, threads: 1),
            Layout(ranks: 4, threads: 1),
        ], ["float16", "bfloat16"])
    func everyLayoutGivesTheSameBitsInHalves(layout: Layout, storage: String) throws {
        let settings = ["precision.storage=\(storage)"]
        let alone = try Self.run(Layout(ranks: nil, threads: 1), settings: settings)
        #expect(try Self.run(layout, settings: settings) == alone)
        let recomputed = try Self.run(layout, settings: settings + ["memory.recompute=block"])
        #expect(recomputed == alone)
        #expect(try alone.digest != Self.reference.get().digest, "control: the bits of Float32")
    }

    @Test(arguments: ["attention", "block"], [nil, 2])
    func recomputationChangesNoBit(mode: String, ranks: Int?) throws {
        let outcome = try Self.run(
            Layout(ranks: ranks, threads: 1), settings: ["memory.recompute=\(mode)"])
        #expect(try outcome == Self.reference.get())
    }

    /// Gradients that travel as Float16: other bits than Float32's, yet one result for two ranks, whoever owns
    /// what, and nearly the same training.
    @Test func aFloat16WireHasBitsOfItsOwn() throws {
        let wire = ["parallelism.reduce_dtype=float16"]
        let found = try Self.run(Layout(ranks: 2, threads: 1), settings: wire)
        let again = try Self.run(
            Layout(ranks: 2, threads: 2), settings: wire + ["parallelism.bucket_bytes=1024"])
        #expect(found == again)
        let reference = try Self.reference.get()
        #expect(found.digest != reference.digest)
        #expect(found.lossBits[0] == reference.lossBits[0])
        let (loss, expected) = (
            try #require(found.losses.last), try #require(reference.losses.last)
        )
        #expect(abs(loss - expected) < 0.01 * expected, "\(loss), \(expected)")
        #expect(abs(loss - reference.losses[0]) > 0.1 * expected, "control: an untrained loss")
        // Alone nothing travels.
        #expect(try Self.run(Layout(ranks: nil, threads: 1), settings: wire) == reference)
    }

    @Test func anotherSeedGivesOtherBits() throws {
        let other = try Self.run(Layout(ranks: nil, threads: 2), settings: ["run.seed=1338"])
        let reference = try Self.reference.get()
        #expect(other.digest != reference.digest)
        #expect(Set(zip(other.lossBits, reference.lossBits).map { $0 == $1 }) == [false])
    }

    /// Four ranks divide the eight micro-batches, not the two groups.
    @Test func ranksThatDoNotDivideTheGroupsAreWarnedOnce() throws {
        let runs = try (0..<2).map { _ in
            let run = try RunFolder()
            let launch = try run.train(ranks: 4, settings: ["numerics.groups=2", "run.steps=5"])
            #expect(launch.exitCode == 0, "\(launch.summary)")
            let warnings = launch.errorLines.filter { $0.hasPrefix("warning:") }
            #expect(warnings.count == 1, "\(launch.summary)")
            #expect(warnings.first?.contains("numerics.groups: 4") == true)
            return try RunOutcome(run)
        }
        #expect(runs[0] == runs[1] && runs[0].lossBits.count == 5)
    }

    // MARK: Resumed on another layout

    @Test(arguments: [(2, nil), (nil, 4), (4, 2)] as [(Int?, Int?)])
    func aStoppedRunGoesOnElsewhere(first: Int?, second: Int?) throws {
        let run = try RunFolder()
        let launch = try run.train(ranks: first, ["--stop-at", "18"])
        #expect(launch.exitCode == 0 && run.checkpoints == [18], "\(launch.summary)")
        #expect(run.metrics.count == 18)
        try Self.resume(run, ranks: second, from: 18)
    }

    /// SIGKILL for every rank at about step 25 of 50.
    @Test(arguments: [(2, nil), (1, 4), (nil, 2)] as [(Int?, Int?)])
    func aKilledRunGoesOnElsewhere(first: Int?, second: Int?) throws {
        let (run, newest) = try Self.killedRun(ranks: first)
        // A row that the kill tore, beyond the checkpoint.
        let file = try FileHandle(
            forUpdating: URL(fileURLWithPath: "\(run.directory)/metrics.jsonl"))
        try file.seekToEnd()
        try file.write(contentsOf: Data(#"{"step": 50, "los"#.utf8))
        try file.close()
        try Self.resume(run, ranks: second, from: newest)
    }

    /// A run that SIGKILL has ended at about step 25 on every rank, and the step of its newest checkpoint.
    static func killedRun(
        ranks: Int?, settings: [String] = []
    ) throws -> (run: RunFolder, newest: Int) {
        let run = try RunFolder()
        let launch = try run.train(ranks: ranks, settings: settings + ["checkpoint.every=5"]) { _ in
            guard run.metrics.count >= 22 else { return false }
            for rank in run.ranks { kill(rank, SIGKILL) }
            return true
        }
        #expect(launch.exitCode == 137, "\(launch.summary)")
        #expect(waitUntil { run.ranks.isEmpty })
        let newest = try #require(run.checkpoints.last)
        #expect((15..<50).contains(newest) && newest % 5 == 0)
        return (run, newest)
    }

    /// Goes on from `step` to the end, which is that of the undisturbed run.
    static func resume(
        _ run: RunFolder, ranks: Int?, settings: [String] = [], from step: Int
    ) throws {
        let before = Array(run.metrics.prefix(step))
        let launch = try run.train(ranks: ranks, settings: settings, ["--resume"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(launch.errors.contains("resuming at step \(step)"), "\(launch.summary)")
        #expect(Array(run.metrics.prefix(step)) == before && before.count == step)
        #expect(try RunOutcome(run) == reference.get(), "\(launch.summary)")
    }
}
