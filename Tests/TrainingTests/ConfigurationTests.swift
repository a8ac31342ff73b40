import Foundation
import Testing
import Training

/// A valid configuration with every key, valued unlike its default where it can be.
private let complete = """
    # 12 sequences * 64 tokens = 768 tokens a step
    run:         { directory: runs/example, seed: 7, steps: 2000, threads: 2, communication_timeout: 10.5 }
    model:       { family: gpt, layers: 4, heads: 4, width: 128, context_length: 64, dropout: 0.1, vocabulary: 65, activation: gelu_erf, feed_forward: 500 }
    data:        { text: ["a *.txt", b.txt], tokenizer: character, validation_fraction: 0.2, cache: elsewhere }
    batch:       { sequences: 12, micro_batch: 3 }
    numerics:    { slices: 8, groups: 2 }
    optimizer:   { name: adamw, learning_rate: 1.0e-3, beta1: 0.8, beta2: 0.99, epsilon: 1e-7, weight_decay: 0.2, clip_norm: 0 }
    schedule:    { warmup_steps: 100, decay: cosine, decay_steps: 1900, final_ratio: 0.2 }
    precision:   { storage: float32, loss_scale: dynamic }
    parallelism: { tensor: 1, bucket_bytes: 1_048_576 }
    evaluation:  { every: 50, micro_batch: 4 }
    checkpoint:  { every: 60, keep: 5 }
    """

private let minimal = """
    run: { directory: runs/example, steps: 30 }
    model: { family: gpt, layers: 4, heads: 4, width: 128, context_length: 64 }
    batch: { sequences: 12, micro_batch: 3 }
    optimizer: { learning_rate: 0.001 }
    """

private func problems(
    _ yaml: String, _ overrides: [String] = []
) -> [ConfigurationError.Problem] {
    do {
        _ = try RunConfiguration.parse(yaml: yaml, overrides: overrides)
        return []
    } catch { return error.problems }
}

@Suite struct ConfigurationTests {
    @Test func readsEveryKey() throws {
        let configuration = try RunConfiguration.parse(yaml: complete)
        var expected = RunConfiguration(
            run: .init(directory: "runs/example", steps: 2000),
            model: .init(layers: 4, heads: 4, width: 128, contextLength: 64),
            batch: .init(sequences: 12, microBatch: 3), optimizer: .init(learningRate: 1e-3))
        expected.run.seed = 7
        expected.run.threads = 2
        expected.run.communicationTimeout = 10.5
        expected.model.dropout = 0.1
        expected.model.vocabulary = 65
        expected.model.activation = .geluErf
        expected.model.feedForward = 500
        expected.data.text = ["a *.txt", "b.txt"]
        expected.data.tokenizer = .character
        expected.data.validationFraction = 0.2
        expected.data.cache = "elsewhere"
        expected.numerics.slices = 8
        expected.numerics.groups = 2
        expected.optimizer.beta1 = 0.8
        expected.optimizer.beta2 = 0.99
        expected.optimizer.epsilon = 1e-7
        expected.optimizer.weightDecay = 0.2
        expected.optimizer.clipNorm = 0
        expected.schedule.warmupSteps = 100
        expected.schedule.decay = .cosine
        expected.schedule.decaySteps = 1900
        expected.schedule.finalRatio = 0.2
        expected.precision.lossScale = .dynamic
        expected.parallelism.bucketBytes = 1_048_576
        expected.evaluation.every = 50
        expected.evaluation.microBatch = 4
        expected.checkpoint.every = 60
        expected.checkpoint.keep = 5
        #expect(configuration == expected)
    }

    @Test func fillsInDefaults() throws {
        let configuration = try RunConfiguration.parse(yaml: minimal)
        let expected = RunConfiguration(
            run: .init(directory: "runs/example", steps: 30),
            model: .init(layers: 4, heads: 4, width: 128, contextLength: 64),
            batch: .init(sequences: 12, microBatch: 3), optimizer: .init(learningRate: 1e-3))
        #expect(configuration == expected)
        #expect(configuration.numerics.groups == 4)
        #expect(configuration.schedule.decaySteps == 30)
        #expect(configuration.model.feedForward == 512)
        #expect(configuration.evaluation.microBatch == 3)
        #expect(configuration.data.isEmpty)
    }

    @Test func survivesItsOwnYAML() throws {
        for text in [complete, minimal] {
            var configuration = try RunConfiguration.parse(yaml: text)
            configuration.run.directory = "it's \"odd\": # \\ é\u{1}\u{2028}[*]\t"
            let again = try RunConfiguration.parse(yaml: configuration.yaml)
            #expect(again == configuration)
            #expect(again.yaml == configuration.yaml)
        }
    }
}
