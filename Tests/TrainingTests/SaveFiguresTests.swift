import Checkpointing
import Foundation
import Layers
import Models
import Parallelism
import Tensors
import TestSupport
import Testing

/// Saves of large models on many ranks, without their data.
@Suite struct SaveFiguresTests {
    /// What rank `rank` of `ranks` holds of a model's weights and moments, as optimizers share them out. All of it
    /// lies in the same memory.
    private struct Holdings {
        let layout: FlatLayout
        let memory: Buffer

        init(_ model: GPT, ranks: Int) {
            layout = FlatLayout(
                parameters: model.parameters, ranks: ranks, bucketBytes: 25 << 20)
            let longest = layout.buckets.flatMap(\.pieces).map(\.count).max() ?? 0
            memory = Buffer(count: longest)
        }

        func state(of rank: Int) -> [StateTensor] {
            let owned = layout.buckets.reversed().map { $0.pieces[rank] }.filter { !$0.isEmpty }
            var next = 0
            return layout.entries.flatMap { entry in
                var pieces: [StateTensor.Piece] = []
                while next < owned.count, owned[next].upperBound <= entry.range.lowerBound {
                    next += 1
                }
                for piece in owned[next...].prefix(while: {
                    $0.lowerBound < entry.range.upperBound
                }) {
                    let common = piece.clamped(to: entry.range)
                    let range =
                        common.lowerBound - entry.range.lowerBound..<common.upperBound
                        - entry.range.lowerBound
                    pieces.append(.init(range: range, buffer: memory[0..<range.count]))
                }
                return ["", "optimizer.first_moment.", "optimizer.second_moment."].map {
                    StateTensor(
                        name: $0 + entry.parameter.name, spec: entry.parameter.spec, pieces: pieces)
                }
            }
        }
    }

    /// 6.7 billion parameters on 1,024 ranks, and on 16, where a rank has most parts.
    @Test(arguments: [
        (ranks: 1024, layers: 32, heads: 32, width: 4096),
        (ranks: 16, layers: 32, heads: 32, width: 4096),
    ])
    func aManifestIsShort(ranks: Int, layers: Int, heads: Int, width: Int) throws {
        let start = ContinuousClock.now
        let shape = GPTConfiguration(
            vocabulary: 50_304, contextLength: 2048, layers: layers, heads: heads, width: width)
        let model = GPT(shape, numerics: Layers.Numerics(slices: 8))
        let holdings = Holdings(model, ranks: ranks)
        let progress = TrainingProgress(
            step: 1000, optimizerUpdates: 1000, samples: 1 << 20,
            identity: .init(
                run: UUID().uuidString, configuration: "run: {}\n", configurationDigest: "c",
                tokenizer: "{}", tokenizerDigest: "t", datasetDigest: "d", build: "b", blas: "o"))
        let figures = SaveFigures(ranks: ranks, progress: progress) { holdings.state(of: $0) }
        #expect(figures.coversOnce)
        let text = String(decoding: figures.manifest, as: UTF8.self)
        let files = text.firstRange(of: "\"files\": [\n")!.upperBound
        let tensors = text.firstRange(of: "\"tensors\": [\n")!.lowerBound
        let perFile = text.utf8.distance(from: files, to: tensors) / (ranks + 2)
        #expect(perFile < 200, "\(perFile) bytes a file")
        // A reader takes the manifest, and misses what is not there.
        let folder = try TemporaryFolder()
        try Data(figures.manifest).write(to: URL(fileURLWithPath: folder.file("manifest.json")))
        let error = #expect(throws: CheckpointError.self) {
            _ = try CheckpointReader(path: folder.path)
        }
        #expect(
            error?.message.contains("configuration.yaml: expected a file") == true,
            "\(String(describing: error))")
        #expect(figures.headerByteCount < 100_000_000 && figures.mostParts <= 100_000)
        // The control: a rank that is left out is missed.
        #expect(
            !SaveFigures(ranks: 2, progress: progress) { holdings.state(of: $0) }.coversOnce)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        print(
            "save of \(model.parameters.reduce(0) { $0 + $1.count }) parameters on \(ranks) ranks: "
                + "\(figures.partCount) parts, manifest \(figures.manifest.count) bytes, of these "
                + "\(perFile) a file and \(text.utf8.distance(from: tensors, to: text.endIndex)) for "
                + "tensors; the largest header \(figures.headerByteCount) bytes for "
                + "\(figures.mostParts) parts, its file \(figures.fileByteCount); each rank tells the "
                + "others \(figures.exchangedByteCount) bytes; "
                + String(format: "%.1f s to find out", seconds))
    }
}
