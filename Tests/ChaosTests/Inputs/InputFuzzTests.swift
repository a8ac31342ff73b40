import Datasets
import Foundation
import TestSupport
import Testing
import Training

extension Chaos {
    /// Files that a person edits, damaged: each is refused with an error that names it, or taken for what it
    /// says; none ends the process.
    @Suite struct InputFuzzTests {
        @Test func configurations() throws {
            let folder = try TemporaryFolder()
            let path = folder.file("run.yaml")
            let configuration = try RunConfiguration.load(
                file: "\(packageRoot)/\(RunFolder.configuration)")
            let handwritten = try Data(
                contentsOf: URL(fileURLWithPath: "\(packageRoot)/\(RunFolder.configuration)"))
            let texts = [Array(handwritten), Array(configuration.yaml.utf8)].map {
                MutatedText(original: $0)
            }
            var dice = Dice()
            var (taken, slowest) = (0, Duration.zero)
            let trials = Chaos.trials(20_000, short: 400)
            for _ in 0..<trials {
                let bytes = dice.pick(texts).next(&dice)
                try folder.write("run.yaml", bytes)
                let start = ContinuousClock.now
                do throws(ConfigurationError) {
                    let read = try RunConfiguration.load(file: path)
                    _ = try? read.check(ranks: 1 + dice.roll(4))
                    let again = try RunConfiguration.parse(yaml: read.yaml)
                    #expect(again == read, "\(String(decoding: bytes, as: UTF8.self))")
                    taken += 1
                } catch {
                    let lines = error.description.split(separator: "\n")
                    #expect(!lines.isEmpty && lines.allSatisfy { $0.hasPrefix(path) }, "\(error)")
                }
                slowest = max(slowest, ContinuousClock.now - start)
            }
            Chaos.report(
                "\(trials) damaged configurations, \(taken) taken, the slowest in \(slowest)")
        }

        /// An index that is taken although it is damaged names the same tokens.
        @Test func datasetIndices() throws {
            let folder = try TemporaryFolder()
            let text = try folder.write(
                "text.txt", String(repeating: "a flock of starlings turns. ", count: 40))
            let sound = try DatasetBuilder.build(
                text: [text], tokenizer: .character, validationFraction: 0.1,
                output: folder.file("data"), shardTokens: 300)
            let index = MutatedText(original: try folder.bytes("data/dataset.json"))
            var dice = Dice()
            var taken = 0
            let trials = Chaos.trials(20_000, short: 400)
            for _ in 0..<trials {
                let bytes = index.next(&dice)
                try folder.write("data/dataset.json", bytes)
                do throws(DatasetError) {
                    let read = try PreparedDataset(folder: folder.file("data"))
                    #expect(
                        read.fingerprint == sound.fingerprint,
                        "\(String(decoding: bytes, as: UTF8.self))")
                    taken += 1
                } catch {
                    #expect(error.message.contains(folder.file("data")), "\(error)")
                }
            }
            Chaos.report("\(trials) damaged dataset indices, \(taken) taken")
        }
    }
}
