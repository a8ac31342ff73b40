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
        let configuration = try RunConfiguration.parse(
            yaml: """
                run: { directory: r, steps: 10 }
                model: { family: llama, \(model) }
                batch: { sequences: 64, micro_batch: 1 }
                numerics: { slices: 8 }
                optimizer: { learning_rate: 1e-4 }
                parallelism: { tensor: \(tensor) }
                """)
        let vocabulary = try #require(configuration.model.shape.vocabulary)
        let plan = Plan(configuration, vocabulary: vocabulary, ranks: ranks, threads: 16)
        #expect(plan.parameters.total == parameters)
        #expect(plan.heldParameters.total * tensor >= parameters)
        #expect(Double(plan.heldParameters.total * tensor) < 1.001 * Double(parameters))
        #expect(plan.flopsPerToken > 6 * Double(parameters))
    }
}
