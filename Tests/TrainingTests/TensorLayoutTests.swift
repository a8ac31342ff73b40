import Glibc
import TestSupport
import Testing

/// The same on ranks that hold a copy of the model together. launch/layouts goes through the whole product of
/// layouts, storage types, recomputation and shapes; here every value meets every other at least once.
@Suite(.serialized) struct TensorLayoutTests {
    typealias Layout = LayoutTests.Layout

    /// A layout and what else differs from configs/tests/same-bits.yaml.
    struct Case: Sendable, CustomTestStringConvertible {
        let layout: Layout
        let arithmetic: Arithmetic
        /// What of a block is made again.
        let recompute: String

        init(
            _ layout: (data: Int, tensor: Int, sequence: Bool), _ arithmetic: Arithmetic,
            _ recompute: String
        ) {
            self.layout = Layout(
                ranks: layout.data * layout.tensor, tensor: layout.tensor, sequence: layout.sequence
            )
            (self.arithmetic, self.recompute) = (arithmetic, recompute)
        }

        var testDescription: String {
            "\(layout.testDescription), \(arithmetic), recompute \(recompute)"
        }
    }

    /// What decides bits: each has a run of one process that the layouts must repeat.
    enum Arithmetic: String, Sendable, CaseIterable {
        case float32
        case float16
        /// 4 heads of 7 features, smoothed labels.
        case sevenFeatures
        /// 6 heads of 5, in slices of one and two; smoothed labels.
        case sixHeads

        var settings: [String] {
            switch self {
            case .float32: []
            case .float16: ["precision.storage=float16"]
            case .sevenFeatures:
                ["model.width=28", "objective.label_smoothing=0.1", "precision.storage=float16"]
            case .sixHeads: ["model.heads=6", "model.width=30", "objective.label_smoothing=0.1"]
            }
        }

        func alone() throws -> RunOutcome {
            switch self {
            case .float32: try LayoutTests.reference.get()
            case .float16: try Self.halves.get()
            case .sevenFeatures: try Self.seven.get()
            case .sixHeads: try Self.six.get()
            }
        }

        private static let halves = Result { try float16.train() }
        private static let seven = Result { try sevenFeatures.train() }
        private static let six = Result { try sixHeads.train() }

        private func train() throws -> RunOutcome {
            try LayoutTests.run(Layout(), settings: settings)
        }
    }

    @Test(arguments: [
        Case((1, 2, false), .float32, "none"), Case((1, 2, true), .float32, "block"),
        Case((1, 4, false), .float32, "attention"), Case((2, 2, true), .float32, "attention"),
        Case((1, 2, true), .float16, "attention"), Case((1, 4, true), .float16, "none"),
        Case((2, 2, false), .float16, "block"), Case((1, 4, true), .sevenFeatures, "block"),
        Case((2, 2, true), .sevenFeatures, "none"), Case((1, 2, true), .sixHeads, "none"),
    ])
    func everyLayoutGivesTheSameBits(what: Case) throws {
        let settings = what.arithmetic.settings + ["memory.recompute=\(what.recompute)"]
        #expect(try LayoutTests.run(what.layout, settings: settings) == what.arithmetic.alone())
    }

    @Test func everyArithmeticHasItsOwnBits() throws {
        let outcomes = try Arithmetic.allCases.map { try $0.alone() }
        #expect(Set(outcomes.map(\.digest)).count == outcomes.count, "control")
    }

    // MARK: Resumed on another layout

    /// (data, tensor) before and after, the latter with scattered tokens where the third value says so.
    @Test(arguments: [
        ((1, 2), (2, 1), false), ((4, 1), (1, 4), true), ((2, 2), (1, 1), false),
        ((1, 2), (1, 2), true),
    ])
    func aStoppedRunGoesOnElsewhere(
        before: (data: Int, tensor: Int), after: (data: Int, tensor: Int), sequence: Bool
    ) throws {
        let run = try RunFolder()
        let first = Layout(ranks: before.data * before.tensor, tensor: before.tensor)
        let launch = try run.train(
            ranks: first.ranks, settings: first.settings, ["--stop-at", "18"])
        #expect(launch.exitCode == 0 && run.checkpoints == [18], "\(launch.summary)")
        try resume(run, after, sequence: sequence, from: 18)
    }

    /// SIGKILL for every rank in the middle of the run.
    @Test func aKilledRunGoesOnElsewhere() throws {
        let first = Layout(ranks: 2, tensor: 2, sequence: true)
        let (run, newest) = try LayoutTests.killedRun(ranks: 2, settings: first.settings)
        try resume(run, (2, 2), sequence: false, from: newest)
    }

    private func resume(
        _ run: RunFolder, _ layout: (data: Int, tensor: Int), sequence: Bool, from step: Int
    ) throws {
        let ranks = layout.data * layout.tensor
        let second = Layout(
            ranks: ranks == 1 ? nil : ranks, tensor: layout.tensor, sequence: sequence)
        try LayoutTests.resume(
            run, ranks: second.ranks, settings: second.settings, from: step)
    }

    // MARK: Over a network

    /// Two ranks on two hosts hold the model together; two such copies on four.
    @Test(
        .enabled(
            if: TwoHosts.isPossible,
            "network namespaces cannot be made here: that takes root, the privilege and iproute2"),
        arguments: [
            Layout(ranks: 2, tensor: 2), Layout(ranks: 4, tensor: 2, sequence: true),
        ])
    func twoHostsGiveTheBitsOfOne(layout: Layout) throws {
        let run = try RunFolder()
        let launch = try TwoHosts.run(
            Program("murmur"),
            ["train", RunFolder.configuration] + run.settings(layout.settings),
            ranks: layout.ranks!)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let outcome = try RunOutcome(run)
        #expect(try outcome.isWhole && outcome == LayoutTests.reference.get())
    }
}
