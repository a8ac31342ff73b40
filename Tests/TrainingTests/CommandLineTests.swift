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
        for (value, part) in [
            ("x", "expected a whole number, found x"), ("-1", "expected a number from 1, found -1"),
            ("99999999999999999999", "to 9223372036854775807, found 99999999999999999999"),
        ] {
            let errors = try murmur(["plan", "a.yaml", "--ranks", value]).errors
            #expect(errors.hasPrefix("error: command line: --ranks: expected "), "\(errors)")
            #expect(errors.contains(part), "\(errors)")
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

    /// Only what is missing may be somewhere else.
    @Test func pathsThatAreThereAreNotLookedForElsewhere() throws {
        let found = try murmur(["plan", "configs"]).errors
        #expect(found == "error: configs: expected a regular file, found a folder\n")
        #expect(try murmur(["plan", "none.yaml"]).errors.contains("; paths are relative to "))
    }

    @Test func planWarnsOfStepsBeyondTheDecay() throws {
        let plan = ["plan", "configs/tests/same-bits.yaml"]
        let warned = try murmur(plan + ["--set", "schedule.decay_steps=49"])
        #expect(warned.exitCode == 0, "\(warned.summary)")
        #expect(warned.errors.hasPrefix("warning: schedule.decay_steps: expected at least"))
        #expect(try murmur(plan).errors == "")
    }

    /// Ranks that expand a path differently are told of what it depends on.
    @Test func whatLiesInAHomeIsToldOf() {
        let home = ProcessInfo.processInfo.environment["HOME"] ?? ""
        let remedy = SharedValue("run.directory", "~/x".expandingHome, remedy: "r").remedy
        #expect((remedy?.contains("r; give every rank the same HOME") == true) == (home.count > 1))
        #expect(SharedValue("run.directory", "runs/x", remedy: "r").remedy == "r")
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
                error: --set: run.x: expected a known key, found x

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
