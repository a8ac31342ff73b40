import Checkpointing
import Communication
import Datasets
import Foundation
import Layers
import Tensors
import TestSupport
import Testing

extension Chaos {
    /// Manifests and headers that somebody has changed and signed again, or only changed: nothing that is read may
    /// end the process, and what is accepted must be what it says.
    @Suite(.serialized) struct Fuzz {
        private let folder: TemporaryFolder
        private static let fixture = "\(packageRoot)/Tests/Fixtures/format_2/step-0000000002"

        init() throws { folder = try TemporaryFolder() }

        /// A small checkpoint of a version; returns its folder.
        private func checkpoint(version: Int) throws -> String {
            guard version == 3 else {
                try FileManager.default.copyItem(
                    atPath: Self.fixture, toPath: folder.file("two"))
                return folder.file("two")
            }
            let reader = try CheckpointReader(path: Self.fixture)
            let state = Self.zeros(like: reader)
            try reader.restore(into: state)
            return try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
                state, progress: reader.progress, communicator: InProcess.alone()
            ).path
        }

        /// What a reader says that it holds, to be filled.
        private static func zeros(like reader: CheckpointReader) -> [StateTensor] {
            reader.manifest.tensors.map { entry in
                let count = entry.spec.shape.count
                return StateTensor(
                    name: entry.name, spec: ShardSpec(replicated: entry.spec.shape),
                    pieces: [.init(range: 0..<count, buffer: Buffer(count: count))])
            }
        }

        /// Reads all there is, by every way there is; nil where it is refused, otherwise what is wrong, or "".
        private func reading(_ path: String) -> String? {
            do {
                let reader = try CheckpointReader(path: path)
                try reader.verify()
                let digest = try reader.digest()
                let state = Self.zeros(like: reader)
                try reader.restore(into: state)
                let again = try TemporaryFolder()
                let saved = try CheckpointWriter(runDirectory: again.path, keep: 1).save(
                    state, progress: reader.progress, communicator: InProcess.alone())
                let other = try CheckpointReader(path: saved.path).digest()
                return other == digest ? "" : "accepted with two digests, \(digest) and \(other)"
            } catch is CheckpointError {
                return nil
            } catch {
                return "\(error)"
            }
        }

        /// A manifest with the right last line.
        private static func signed(_ body: [UInt8]) -> [UInt8] {
            body + Array("\"digest\": \"\(ContentDigest.labelled(body))\"}\n".utf8)
        }

        private func write(_ bytes: [UInt8], _ path: String) throws {
            try Data(bytes).write(to: URL(fileURLWithPath: path))
        }

        private func expect(
            _ objections: [String], _ accepted: Int, of count: Int, _ what: String
        ) {
            #expect(objections.isEmpty, "\(what): \(objections.prefix(3))")
            Chaos.report(
                "fuzz, \(what): \(count) mutations, \(accepted) accepted as what they say, "
                    + "\(objections.count) objections; seed \(Dice.seed)")
        }

        @Test(arguments: [2, 3])
        func signedManifests(version: Int) throws {
            let path = try checkpoint(version: version)
            let name = "\(path)/manifest.json"
            let body = Array(try bytes(of: name).dropLast(85))
            var dice = Dice(seed: Dice.seed &+ UInt64(version))
            let count = Chaos.trials(30_000, short: 300)
            var (objections, accepted) = ([String](), 0)
            for trial in 0..<count {
                let mutated = MutatedText(original: body).next(&dice)
                try write(Self.signed(mutated), name)
                guard let outcome = reading(path) else { continue }
                accepted += 1
                if outcome != "" { objections.append("trial \(trial): \(outcome)") }
            }
            // The control: as it was, it is taken.
            try write(Self.signed(body), name)
            #expect(reading(path) == "")
            expect(objections, accepted, of: count, "signed manifests of version \(version)")
        }

        @Test func unsignedManifests() throws {
            let path = try checkpoint(version: 3)
            let name = "\(path)/manifest.json"
            let sound = try bytes(of: name)
            var dice = Dice(seed: Dice.seed &+ 4)
            let count = Chaos.trials(20_000, short: 200)
            var objections: [String] = []
            for trial in 0..<count {
                let mutated = MutatedText(original: sound).next(&dice)
                guard mutated != sound else { continue }
                try write(mutated, name)
                if reading(path) != nil { objections.append("trial \(trial): accepted") }
            }
            expect(objections, 0, of: count, "manifests")
        }

        /// The header of the only shard, with its size and digest in the manifest.
        @Test func signedHeaders() throws {
            let path = try checkpoint(version: 3)
            let (manifest, shard) = (
                "\(path)/manifest.json", "\(path)/shard-00000-of-00001.safetensors"
            )
            let sound = try bytes(of: shard)
            let length = 8 + sound[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            let text = Array(sound[8..<length].reversed().drop { $0 == 0x20 }.reversed())
            let body = String(decoding: try bytes(of: manifest).dropLast(85), as: UTF8.self)
            let line =
                #/("name": "shard-[^"]*", )"bytes": \d+, "digested_bytes": \d+, "digest": "[^"]*"/#
            var dice = Dice(seed: Dice.seed &+ 5)
            let count = Chaos.trials(30_000, short: 300)
            var (objections, accepted) = ([String](), 0)
            for trial in 0...count {
                // The last is the control.
                let mutated = trial == count ? text : MutatedText(original: text).next(&dice)
                let header =
                    (0..<8).map { UInt8(truncatingIfNeeded: mutated.count >> ($0 * 8)) } + mutated
                try write(header + sound[length...], shard)
                var hash = XXHash64()
                let span = header.span
                hash.update(span.bytes)
                let digits = String(hash.value(), radix: 16)
                let digest = String(repeating: "0", count: 16 - digits.count) + digits
                let described = body.replacing(line) {
                    "\($0.1)\"bytes\": \(header.count + sound.count - length), "
                        + "\"digested_bytes\": \(header.count), \"digest\": \"xxh64:\(digest)\""
                }
                try write(Self.signed(Array(described.utf8)), manifest)
                guard let outcome = reading(path) else { continue }
                accepted += 1
                if outcome != "" { objections.append("trial \(trial): \(outcome)") }
            }
            #expect(accepted > 0, "the header as it was is refused")
            expect(objections, accepted, of: count, "signed headers")
        }

        /// Files of other programs, whose headers nobody signs.
        @Test func safetensorsFiles() throws {
            let path = folder.file("a.safetensors")
            let text =
                Array(
                    #"{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,3],"#
                        .utf8)
                + Array(
                    #""data_offsets":[0,24]},"b":{"dtype":"F16","shape":[4],"data_offsets":[24,32]},"#
                        .utf8)
                + Array(#""c":{"dtype":"I64","shape":[0,7],"data_offsets":[32,32]}}"#.utf8)
            var dice = Dice(seed: Dice.seed &+ 6)
            let count = Chaos.trials(30_000, short: 1000)
            var (objections, accepted) = ([String](), 0)
            for trial in 0..<count {
                try write(HostileFile.file(MutatedText(original: text).next(&dice), data: 32), path)
                do throws(CheckpointError) {
                    let reader = try SafetensorsReader(path: path)
                    var read = 0
                    for entry in reader.entries {
                        read += entry.shape.count * entry.type.size
                        guard let dtype = entry.type.dtype else { continue }
                        let buffer = Tensor(uninitialized: entry.shape, dtype: dtype).buffer
                        try reader.read(entry, elements: 0..<entry.shape.count, into: buffer)
                    }
                    accepted += 1
                    if read != 32 { objections.append("trial \(trial): \(read) of 32 bytes") }
                } catch {}
            }
            expect(objections, accepted, of: count, "safetensors files")
        }

        /// The JSON of a folder as transformers writes it: configuration, index, tokenizer.
        @Test(arguments: ["config.json", "model.safetensors.index.json"])
        func folders(name: String) throws {
            let model = folder.file("model")
            try FileManager.default.copyItem(
                atPath: "\(packageRoot)/Tests/Fixtures/hugging_face", toPath: model)
            let sound = try bytes(of: "\(model)/\(name)")
            var dice = Dice(seed: Dice.seed &+ UInt64(name.utf8.count))
            let count = Chaos.trials(10_000, short: 300)
            var accepted = 0
            for _ in 0..<count {
                try write(MutatedText(original: sound).next(&dice), "\(model)/\(name)")
                do throws(CheckpointError) {
                    let folder = try HuggingFaceFolder(model)
                    _ = try folder.members(of: name)
                    _ = try HuggingFaceWeights(
                        in: folder, expecting: HuggingFaceTensors(WeightMap(rules: []), of: []),
                        isTied: true)
                } catch {
                    // The weights are no model's, which is found once the index is read.
                    if case .mismatch = error.kind { accepted += 1 }
                }
            }
            #expect((1..<count).contains(accepted))
            expect([], accepted, of: count, name)
        }

        /// The JSON of checkpoints and data sets beside their tensors and tokens.
        @Test func tokenizersAndDatasets() throws {
            let text = "\(packageRoot)/Tests/Fixtures/format_2/format-2.txt"
            _ = try DatasetCache.dataset(
                text: [text], tokenizer: .character, validationFraction: 0.2,
                cache: folder.file("cache"))
            let name = try #require(
                try folder.names(in: "cache").first { !$0.hasSuffix(".lock") })
            let dataset = folder.file("cache/\(name)")
            let (tokenizer, index) = (
                try bytes(of: "\(Self.fixture)/tokenizer.json"),
                try bytes(of: "\(dataset)/dataset.json")
            )
            var dice = Dice(seed: Dice.seed &+ 7)
            let count = Chaos.trials(20_000, short: 300)
            var accepted = 0
            for trial in 0..<count {
                do throws(DatasetError) {
                    if trial % 2 == 0 {
                        let read = try Tokenizer(
                            json: MutatedText(original: tokenizer).next(&dice), name: "t")
                        _ = read.decode([0, 1, Int32(read.vocabularySize) - 1])
                    } else {
                        try? write(
                            MutatedText(original: index).next(&dice), "\(dataset)/dataset.json")
                        _ = try PreparedDataset(folder: dataset)
                    }
                    accepted += 1
                } catch {}
            }
            #expect((1..<count).contains(accepted))
            expect([], accepted, of: count, "tokenizer.json and dataset.json")
        }
    }
}
