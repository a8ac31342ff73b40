import Foundation
import TestSupport
import Testing
import Training

/// A model of pairs from its preparation to lines that are translated.
@Suite(.serialized) struct PairRunTests {
    private static let pairs = Result { () -> TemporaryFolder in
        let folder = try TemporaryFolder()
        // Words and the same words the other way round.
        let lines = (0..<240).map { number -> String in
            let words = (0..<1 + number % 7).map {
                "\(UnicodeScalar(97 + UInt8((number * 7 + $0 * 5) % 26)))\($0)"
            }
            let (source, target) = (
                words.joined(separator: " "), words.reversed().joined(separator: " ")
            )
            return "{\"source\": \"\(source)\", \"target\": \"\(target)\"}"
        }
        try folder.write("pairs.jsonl", lines.joined(separator: "\n"))
        try folder.write(
            "pairs.yaml",
            """
            input:  { files: ["\(folder.file("pairs.jsonl"))"], kind: pairs }
            output: { directory: \(folder.file("pairs")), validation_fraction: 0.1 }
            """)
        let launch = try murmur(["prepare", folder.file("pairs.yaml")])
        guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
        return folder
    }

    private static func train(
        _ folder: String, ranks: Int? = nil, settings: [String] = [], _ arguments: [String] = []
    ) throws -> Launch {
        let file = try pairs.get().file("train.yaml")
        try """
        run: { directory: r, seed: 3, steps: 6, threads: 1 }
        model: { family: transformer, layers: 1, decoder_layers: 2, heads: 4, width: 20, context_length: 32, dropout: 0.1 }
        data: { sources: [\(try pairs.get().file("pairs"))] }
        batch: { sequences: 8, micro_batch: 2 }
        numerics: { slices: 4, groups: 4 }
        optimizer: { learning_rate: 3e-3 }
        objective: { label_smoothing: 0.1 }
        evaluation: { every: 3, micro_batch: 2 }
        checkpoint: { every: 3 }
        """.write(toFile: file, atomically: true, encoding: .utf8)
        let all = ["run.directory=\(folder)"] + settings
        return try murmur(
            ["train", file] + all.flatMap { ["--set", $0] } + arguments, ranks: ranks)
    }

    private func digest(_ folder: String) throws -> String {
        try murmur(["checkpoint", "digest", folder]).output
    }

    /// Pair by pair, and in groups of about the same length; with memory made anew, and in 16 bits.
    @Test(arguments: [
        [], ["batch.micro_batch=1", "batch.tokens=64"],
        ["batch.micro_batch=1", "batch.tokens=64", "precision.storage=bfloat16"],
        ["memory.recompute=block", "model.norm_position=pre", "model.shared_embedding=false"],
        ["precision.storage=float16", "memory.recompute=attention"],
    ])
    func itHasTheBitsOfOneProcessAndGoesOn(settings: [String]) throws {
        let folder = try TemporaryFolder()
        let (one, two) = (folder.file("one"), folder.file("two"))
        let alone = try Self.train(one, settings: settings)
        #expect(alone.exitCode == 0, "\(alone.summary)")
        let half = try Self.train(two, ranks: 2, settings: settings, ["--stop-at", "3"])
        #expect(half.exitCode == 0, "\(half.summary)")
        let rest = try Self.train(
            two, ranks: 4,
            settings: settings + ["parallelism.tensor=2", "parallelism.sequence=true"],
            ["--resume"])
        #expect(rest.exitCode == 0, "\(rest.summary)")
        #expect(try digest(one) == digest(two))
        let other = try Self.train(
            folder.file("other"), settings: settings + ["model.activation=silu"])
        #expect(other.exitCode == 0)
        #expect(try digest(folder.file("other")) != digest(one), "control")
        let figures = try [nil, 3].map {
            try murmur(["evaluate", "--checkpoint", one], ranks: $0)
        }
        #expect(figures[0].output == figures[1].output, "\(figures[1].summary)")
    }

    @Test func linesAreTranslatedInTheirOrderByAnyRanks() throws {
        let folder = try TemporaryFolder()
        let run = folder.file("run")
        let trained = try Self.train(run)
        #expect(trained.exitCode == 0, "\(trained.summary)")
        let lines = ["a0 b1", "", "c0 d1 e2 f3 g4", "z0", "a0 b1"]
        try folder.write("lines", lines.joined(separator: "\n") + "\n")
        let arguments = [
            "translate", "--checkpoint", run, "--sources", folder.file("lines"), "--max-length",
            "12", "--json",
        ]
        let alone = try murmur(arguments)
        #expect(alone.exitCode == 0, "\(alone.summary)")
        let found = alone.output.split(separator: "\n")
        #expect(found.count == lines.count)
        for (line, result) in zip(lines, found) {
            #expect(result.contains("\"source\":\"\(line)\""), "\(result)")
        }
        #expect(found[0] == found[4] && found[0] != found[2], "control")
        #expect(try murmur(arguments, ranks: 3).output == alone.output)

        let metrics = [
            "evaluate", "--checkpoint", run, "--metrics", "bleu,chrf,rougeL", "--pairs", "6",
        ]
        let scores = try [nil, 2].map { try murmur(metrics, ranks: $0) }
        #expect(scores[0].exitCode == 0, "\(scores[0].summary)")
        #expect(scores[0].output == scores[1].output)
        #expect(scores[0].output.contains("BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"))

        let greedy = try murmur(arguments + ["--beams", "1", "--nbest", "2"])
        #expect(greedy.exitCode == 2 && greedy.errorLines.count == 1, "\(greedy.summary)")
        let text = try murmur(["generate", "--checkpoint", run])
        #expect(text.exitCode == 2)
        #expect(text.errors.contains("expected one that continues texts"), "\(text.errors)")
    }

    @Test func theMeanOfCheckpointsIsARun() throws {
        let folder = try TemporaryFolder()
        let (run, mean) = (folder.file("run"), folder.file("mean"))
        let trained = try Self.train(run, settings: ["checkpoint.keep=3"])
        #expect(trained.exitCode == 0, "\(trained.summary)")
        let made = try murmur(["checkpoint", "average", run, "--last", "2", "-o", mean])
        #expect(made.exitCode == 0, "\(made.summary)")
        let scores = try [run, mean].map { try murmur(["evaluate", "--checkpoint", $0]) }
        #expect(scores[1].exitCode == 0 && scores[0].output != scores[1].output, "control")
        // A checkpoint and itself are that checkpoint.
        let last = "\(run)/checkpoints/step-0000000006"
        let same = try murmur(["checkpoint", "average", last, last, "-o", folder.file("same")])
        #expect(same.exitCode == 0, "\(same.summary)")
        #expect(
            try murmur(["evaluate", "--checkpoint", folder.file("same")]).output
                == scores[0].output)
        let goesOn = try Self.train(
            mean, settings: ["run.steps=7", "schedule.decay_steps=6"], ["--resume"])
        #expect(goesOn.exitCode == 0, "\(goesOn.summary)")
        let few = try murmur(
            ["checkpoint", "average", run, "--last", "9", "-o", folder.file("few")])
        #expect(few.exitCode == 2 && few.errorLines.count == 1, "\(few.summary)")
    }

    @Test func otherDataIsRefused() throws {
        let folder = try TemporaryFolder()
        try folder.write("text", "a text that is no pair\n")
        let text = try Self.train(
            folder.file("one"),
            settings: ["data.sources=[]", "data.text=[\(folder.file("text"))]"])
        #expect(text.exitCode == 3, "\(text.summary)")
        #expect(text.errors.contains("expected pairs of texts"), "\(text.errors)")
        for settings in [
            ["batch.tokens=64"], ["model.end_token=900", "model.vocabulary=300"],
            ["model.target_length=1"], ["data.packing=documents"], ["model.width=21"],
        ] {
            let launch = try Self.train(folder.file("two"), settings: settings)
            #expect(launch.exitCode == 2 && launch.errorLines.count == 1, "\(launch.summary)")
        }
    }
}
