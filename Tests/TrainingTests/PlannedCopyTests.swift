import Foundation
import TestSupport
import Testing
import Training

/// What a plan says of the copy of the state that saves are written from: `checkpoint.copy`.
@Suite struct PlannedCopyTests {
    /// GPT-2 large on one rank with data: 774 million parameters.
    private func configuration(_ settings: String...) throws -> RunConfiguration {
        try RunConfiguration.load(
            file: "\(packageRoot)/configs/gpt2-124m.yaml",
            overrides: [
                "model.layers=36", "model.heads=20", "model.width=1280", "model.feed_forward=5120",
                "batch.micro_batch=1", "numerics.groups=1", "data.text=[none.txt]",
            ] + settings)
    }

    /// A machine with so much memory to give.
    private func limit(gibibytes: Int) throws -> MemoryLimit {
        let folder = try TemporaryFolder()
        try FileManager.default.createDirectory(
            atPath: folder.file("proc"), withIntermediateDirectories: true)
        try folder.write("proc/meminfo", "MemAvailable: \(gibibytes << 20) kB\n")
        return try #require(MemoryLimit(SystemFiles(root: folder.path)))
    }

    private func plan(_ configuration: RunConfiguration, gibibytes: Int) throws -> Plan {
        Plan(
            configuration, vocabulary: 50257, ranks: 1, threads: 2, ranksHere: 1,
            limit: try limit(gibibytes: gibibytes))
    }

    /// The copy alone decides that it does not fit 20 GiB: `auto` does without, and then it does.
    @Test func theCopyIsLeftOutWhereItDoesNotFit() throws {
        let configuration = try configuration()
        let (roomy, tight) = (
            try plan(configuration, gibibytes: 24), try plan(configuration, gibibytes: 20)
        )
        #expect(roomy.copiesState && !tight.copiesState)
        #expect(
            abs(Double(roomy.memory.checkpoint) / Double(12 * roomy.parameters.total) - 1) < 0.01)
        #expect(tight.memory.checkpoint <= 16 << 20)
        #expect(
            roomy.memoryTotal - tight.memoryTotal
                == roomy.memory.checkpoint - tight.memory.checkpoint)
        try roomy.requireMemory(ranksHere: 1, limit: limit(gibibytes: 24))
        try tight.requireMemory(ranksHere: 1, limit: limit(gibibytes: 20))
        // The controls: no other part differs, and without the choice it does not fit.
        for (one, other) in zip(roomy.memory.parts, tight.memory.parts)
        where one.name != "checkpoint's copy" {
            #expect(one.name == other.name && one.bytes == other.bytes)
        }
        #expect(throws: RunError.self) {
            try roomy.requireMemory(ranksHere: 1, limit: limit(gibibytes: 20))
        }
    }

    @Test func alwaysAndNeverAreFollowed() throws {
        for gibibytes in [20, 24] {
            let never = try plan(configuration("checkpoint.copy=never"), gibibytes: gibibytes)
            #expect(!never.copiesState && never.memory.checkpoint <= 16 << 20)
            let always = try plan(configuration("checkpoint.copy=always"), gibibytes: gibibytes)
            #expect(always.copiesState)
        }
    }

    /// What is most of it is named, with what helps.
    @Test func theCopyIsNamedWhereItIsThePeak() throws {
        let always = try configuration("checkpoint.copy=always")
        let error = #expect(throws: RunError.self) {
            try plan(always, gibibytes: 20).requireMemory(
                ranksHere: 1, limit: limit(gibibytes: 20))
        }
        #expect(error?.exitCode == 9)
        #expect(
            error?.message.contains("most of it checkpoint's copy (8") == true
                && error?.message.hasSuffix(
                    "; set checkpoint.copy to auto or never, and saves do without") == true,
            "\(error?.message ?? "")")
        // Where an evaluation is, that is named.
        let wide = try configuration("evaluation.micro_batch=2048")
        let other = #expect(throws: RunError.self) {
            try plan(wide, gibibytes: 20).requireMemory(ranksHere: 1, limit: limit(gibibytes: 20))
        }
        #expect(
            other?.message.hasSuffix("lower evaluation.micro_batch") == true,
            "\(other?.message ?? "")")
    }
}
