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
        integers: ["tokens": Tensor(integers: tokens, shape: [1, tokens.count])],
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
}
