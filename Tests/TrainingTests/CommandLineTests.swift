import Foundation
import TestSupport
import Testing
import Training

@Suite(.serialized) struct CommandLineTests {
    @Test(arguments: [
        (["--version"], ["murmur \(Training.version)\n"]),
        (["--help"], ["train ", "prepare ", "evaluate ", "generate ", "bench ", "doctor "]),
        (["generate", "--help"], ["(default: 200)", "(default: 0.8)", "(default: 1337)"]),
        (["train", "--help"], ["--set", "--resume", "--stop-at", "--override"]),
    ])
    func helpEndsWell(arguments: [String], parts: [String]) throws {
        let command = try murmur(arguments)
        #expect(command.exitCode == 0)
        #expect(command.errors == "")
        for part in parts { #expect(command.output.contains(part)) }
    }

    @Test func whatIsAskedForOfAllRanksIsToldOnce() throws {
        // The words of a number that is none, and of one below 0, say what is expected.
        for (value, part) in [("x", "expected a whole number"), ("-1", "expected a number from 1")]
        {
            #expect(try murmur(["plan", "a.yaml", "--ranks", value]).errors.contains(part))
        }
        let command = try murmur(["--version"], ranks: 2)
        #expect(command.exitCode == 0 && command.errors == "", "\(command.summary)")
        #expect(command.output == "murmur \(Training.version)\n")
    }

    /// Under srun without PMIx no task knows of another, but each knows its number.
    @Test(arguments: [0, 1]) func tasksThatSlurmLeavesAloneSpeakOnce(task: Int) throws {
        func run(_ arguments: [String]) throws -> Launch {
            try Program(path: "/usr/bin/env").run(
                ["SLURM_PROCID=\(task)", "SLURM_NTASKS=2", Program("murmur").path] + arguments)
        }
        let version = try run(["--version"])
        #expect(version.exitCode == 0 && version.errors == "", "\(version.summary)")
        #expect(version.output == (task == 0 ? "murmur \(Training.version)\n" : ""))
        let folder = try RunFolder()
        let train = try run(["train", RunFolder.configuration] + folder.settings())
        #expect(train.exitCode == 2 && train.output == "", "\(train.summary)")
        #expect(train.errorLines.count == (task == 0 ? 1 : 0), "\(train.summary)")
        #expect(try folder.folder.names() == [])
    }

    @Test(arguments: [
        ["train"], ["fly"], ["plan", ""], ["checkpoint", "list", ""],
        ["train", "a.yaml", "--fast"], ["bench", "a.yaml", "--steps", "many"],
        ["train", "a.yaml", "--stop-at", "0"], ["train", "a.yaml", "--override", "optimizer"],
        ["generate"], ["generate", "--checkpoint", "x", "--top-p", "2"], ["checkpoint", "dig"],
        ["train", "missing.yaml"], ["train", "configs/quickstart.yaml", "--set", "run.steps"],
    ])
    func misuseIsOneLineAndExitCodeTwo(arguments: [String]) throws {
        let command = try murmur(arguments)
        #expect(command.exitCode == 2, "\(command.errors)")
        #expect(command.output == "")
        #expect(command.errors.wholeMatch(of: /error: [^\n]+\n/) != nil, "\(command.errors)")
    }

    @Test func missingCheckpointIsCodeFour() throws {
        let command = try murmur(["checkpoint", "digest", "configs"])
        #expect(command.exitCode == 4)
        #expect(command.errors.wholeMatch(of: /error: configs: expected [^\n]+\n/) != nil)
    }

    @Test func aConfigurationWithProblemsIsRefusedOnceByAllRanks() throws {
        let command = try murmur(
            [
                "train", "configs/tests/same-bits.yaml", "--set", "model.heads=3", "--set",
                "run.x=1",
            ],
            ranks: 2)
        #expect(command.exitCode == 2)
        #expect(
            command.errors == """
                error: configs/tests/same-bits.yaml:9: model.width: expected a multiple of \
                model.heads (3), found 20
                error: --set: run.x: expected a known key, found x; the nearest is run.seed

                """)
        #expect(!command.timedOut)
    }

    @Test func ranksThatDoNotDivideTheBatchAreRefusedOnce() throws {
        let command = try murmur(["train", "configs/tests/same-bits.yaml"], ranks: 3)
        #expect(command.exitCode == 2)
        #expect(
            command.errors.wholeMatch(
                of: /error: [^\n]+divides the 8 micro-batches[^\n]+found 3; use 1, 2, 4, 8[^\n]+\n/)
                != nil)
        #expect(!command.timedOut)
    }
}
