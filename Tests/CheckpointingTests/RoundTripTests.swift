import Checkpointing
import Communication
import Crypto
import Foundation
import Layers
import Tensors
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: [1, 2, 3, 4], [1, 2, 3, 4])
    func everyLayoutLoadsWhatEveryOtherSaved(_ saved: Int, _ loaded: Int) throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: saved)
        let found = try InProcess.run(ranks: loaded) { communicator in
            let found = try #require(
                try CheckpointReader.newest(in: folder.path, communicator: communicator))
            #expect(found.warnings.isEmpty)
            #expect(found.reader.progress == SampleState.progress())
            let state = SampleState.state(rank: communicator.rank, of: loaded, seed: nil)
            try found.reader.restore(into: state, communicator: communicator)
            return bitPatterns(state)
        }
        for rank in 0..<loaded {
            #expect(found[rank] == bitPatterns(SampleState.state(rank: rank, of: loaded)))
        }
        // The control: another state has other bits.
        #expect(found[0] != bitPatterns(SampleState.state(rank: 0, of: loaded, seed: 2)))
    }

    /// Runs of other slices, which lie elsewhere in memory.
    @Test(arguments: [1, 2, 4, 8], [1, 2, 8])
    func otherSlicesLoadTheSame(_ saved: Int, _ loaded: Int) throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 3, slices: saved)
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        for rank in 0..<2 {
            let state = SampleState.state(rank: rank, of: 2, seed: nil, slices: loaded)
            try reader.restore(into: state)
            let expected = SampleState.state(rank: rank, of: 2, slices: loaded)
            #expect(bitPatterns(state) == bitPatterns(expected))
            // The control: memory of other slices has another order.
            let other = SampleState.state(rank: rank, of: 2, slices: 3)
            #expect(bitPatterns(state) != bitPatterns(other))
        }
    }

    @Test func everyRankWritesAFile() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 3)
        let shards = (0..<3).map { "shard-0000\($0)-of-00003.safetensors" }
        let name = "checkpoints/step-0000000010"
        #expect(
            try folder.names(name) == ["configuration.yaml", "manifest.json"] + shards
                + ["tokenizer.json"])
        // Each has what its rank holds, under names that say which elements it is.
        for (rank, shard) in shards.enumerated() {
            let file = try SafetensorsReader(path: "\(folder.path)/\(name)/\(shard)")
            let keys = SampleState.state(rank: rank, of: 3).flatMap { tensor in
                tensor.pieces.filter { !$0.range.isEmpty }.map {
                    "\(tensor.name)[\($0.range.lowerBound):\($0.range.upperBound)]"
                }
            }
            #expect(Set(file.entries.map(\.name)) == Set(keys) && file.entries.count == keys.count)
        }
    }

    /// What follows on itself in memory is one part, in however many pieces a rank has it.
    @Test func piecesThatMeetAreOnePart() throws {
        let folder = try TemporaryFolder()
        let spec = ShardSpec(replicated: [10])
        let values = (0..<10).map { Float($0) }
        let pieces = [0..<3, 3..<7, 7..<10].map { range in
            StateTensor.Piece(
                range: range, buffer: Tensor(Array(values[range]), shape: [range.count]).buffer)
        }
        _ = try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
            [StateTensor(name: "w", spec: spec, pieces: pieces)],
            progress: SampleState.progress(), communicator: InProcess.alone())
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        #expect(try reader.partCount(of: "w") == 1)
        #expect(try reader.loadTensor("w").array == values)
    }

    @Test func tensorsAreInLogicalOrder() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 2)
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        for (name, spec) in SampleState.specs {
            let tensor = try reader.loadTensor(name)
            #expect(tensor.shape == spec.shape)
            let expected = SampleState.values(of: name, count: spec.shape.count, seed: 1)
            #expect(tensor.array.map(\.bitPattern) == expected.map(\.bitPattern))
            #expect(reader.entry(named: name)?.spec == spec)
        }
    }

    /// Every way to read blocks of the file gives the same: small ones, with and without gaps.
    @Test(arguments: [1, 7, 64, 1000], [0, 3, 1000])
    func blocksOfAnySizeRestoreTheSame(_ blockElementCount: Int, _ gap: Int) throws {
        let folder = try TemporaryFolder()
        try save(into: folder)
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        for rank in 0..<4 {
            let state = SampleState.state(rank: rank, of: 4, seed: nil)
            try reader.restore(into: state, blockElementCount: blockElementCount, gap: gap)
            #expect(bitPatterns(state) == bitPatterns(SampleState.state(rank: rank, of: 4)))
        }
    }

    @Test func lossScaleIsKept() throws {
        let folder = try TemporaryFolder()
        var progress = SampleState.progress()
        progress.lossScale = .init(scale: 1 << 24, goodSteps: 1999, hysteresis: 2, lostSteps: 7)
        try save(into: folder, progress: progress)
        let found = try #require(try CheckpointReader.newest(in: folder.path))
        #expect(found.reader.progress == progress)
    }

    @Test func anotherModelIsNamed() throws {
        let folder = try TemporaryFolder()
        try save(into: folder)
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        let whole = SampleState.state(rank: 0, of: 1, seed: nil)
        let before = bitPatterns(whole)
        let other = StateTensor(name: "h.1.bias", spec: ShardSpec(replicated: [2]), pieces: [])
        let turned = StateTensor(
            name: "wpe.weight", spec: ShardSpec(replicated: [6, 7]), pieces: [])
        let cases: [([StateTensor], String)] = [
            (whole + [other], "tensor h.1.bias: expected [2], found no tensor of that name"),
            (
                Array(whole.dropFirst()),
                "tensor wte.weight: expected none of that name, found [65, 6]"
            ),
            (
                whole.map { $0.name == "wpe.weight" ? turned : $0 },
                "tensor wpe.weight: expected [6, 7], found [7, 6]"
            ),
        ]
        for (state, message) in cases {
            let error = checkpointError { try reader.restore(into: state) }
            #expect(error?.message.contains(message) == true, "\(error?.message ?? "none")")
            guard case .mismatch = error?.kind else {
                Issue.record("expected a mismatch, found \(String(describing: error))")
                continue
            }
        }
        #expect(bitPatterns(whole) == before)
    }

    @Test func aModelIsRestoredWithoutItsOptimizer() throws {
        let folder = try TemporaryFolder()
        try save(into: folder, ranks: 2)
        let reader = try #require(try CheckpointReader.newest(in: folder.path)).reader
        let isWeight = { (tensor: StateTensor) in !tensor.name.hasPrefix("optimizer.") }
        let model = SampleState.state(rank: 0, of: 1, seed: nil).filter(isWeight)
        let whole = checkpointError { try reader.restore(into: model) }
        #expect(whole?.message.contains("tensor optimizer.first_moment.") == true)
        try reader.restoreModel(into: model)
        let expected = SampleState.state(rank: 0, of: 1).filter(isWeight)
        #expect(bitPatterns(model) == bitPatterns(expected))
        let error = checkpointError { try reader.restoreModel(into: Array(model.dropLast())) }
        #expect(error?.message.contains("expected none of that name") == true)
    }

    @Test func ranksThatSaveDifferentStatesAreRefused() throws {
        let folder = try TemporaryFolder()
        let writer = CheckpointWriter(runDirectory: folder.path, keep: 1)
        let messages = try InProcess.run(ranks: 2) { communicator in
            let progress = SampleState.progress(step: 10 + communicator.rank)
            return checkpointError {
                try writer.save(
                    SampleState.state(rank: communicator.rank, of: 2), progress: progress,
                    communicator: communicator)
            }?.message
        }
        #expect(messages[0]?.contains("on every rank") == true)
        #expect(messages[0] == messages[1])
        #expect(try folder.names() == [])
    }
}

@Suite struct StateDigestTests {
    private func digest(
        ranks: Int = 1, seed: UInt32 = 1, _ change: (inout TrainingProgress) -> Void = { _ in }
    ) throws -> String {
        let folder = try TemporaryFolder()
        var progress = SampleState.progress()
        change(&progress)
        try save(into: folder, ranks: ranks, seed: seed, progress: progress)
        return try #require(try CheckpointReader.newest(in: folder.path)).reader.digest()
    }

    @Test func dependsOnNothingButTheState() throws {
        let expected = try digest()
        for ranks in 2...4 { #expect(try digest(ranks: ranks) == expected) }
        #expect(try digest { $0.identity.run = "run-2" } == expected)
        #expect(try digest { $0.identity.build = "another" } == expected)
    }

    @Test func anyChangeOfTheStateChangesIt() throws {
        let expected = try digest()
        #expect(try digest(seed: 2) != expected)
        #expect(try digest { $0.step += 1 } != expected)
        #expect(try digest { $0.optimizerUpdates += 1 } != expected)
        #expect(try digest { $0.samples += 1 } != expected)
        let scaled = try digest {
            $0.lossScale = .init(scale: 65536, goodSteps: 0, hysteresis: 2)
        }
        #expect(scaled != expected)
        let lost = try digest {
            $0.lossScale = .init(scale: 65536, goodSteps: 0, hysteresis: 2, lostSteps: 1)
        }
        #expect(lost != scaled)
    }

    /// The documented layout, written out by hand; one flipped bit is the control.
    @Test func isTheDigestOfTheDocumentedText() throws {
        #expect(try digest() == documentedDigest(flipping: nil))
        #expect(try digest() != documentedDigest(flipping: "wpe.weight"))
    }

    private func documentedDigest(flipping flipped: String?) -> String {
        var text = """
            murmuration state 1
            counter data.samples 120
            counter loss_scale none
            counter optimizer.updates 9
            counter step 10

            """
        let sorted = SampleState.specs.sorted {
            $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        }
        for (name, spec) in sorted {
            let values = SampleState.values(of: name, count: spec.shape.count, seed: 1)
            var bytes = values.flatMap { value in
                (0..<4).map { UInt8(value.bitPattern >> ($0 * 8) & 255) }
            }
            if name == flipped { bytes[5] ^= 1 }
            let shape = spec.shape.extents.map(String.init).joined(separator: ", ")
            text += "tensor \(name) float32 [\(shape)] \(hexadecimal(SHA256.hash(data: bytes)))\n"
        }
        return hexadecimal(SHA256.hash(data: Array(text.utf8)))
    }

    private func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { String(UInt16($0) + 256, radix: 16).dropFirst() }.joined()
    }
}
