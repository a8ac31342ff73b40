// Configurations whose counters of random numbers would come again are refused.

import Testing
import Training

@Suite struct DropoutLimitsTests {
    private func parse(_ settings: [String]) -> [String] {
        do {
            _ = try RunConfiguration.parse(yaml: minimalConfiguration, overrides: settings)
            return []
        } catch { return error.problems.map { "\($0.key): \($0.message)" } }
    }

    @Test func contextsBeyondThePositionsAreRefused() {
        let dropout = ["model.dropout=0.1"]
        #expect(parse(dropout + ["model.context_length=1048576"]) == [])
        #expect(parse(["model.context_length=1048577"]) == [], "without dropout nothing is drawn")
        #expect(
            parse(dropout + ["model.context_length=1048577"]) == [
                "model.context_length: expected at most 1048576 tokens with dropout, whose random "
                    + "numbers repeat beyond, found 1048577; shorten it, or set model.dropout to 0"
            ])
    }

    @Test func batchesBeyondThePairsAreRefused() {
        let dropout = ["model.dropout=0.1", "batch.micro_batch=1"]
        #expect(parse(dropout + ["batch.sequences=4194304"]) == [])
        #expect(parse(["batch.micro_batch=1", "batch.sequences=4194305"]) == [])
        #expect(
            parse(dropout + ["batch.sequences=4194305"]) == [
                "batch.sequences: expected at most 4194304 sequences of 4 heads (model.heads) with "
                    + "dropout, whose random numbers repeat beyond, found 4194305; lower it, or set "
                    + "model.dropout to 0"
            ])
    }

    /// Samples are numbered over the whole run.
    @Test func runsBeyondTheSampleNumbersAreRefused() {
        let batch = ["batch.sequences=1073741824", "batch.micro_batch=1"]
        #expect(parse(batch + ["run.steps=8589934591"]) == [])
        #expect(
            parse(batch + ["run.steps=8589934592"]) == [
                "run.steps: expected at most 8589934591 steps of 1073741824 sequences "
                    + "(batch.sequences), whose numbers go up to 2^63, found 8589934592"
            ])
    }
}
