import Foundation
import TestSupport
import Testing
import Training

/// `embed`, and a masked language model from its training to its export.
@Suite(.serialized) struct EmbeddingTests {
    private static let settings = [
        "run.steps=6", "model.family=bert", "model.width=24", "model.dropout=0.1",
        "data.tokenizer=byte", "evaluation.every=3", "evaluation.micro_batch=3",
    ]

    private static let run = Result {
        let run = try RunFolder()
        let launch = try run.train(settings: settings)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        return run
    }

    private struct Line: Decodable {
        let text: String
        let embedding: [Float]
    }

    private func embed(_ texts: String, _ arguments: [String] = []) throws -> [Line] {
        let run = try Self.run.get()
        let file = run.folder.file("texts")
        try texts.write(toFile: file, atomically: true, encoding: .utf8)
        let launch = try murmur(
            ["embed", "--checkpoint", run.directory, "--texts", file] + arguments)
        #expect(launch.exitCode == 0 && launch.errors == "", "\(launch.summary)")
        return try launch.output.split(separator: "\n").map {
            try JSONDecoder().decode(Line.self, from: Data($0.utf8))
        }
    }

    @Test func aTextHasTheBitsThatItHasAlone() throws {
        let together = try embed("one\na longer text\n{\"text\": \"two\\nlines\"}\nx\n")
        #expect(together.map(\.text) == ["one", "a longer text", "two\nlines", "x"])
        for line in together {
            let json = String(
                decoding: try JSONEncoder().encode(["text": line.text]), as: UTF8.self)
            let alone = try embed(json + "\n")[0].embedding
            #expect(alone.count == 24 && alone == line.embedding)
        }
        #expect(together[0].embedding != together[1].embedding)
    }

    @Test func poolingAndLength() throws {
        let texts = "ab\nx\n"
        let (mean, first) = (try embed(texts), try embed(texts, ["--pooling", "first"]))
        #expect(mean[0].embedding != first[0].embedding)
        // Of one token both are the same.
        #expect(mean[1].embedding == first[1].embedding)
        let unit = try embed(texts, ["--normalize"])
        for (line, plain) in zip(unit, mean) {
            let length = plain.embedding.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(abs(line.embedding.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
            for (found, expected) in zip(line.embedding, plain.embedding) {
                #expect(abs(found - expected / length) < 1e-6)
            }
        }
    }

    @Test(arguments: [
        ("\n", [], "text 1: expected 1 to 33 tokens (model.context_length), found 0"),
        (
            String(repeating: "x", count: 34), [],
            "text 1: expected 1 to 33 tokens (model.context_length), found 34"
        ),
        ("x", ["--pooling", "max"], "command line: --pooling: expected mean or first, found max"),
    ])
    func whatCannotBeEmbeddedIsOneError(texts: String, arguments: [String], message: String) throws
    {
        let run = try Self.run.get()
        let file = run.folder.file("wrong")
        try texts.write(toFile: file, atomically: true, encoding: .utf8)
        let launch = try murmur(
            ["embed", "--checkpoint", run.directory, "--texts", file] + arguments)
        #expect(launch.exitCode == 2 && launch.output == "", "\(launch.summary)")
        #expect(launch.errors.contains(message) && launch.errorLines.count == 1, "\(launch.errors)")
    }

    @Test func generationSaysThatAnEncoderContinuesNothing() throws {
        let launch = try murmur(["generate", "--checkpoint", Self.run.get().directory])
        #expect(launch.exitCode == 2)
        #expect(
            launch.errors
                == "error: model.family: expected one that continues texts, found bert\n")
    }

    /// Metrics, evaluation on several ranks, resumption: as for any other model.
    @Test func itTrainsAsOthersDo() throws {
        let run = try Self.run.get()
        let rows = run.metrics.filter { $0.contains("validation_accuracy") }
        #expect(rows.count == 2, "\(run.metrics)")
        let figures = try [nil, 2].map { ranks in
            let launch = try murmur(["evaluate", "--checkpoint", run.directory], ranks: ranks)
            #expect(launch.exitCode == 0, "\(launch.summary)")
            return launch.output
        }
        #expect(figures[0] == figures[1] && figures[0].contains("nats a masked token  accuracy 0."))
        let other = try RunFolder()
        let half = try other.train(settings: Self.settings, ["--stop-at", "3"])
        #expect(half.exitCode == 0, "\(half.summary)")
        let rest = try other.train(
            ranks: 2, settings: Self.settings + ["parallelism.tensor=2"], ["--resume"])
        #expect(rest.exitCode == 0, "\(rest.summary)")
        #expect(try other.digest() == run.digest())
        #expect(other.lossBits == run.lossBits)
    }

    @Test func aMaskBeyondTheVocabularyIsRefused() throws {
        let run = try RunFolder()
        let launch = try run.train(settings: Self.settings + ["model.vocabulary=257"])
        #expect(launch.exitCode == 2 && launch.errorLines.count == 1, "\(launch.summary)")
        #expect(
            launch.errors.contains(
                "objective.mask_token: expected one of the model's 257 symbols, found 257, the one after the "
                    + "tokenizer's; set it, or model.vocabulary"), "\(launch.errors)")
    }
}
