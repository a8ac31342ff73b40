import Foundation
import Kernels
import TestSupport
import Testing

/// A rank that was not started as the others, and what is said of it.
struct RankDifference: Sendable, CustomTestStringConvertible {
    let name: String
    /// What the line of error begins with after `error: `, and what else it holds.
    let parts: [String]
    /// How many ranks are as they should be, before the other one.
    var before = 1
    /// The rank that differs, given the program and the arguments of the others.
    let rank: @Sendable (RunFolder, String, [String]) throws -> Program.Rank

    var testDescription: String { name }

    static let all = [
        RankDifference(name: "another build", parts: another) { try .init(copy(of: $1, $0), $2) },
        RankDifference(
            name: "another build on the last of four ranks", parts: another + [" on rank 3 (host "],
            before: 3
        ) { try .init(copy(of: $1, $0), $2) },
        RankDifference(
            name: "another value of a key",
            parts: [
                "model.dropout: expected the same on every rank, found 0.1 on", "0.25 on rank 1",
            ]
        ) { .init($1, $2 + ["--set", "model.dropout=0.25"]) },
        RankDifference(
            name: "another tensor degree",
            parts: [
                "parallelism.tensor: expected the same on every rank, found 1", " and 2 on rank",
            ]
        ) { .init($1, $2 + ["--set", "parallelism.tensor=2"]) },
        RankDifference(
            name: "another file",
            parts: [
                "optimizer.learning_rate: expected the same on every rank, found 0.003 on",
                "0.004 on rank 1",
            ]
        ) { run, program, arguments in
            let text = try String(
                contentsOfFile: "\(packageRoot)/\(RunFolder.configuration)", encoding: .utf8
            ).replacing("learning_rate: 3.0e-3", with: "learning_rate: 4.0e-3")
            let file = try run.folder.write("other.yaml", text)
            return .init(program, ["train", file] + arguments.dropFirst(2))
        },
        RankDifference(
            name: "another option",
            parts: [
                "--stop-at: expected the same on every rank, found none on", " and 3 on rank 1",
            ]
        ) { .init($1, $2 + ["--stop-at", "3"]) },
        RankDifference(
            name: "another command",
            parts: ["command: expected the same on every rank, found train on", "bench on rank 1"]
        ) { .init($1, ["bench"] + $2.dropFirst()) },
    ]

    private static let another = [
        "program: expected the same on every rank, found murmur ",
        "; start the same build on every rank",
    ]

    /// The program with a byte that nothing reads.
    static func copy(of program: String, _ run: RunFolder) throws -> String {
        var bytes = try Data(contentsOf: URL(fileURLWithPath: program))
        bytes.append(0)
        let copy = try run.folder.write("murmur", "")
        try bytes.write(to: URL(fileURLWithPath: copy))
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: copy)
        return copy
    }
}

/// Ranks that must not train together say so before anything is written, each value named, and end.
@Suite(.serialized) struct RankDifferenceTests {
    @Test(arguments: RankDifference.all)
    func ranksThatDifferAreRefused(difference: RankDifference) throws {
        try expectRefusal(difference)
    }

    /// What the C library chooses by the processor, here because the environment tells it to.
    @Test(
        .enabled(
            if: InstructionSet.ofThisProcessor != nil, "for processors with fused multiplication")
    )
    func mathematicsThatDifferAreRefused() throws {
        let features = "-FMA,-FMA4,-AVX2,-FMA_Usable,-FMA4_Usable,-AVX2_Usable"
        try expectRefusal(
            RankDifference(
                name: "mathematics of the C library",
                parts: ["C library: expected the same on every rank, found glibc "]
            ) {
                .init($1, $2, environment: ["GLIBC_TUNABLES": "glibc.cpu.hwcaps=\(features)"])
            })
    }

    /// Kernels of OpenBLAS that this processor can run and that it does not choose here.
    private static let otherKernels = BLAS.coreName == "Prescott" ? "Haswell" : "Prescott"

    private func expectRefusal(_ difference: RankDifference) throws {
        let run = try RunFolder()
        let program = try Program("murmur").path
        let arguments = ["train", RunFolder.configuration] + run.settings()
        let others = Array(repeating: Program.Rank(program, arguments), count: difference.before)
        let launch = try Program.run(
            others + [try difference.rank(run, program, arguments)])
        #expect(launch.exitCode == 2, "\(launch.summary)")
        #expect(!launch.timedOut, "\(launch.summary)")
        let line = try #require(launch.errorLines.first)
        #expect(launch.errorLines.count == 1 && launch.output == "", "\(launch.summary)")
        #expect(line.hasPrefix("error: " + difference.parts[0]), "\(line)")
        for part in difference.parts { #expect(line.contains(part), "\(line)") }
        #expect(waitUntil { run.ranks.isEmpty }, "processes are left: \(run.ranks)")
        #expect(!FileManager.default.fileExists(atPath: run.directory), "the run has begun")
    }

    /// A build is told apart on resume too, where it may be meant.
    @Test func aResumeWithAnotherBuildIsWarnedOf() throws {
        let run = try RunFolder()
        let first = try run.train(["--stop-at", "3"])
        #expect(first.exitCode == 0, "\(first.summary)")
        let same = try run.train(["--stop-at", "5", "--resume"])
        #expect(same.exitCode == 0 && !same.errors.contains("warning:"), "\(same.summary)")
        let copy = try RankDifference.copy(of: Program("murmur").path, run)
        let other = try Program.run([
            .init(copy, ["train", RunFolder.configuration] + run.settings() + ["--resume"])
        ])
        #expect(other.exitCode == 0, "\(other.summary)")
        let warnings = other.errorLines.filter { $0.hasPrefix("warning:") }
        #expect(warnings.count == 1, "\(other.summary)")
        #expect(
            warnings.first?.contains(
                #/^warning: build was murmur \S+, program [0-9a-f]{16}, .*, is murmur /#) == true)
    }

    /// Threads are a rank's own matter, as are the instructions that its kernels use (`InstructionTests`) and those of
    /// OpenBLAS, from which no result comes; and a copy of the program is the same program: the control.
    @Test func ranksMayHaveOtherThreadsAndKernelsOfOpenBLAS() throws {
        let run = try RunFolder()
        let program = try Program("murmur").path
        let copy = try run.folder.copy(program, to: "murmur")
        let arguments = ["train", RunFolder.configuration] + run.settings()
        let launch = try Program.run([
            .init(program, arguments + ["--set", "run.threads=1"]),
            .init(
                copy, arguments + ["--set", "run.threads=2"],
                environment: ["OMP_NUM_THREADS": "3", "OPENBLAS_CORETYPE": Self.otherKernels]),
        ])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        #expect(try RunOutcome(run) == LayoutTests.reference.get())
    }
}
