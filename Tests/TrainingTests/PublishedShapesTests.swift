import Testing
import Training

@Suite struct PublishedShapesTests {
    /// What the papers give, to the last parameter, on ranks that no one here has.
    @Test(arguments: [
        (
            68_976_648_192, 64, 8,
            "layers: 80, heads: 64, key_heads: 8, width: 8192, feed_forward: 28672, context_length: 4096, vocabulary: 32000"
        ),
        (
            8_030_261_248, 8, 8,
            "layers: 32, heads: 32, key_heads: 8, width: 4096, feed_forward: 14336, context_length: 8192, vocabulary: 128256"
        ),
        (
            6_738_415_616, 4, 4,
            "layers: 32, heads: 32, width: 4096, feed_forward: 11008, context_length: 4096, vocabulary: 32000"
        ),
    ])
    func publishedLlamasArePlanned(
        parameters: Int, ranks: Int, tensor: Int, model: String
    ) throws {
        try expectPlan(parameters, ranks, tensor, "family: llama, \(model)", excess: 1e-3)
    }

    /// Brown et al. 2020, table 2.1, with a context of 2,048 and GPT-2's vocabulary: V·d + T·d + L·(12·d² + 13·d) + 2·d.
    @Test(arguments: [
        (125_226_240, 1, 1, 12, 12, 768), (1_315_723_264, 8, 8, 24, 16, 2048),
        (6_658_404_352, 8, 8, 32, 32, 4096), (174_604_259_328, 128, 8, 96, 96, 12_288),
    ])
    func publishedGPT3sArePlanned(
        parameters: Int, ranks: Int, tensor: Int, layers: Int, heads: Int, width: Int
    ) throws {
        let (d, l) = (width, layers)
        #expect(parameters == (50_257 + 2048) * d + l * (12 * d * d + 13 * d) + 2 * d)
        try expectPlan(
            parameters, ranks, tensor,
            "family: gpt, layers: \(l), heads: \(heads), width: \(d), context_length: 2048, vocabulary: 50257",
            // Positions are on every rank.
            excess: 0.03)
    }

    /// BERT-base as transformers counts `BertForMaskedLM`, and ViT-B/16.
    @Test(arguments: [
        (
            109_514_298,
            "family: bert, layers: 12, heads: 12, width: 768, context_length: 512, vocabulary: 30522"
        ),
        (
            86_567_656,
            "family: vit, layers: 12, heads: 12, width: 768, image_size: 224, patch_size: 16, classes: 1000"
        ),
    ])
    func publishedEncodersAreCounted(parameters: Int, model: String) throws {
        try expectPlan(parameters, 1, 1, model, excess: 1e-3)
    }

    private func expectPlan(
        _ parameters: Int, _ ranks: Int, _ tensor: Int, _ model: String, excess: Double
    ) throws {
        let configuration = try RunConfiguration.parse(
            yaml: """
                run: { directory: r, steps: 10 }
                model: { \(model) }
                batch: { sequences: 64, micro_batch: 1 }
                numerics: { slices: 8 }
                optimizer: { learning_rate: 1e-4 }
                parallelism: { tensor: \(tensor) }
                """)
        let vocabulary = try #require(configuration.model.shape.vocabulary)
        let plan = Plan(configuration, vocabulary: vocabulary, ranks: ranks, threads: 16)
        #expect(plan.parameters.total == parameters)
        #expect(plan.heldParameters.total * tensor >= parameters)
        #expect(Double(plan.heldParameters.total * tensor) < (1 + excess) * Double(parameters))
        #expect(plan.flopsPerToken > 6 * Double(parameters))
    }
}
