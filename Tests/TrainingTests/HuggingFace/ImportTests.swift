import Checkpointing
import Foundation
import Models
import Tensors
import TestSupport
import Testing
import Training

/// Tests/Fixtures/hugging_face: a random GPT-2 that transformers saved, in two files.
enum HuggingFaceFixture {
    static let path = "\(packageRoot)/Tests/Fixtures/hugging_face"

    /// A copy in `folder`.
    static func copy(into folder: TemporaryFolder) throws -> String {
        try folder.copy(path, to: "model")
    }

    /// Tokens, and the logits that transformers computed for them in Float64.
    static func expected() throws -> (tokens: [Int32], logits: [Float]) {
        let reader = try SafetensorsReader(path: "\(path)_expected.safetensors")
        let tokens = try #require(reader.entry(named: "tokens"))
        let logits = try #require(reader.entry(named: "logits"))
        let ids = Buffer(count: tokens.shape.count, dtype: .int32)
        try reader.read(tokens, elements: 0..<ids.count, into: ids)
        let values = Tensor(uninitialized: logits.shape)
        try reader.read(logits, elements: 0..<logits.shape.count, into: values.buffer)
        return (Array(UnsafeBufferPointer(start: ids.integers, count: ids.count)), values.array)
    }
}

/// What a checkpoint's model gives for one text.
func logits(of checkpoint: String, _ tokens: [Int32]) throws -> [Float] {
    let input = ModelInput(
        fields: ["tokens": Tensor(integers: tokens, shape: [1, tokens.count])],
        weights: Tensor(zeros: [tokens.count]))
    return try TrainedModel(path: checkpoint).model.logits(input).array
}

func largestDifference(_ first: [Float], _ second: [Float]) -> Float {
    guard first.count == second.count else { return .infinity }
    return zip(first, second).map { abs($0 - $1) }.max() ?? .infinity
}

@Suite(.serialized) struct ImportTests {
    @Test func anImportHasTheLogitsOfTransformers() throws {
        let folder = try TemporaryFolder()
        let run = folder.file("run")
        let imported = try importCheckpoint(HuggingFaceFixture.path, into: run)
        #expect(imported.parameterCount == 9476)
        let (tokens, expected) = try HuggingFaceFixture.expected()
        let found = try logits(of: run, tokens)
        #expect(largestDifference(found, expected) <= 1e-4)
        let control = try logits(of: run, Array(tokens.reversed()))
        #expect(largestDifference(control, expected) > 1e-2, "control")
    }

    /// The state of an import is a function of the weights, so that its digest tells whether they came
    /// through unharmed.
    @Test(arguments: [1, 20_000, 5_000_000_000])
    func anExportIsImportedWithItsDigest(shardLimit: Int) throws {
        let folder = try TemporaryFolder()
        let (run, out, again) = (folder.file("run"), folder.file("out"), folder.file("again"))
        _ = try importCheckpoint(HuggingFaceFixture.path, into: run)
        let files = try exportCheckpoint(run, to: out, shardLimit: shardLimit).files
        #expect(try folder.names(in: "out") == files)
        _ = try importCheckpoint(out, into: again)
        #expect(try digest(again) == digest(run))

        // The control: a bit of a weight.
        let name = try #require(files.last { $0.hasSuffix(".safetensors") })
        var bytes = try folder.bytes("out/\(name)")
        bytes[bytes.count - 1] ^= 1
        try folder.write("out/\(name)", bytes)
        _ = try importCheckpoint(out, into: folder.file("control"))
        #expect(try digest(folder.file("control")) != digest(run))
    }

    private func digest(_ run: String) throws -> String? {
        try CheckpointReader.newest(in: run)?.reader.digest()
    }

    @Test func thereAreEnoughHostileFolders() { #expect(HostileFolder.all.count >= 80) }

    @Test(arguments: HostileFolder.all.indices)
    func aHostileFolderIsRefused(_ index: Int) throws {
        let hostile = HostileFolder.all[index]
        let folder = try TemporaryFolder()
        let model = try HuggingFaceFixture.copy(into: folder)
        try hostile.write(to: model)
        var message = "accepted"
        do {
            _ = try importCheckpoint(model, into: folder.file("run"))
        } catch {
            message = error.message
            #expect(error.kind == .checkpoint, "\(hostile.name): \(error)")
        }
        #expect(message.contains(hostile.message), "\(hostile.name): \(message)")
        #expect(message.contains(model), "\(hostile.name): \(message)")
        #expect(message.utf8.count < 4000, "\(hostile.name)")
        #expect(try folder.names() == ["model"], "\(hostile.name)")
    }

    @Test func anotherTokenizerIsKeptAndNoted() throws {
        let folder = try TemporaryFolder()
        let model = try HuggingFaceFixture.copy(into: folder)
        try FileManager.default.removeItem(atPath: "\(model)/murmuration-tokenizer.json")
        let foreign = "{\"version\": \"1.0\", \"model\": {\"type\": \"BPE\"}}"
        try folder.write("model/tokenizer.json", foreign)
        let run = folder.file("run")
        let imported = try importCheckpoint(model, into: run)
        #expect(imported.notes.contains { $0.contains("no tokenizer of a kind") })
        let launch = try murmur(["generate", "--checkpoint", run])
        #expect(launch.exitCode == 4, "\(launch.summary)")
        #expect(launch.errors.contains("was imported with a tokenizer"), "\(launch.errors)")
        _ = try exportCheckpoint(run, to: folder.file("out"))
        #expect(try folder.bytes("out/tokenizer.json") == Array(foreign.utf8))
    }

    /// Special tokens and generation settings that are not ours go out as they came in.
    @Test(arguments: [true, false]) func settingsGoThrough(hasOurTokenizer: Bool) throws {
        let folder = try TemporaryFolder()
        let model = try HuggingFaceFixture.copy(into: folder)
        if !hasOurTokenizer {
            try FileManager.default.removeItem(atPath: "\(model)/murmuration-tokenizer.json")
            try folder.write("model/tokenizer.json", "{\"model\": {\"type\": \"BPE\"}}")
        }
        var text = try String(decoding: folder.bytes("model/config.json"), as: UTF8.self)
        text = text.replacingOccurrences(
            of: "\"bos_token_id\": 256", with: "\"bos_token_id\": null"
        )
        .replacingOccurrences(
            of: "\"eos_token_id\": 256", with: "\"eos_token_id\": [3, 4], \"pad_token_id\": 258")
        try folder.write("model/config.json", text)
        let settings = [
            "generation_config.json":
                "{\"eos_token_id\": [3, 4], \"temperature\": 0.5, \"top_k\": 7}",
            "tokenizer_config.json": "{\"eos_token\": \"<end>\", \"pad_token\": \"<pad>\"}",
            "special_tokens_map.json": "{\"eos_token\": {\"content\": \"<end>\"}}",
        ]
        for (name, text) in settings { try folder.write("model/\(name)", text) }
        _ = try importCheckpoint(model, into: folder.file("run"))
        let export = try exportCheckpoint(folder.file("run"), to: folder.file("out"))
        #expect(try folder.names(in: "out") == export.files)
        for (name, text) in settings {
            #expect(try folder.bytes("out/\(name)") == Array(text.utf8), "\(name)")
        }
        let members = try #require(
            JSONSerialization.jsonObject(with: Data(folder.bytes("out/config.json")))
                as? [String: Any])
        #expect(members["bos_token_id"] is NSNull)
        #expect(members["eos_token_id"] as? [Int] == [3, 4])
        #expect(members["pad_token_id"] as? Int == 258)
    }

    /// What an import takes, a checkpoint gives back; what is longer is refused before there is a run.
    @Test(arguments: [(12 << 20, true), (17 << 20, false)])
    func aLongTokenizerIsReadAgainOrRefused(size: (bytes: Int, fits: Bool)) throws {
        let folder = try TemporaryFolder()
        let model = try HuggingFaceFixture.copy(into: folder)
        try FileManager.default.removeItem(atPath: "\(model)/murmuration-tokenizer.json")
        try folder.write("model/tokenizer.json", "{}" + String(repeating: " ", count: size.bytes))
        do {
            _ = try importCheckpoint(model, into: folder.file("run"))
            #expect(size.fits)
            _ = try exportCheckpoint(folder.file("run"), to: folder.file("out"))
        } catch {
            #expect(!size.fits && error.message.contains("at most 16777216 bytes"), "\(error)")
            #expect(try folder.names() == ["model"])
        }
    }
}
