import Kernels
import TestSupport
import Testing

/// One program on any processor: what instructions its kernels use shows in no bit.
@Suite(.serialized) struct InstructionTests {
    /// Those that this processor has; a processor of another architecture has none to choose from.
    private static let sets = InstructionSet.allCases.filter { instructions in
        InstructionSet.ofThisProcessor.map { instructions <= $0 } ?? false
    }

    private static func run(
        _ ranks: [InstructionSet], settings: [String] = []
    ) throws -> RunOutcome {
        let run = try RunFolder()
        let program = try Program("murmur").path
        let arguments = ["train", RunFolder.configuration] + run.settings(settings)
        let launch = try Program.run(
            ranks.map {
                .init(program, arguments, environment: [InstructionSet.variable: $0.rawValue])
            })
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let outcome = try RunOutcome(run)
        #expect(outcome.isWhole, "\(outcome) \(launch.summary)")
        return outcome
    }

    @Test(arguments: sets, ["float32", "float16", "bfloat16"])
    func everySetGivesTheSameBits(instructions: InstructionSet, storage: String) throws {
        let settings = ["precision.storage=\(storage)"]
        let reference = try LayoutTests.run(.init(ranks: nil), settings: settings)
        #expect(try Self.run([instructions], settings: settings) == reference)
        let other = try Self.run([instructions], settings: settings + ["run.seed=1338"])
        #expect(other.digest != reference.digest, "control")
    }

    /// A cluster of old and new processors.
    @Test(
        .enabled(if: sets.count > 1, "this processor has AVX2 alone"),
        arguments: ["float32", "float16", "bfloat16"])
    func ranksMayDiffer(storage: String) throws {
        let settings = ["precision.storage=\(storage)"]
        let mixed = try Self.run([.avx2, Self.sets.last!], settings: settings)
        #expect(try mixed == LayoutTests.run(.init(ranks: nil), settings: settings))
    }

    @Test(arguments: [
        ("sse", "expected one of avx2, avx512, amx, found sse"),
        ("", "expected one of avx2, avx512, amx, found "),
    ])
    func aWrongNameIsAnErrorOfUse(value: String, problem: String) throws {
        try expectRefusal(value, problem)
    }

    @Test(
        .enabled(if: sets.last == .avx2 || sets.last == .avx512, "this processor has all of them"))
    func instructionsThatAreNotThereAreAnErrorOfUse() throws {
        try expectRefusal(
            "amx",
            "expected instructions that this processor has, \(Self.sets.last!.rawValue) at most, found amx"
        )
    }

    private func expectRefusal(_ value: String, _ problem: String) throws {
        let run = try RunFolder()
        let environment = [InstructionSet.variable: value]
        let launch = try Program.run([
            .init(
                Program("murmur").path, ["train", RunFolder.configuration] + run.settings(),
                environment: environment)
        ])
        #expect(launch.exitCode == 2, "\(launch.summary)")
        #expect(launch.errorLines.count == 1 && launch.output == "", "\(launch.summary)")
        #expect(launch.errors.contains("MURMUR_INSTRUCTIONS: \(problem)"), "\(launch.summary)")
    }
}
