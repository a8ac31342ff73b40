import Datasets
import Testing
import Training

@Suite struct MixtureConfigurationTests {
    private func configuration(_ data: String) throws -> RunConfiguration {
        try RunConfiguration.parse(
            yaml: """
                run: { directory: r, steps: 100 }
                model: { family: gpt, layers: 1, heads: 1, width: 8, context_length: 8 }
                data: { sources: [a, b], \(data) }
                batch: { sequences: 10, micro_batch: 1 }
                optimizer: { learning_rate: 1e-3 }
                """)
    }

    @Test func keysAreReadAndWritten() throws {
        let run = try configuration(
            "weights: [0.25, 1], curriculum: [\"10: 1 0\", \"20: 0.5 0.5\"]")
        #expect(run.data.weights == [0.25, 1])
        #expect(run.data.curriculum.map(\.step) == [10, 20])
        #expect(try RunConfiguration.parse(yaml: run.yaml) == run)
        let order = run.data.mixture(tokens: [7, 7], sequences: 10)
        #expect(order.counts(before: 100) == [20, 80])
        #expect(order.counts(before: 200) == [120, 80])
        #expect(order.counts(before: 300) == [170, 130])
        // Without weights there are as many samples as tokens.
        let plain = try configuration("tokenizer: byte").data.mixture(
            tokens: [1, 3], sequences: 10)
        #expect(plain.counts(before: 400) == [100, 300])
    }

    @Test(arguments: [
        "weights: [1]", "weights: [1, 2, 3]", "weights: [0, 0]", "weights: [-1, 1]",
        "weights: 1", "curriculum: [\"5: 1\"]", "curriculum: [\"0: 1 1\"]",
        "curriculum: [\"9: 1 1\", \"9: 1 1\"]", "curriculum: [\"9 1 1\"]",
        "curriculum: [\"9: 0 0\"]", "text: [c]", "train: [c], validation: [c]",
    ]) func faultsAreRefused(data: String) {
        #expect(throws: ConfigurationError.self) { try configuration(data) }
    }

    /// Other weights begin to hold at the resumed step; what was used stays.
    @Test func otherWeightsHoldFromTheResumedStepOn() throws {
        let saved = try configuration("weights: [1, 1]")
        let given = try configuration("weights: [1, 3]")
        #expect(given.adoptingMixture(of: saved, step: 30) == given)
        #expect(throws: ConfigurationError.self) {
            try given.checkResume(from: saved, overrides: [])
        }
        _ = try given.checkResume(from: saved, overrides: ["data.weights"])
        let changed = try given.changingMixture(of: saved, step: 30, samples: 300)
        #expect(changed.data.weights == [1, 1])
        #expect(changed.data.curriculum == [MixtureChange(step: 30, weights: [1, 3])])
        let order = changed.data.mixture(tokens: [7, 7], sequences: 10)
        #expect(order.counts(before: 300) == [150, 150])
        #expect(order.counts(before: 700) == [250, 450])

        // The same file goes on with it, without another override.
        let again = given.adoptingMixture(of: changed, step: 50)
        #expect(again == changed)
        #expect(try again.checkResume(from: changed, overrides: []).isEmpty)
        // And back: from step 60 on as in the beginning, where somebody says so.
        #expect(throws: ConfigurationError.self) {
            try saved.checkResume(from: changed, overrides: [])
        }
        let back = try saved.changingMixture(of: changed, step: 60, samples: 600)
        #expect(back.data.curriculum.map(\.step) == [30, 60])
        #expect(back.data.weights(after: 70) == [1, 1] && back.data.weights == [1, 1])
        let third = try configuration("weights: [5, 3]").changingMixture(
            of: changed, step: 60, samples: 600)
        #expect(third.data.curriculum.map(\.step) == [30, 60])
    }

    @Test func whatWasUsedStays() throws {
        let saved = try configuration("weights: [1, 1], curriculum: [\"10: 1 2\", \"90: 2 1\"]")
        let later = try configuration("weights: [1, 1], curriculum: [\"10: 1 2\", \"80: 9 1\"]")
        #expect(try later.changingMixture(of: saved, step: 50, samples: 500) == later)
        for data in [
            "weights: [1, 1], curriculum: [\"10: 1 3\", \"90: 2 1\"]",
            "weights: [1, 1], curriculum: [\"90: 2 1\"]",
            "weights: [1, 1], curriculum: [\"10: 1 2\", \"49: 3 1\"]",
            "weights: [1, 2], curriculum: [\"60: 3 1\"]",
        ] {
            let given = try configuration(data)
            #expect(throws: ConfigurationError.self) {
                try given.changingMixture(of: saved, step: 50, samples: 500)
            }
        }
    }

    /// Weights that change and changes that are planned go together, and a plan can be given up.
    @Test func whatIsPlannedComesToPassUnlessItIsGivenUp() throws {
        let plan = "curriculum: [\"90: 2 1\"]"
        let saved = try configuration("weights: [1, 1], \(plan)")
        let given = try configuration("weights: [1, 3], \(plan)")
        let changed = try given.changingMixture(of: saved, step: 50, samples: 500)
        #expect(changed.data.curriculum.map(\.step) == [50, 90])
        #expect(given.adoptingMixture(of: changed, step: 70) == changed)

        let without = try configuration("weights: [1, 1]")
        #expect(without.adoptingMixture(of: saved, step: 50) == without)
        #expect(throws: ConfigurationError.self) {
            try without.checkResume(from: saved, overrides: [])
        }
        let given2 = try without.changingMixture(of: saved, step: 50, samples: 500)
        #expect(given2.data.curriculum.isEmpty && given2.data.weights == [1, 1])
        // A change that begins now is none of the past, and holds.
        let now = try without.changingMixture(
            of: configuration("weights: [2, 1], curriculum: [\"50: 1 1\"]"), step: 50, samples: 500)
        #expect(now.data.weights == [2, 1] && now.data.curriculum.map(\.step) == [50])
    }

    /// Changes stand at steps: where steps had other numbers of samples, none can be placed.
    @Test func stepsOfOtherSizesAdmitNoChange() throws {
        let saved = try configuration("weights: [1, 1]")
        for data in ["weights: [1, 3]", "weights: [1, 1], curriculum: [\"90: 2 1\"]"] {
            let given = try configuration(data)
            #expect(throws: ConfigurationError.self) {
                try given.changingMixture(of: saved, step: 50, samples: 499)
            }
            _ = try given.changingMixture(of: saved, step: 50, samples: 500)
        }
        #expect(throws: ConfigurationError.self) {
            try configuration("weights: [1, 1], curriculum: [\"1000000000000000000: 2 1\"]")
        }
    }

    /// Sources are known by their names: folders that were moved are the same.
    @Test func movedSourcesKeepTheirHistory() throws {
        let saved = try configuration(
            "weights: [1, 1], curriculum: [\"10: 1 2\"]")
        var moved = try configuration("weights: [1, 2]")
        moved.data.sources = ["/elsewhere/a", "b"]
        #expect(moved.adoptingMixture(of: saved, step: 50).data.curriculum == saved.data.curriculum)
        moved.data.sources = ["/elsewhere/c", "b"]
        #expect(moved.adoptingMixture(of: saved, step: 50) == moved)
    }
}
