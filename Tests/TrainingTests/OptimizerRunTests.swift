import Foundation
import TestSupport
import Testing

/// Whole runs with each update rule.
@Suite(.serialized) struct OptimizerRunTests {
    /// The configuration of the runs names keys of AdamW.
    private static let rate = ["optimizer.learning_rate=3e-4"]

    private func run(_ name: String, ranks: Int?, tensor: Int = 1) throws -> RunOutcome {
        let run = try RunFolder()
        let settings =
            Self.rate + ["optimizer.name=\(name)", "parallelism.tensor=\(tensor)", "run.steps=20"]
        let launch = try run.train(ranks: ranks, settings: settings, [])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return try RunOutcome(run)
    }

    @Test(arguments: ["lion", "sgd"])
    func hasTheBitsOfOneProcess(name: String) throws {
        let alone = try run(name, ranks: nil)
        #expect(try run(name, ranks: 2) == alone)
        #expect(try run(name, ranks: 4, tensor: 2) == alone)
        #expect(try run("adamw", ranks: nil) != alone, "control")
    }

    /// Moments that mean the same go on; others start again, and the log says which.
    @Test(arguments: [
        ("lion", "resume: adamw becomes lion: first_moment is kept"),
        ("sgd", "resume: adamw becomes sgd: momentum and the count of updates start at zero"),
    ])
    func anotherOptimizerGoesOn(name: String, note: String) throws {
        let run = try RunFolder()
        let first = try run.train(ranks: 2, settings: Self.rate, ["--stop-at", "10"])
        #expect(first.exitCode == 0, "\(first.summary)")
        let settings = Self.rate + ["optimizer.name=\(name)", "run.steps=20"]
        let refused = try run.train(ranks: nil, settings: settings, ["--resume"])
        #expect(refused.exitCode == 2 && refused.errors.contains("--override optimizer.name"))
        let launch = try run.train(
            ranks: nil, settings: settings, ["--resume", "--override", "optimizer"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(launch.output.contains(note) || launch.errors.contains(note), "\(launch.summary)")
        #expect(run.metrics.count == 20)
    }
}
