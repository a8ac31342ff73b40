import Foundation
import Kernels
import TestSupport
import Testing

extension Launch {
    /// The object that `bench --json` printed.
    fileprivate func object() throws -> [String: Any] {
        #expect(output.split(separator: "\n").count == 1, "\(output)")
        let object = try JSONSerialization.jsonObject(with: Data(output.utf8))
        return try #require(object as? [String: Any])
    }

    /// Its numbers.
    fileprivate func figures() throws -> [String: Double] {
        try object().compactMapValues { $0 as? Double }
    }
}

/// `murmur bench`: one line of JSON with the agreed keys, and a steady step that takes no memory from the
/// system.
@Suite(.serialized) struct BenchTests {
    @Test(arguments: [nil, 2]) func printsOneLineOfJSON(ranks: Int?) throws {
        let launch = try murmur(
            [
                "bench", RunFolder.configuration, "--json", "--steps", "3", "--set",
                "model.vocabulary=61", "--set", "run.threads=1",
            ], ranks: ranks)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let figures = try launch.figures()
        for key in [
            "tokens_per_second", "model_flops_per_second", "peak_flops_per_second", "peak_ratio",
            "memory_bytes_per_second",
            "skipped_steps", "peak_rss_bytes", "communication_share", "world_size", "threads",
            "data", "tensor",
        ] {
            #expect(figures[key] != nil, "\(key)")
        }
        #expect(figures["world_size"] == Double(ranks ?? 1) && figures["threads"] == 1)
        #expect(figures["data"] == Double(ranks ?? 1) && figures["tensor"] == 1)
        #expect(figures["steady_allocations"] == 0, "\(figures)")
        #expect(figures["memory_bytes_per_second"] ?? 0 > 0, "\(figures)")
        let rate = try #require(figures["model_flops_per_second"])
        let peak = try #require(figures["peak_flops_per_second"])
        let ratio = try #require(figures["peak_ratio"])
        #expect(abs(ratio * peak / rate - 1) < 1e-9, "\(figures)")
    }

    @Test func generationIsTimedBesideReadingTheWeights() throws {
        let arguments = [
            "bench", RunFolder.configuration, "--json", "--generation", "--set",
            "model.vocabulary=61", "--set", "run.threads=1",
        ]
        let launch = try murmur(arguments)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let figures = try launch.figures()
        let rate = try #require(figures["generation_tokens_per_second"])
        let seconds = try #require(figures["token_seconds"])
        #expect(rate > 0 && abs(rate * seconds - 1) < 1e-9, "\(figures)")
        #expect(figures["weight_bytes"] ?? 0 > 0 && figures["read_bytes_per_second"] ?? 0 > 0)
        #expect(figures["read_ratio"] ?? 0 > 0, "\(figures)")
        let halves = try murmur(arguments + ["--set", "precision.storage=float16"]).figures()
        #expect(try #require(halves["weight_bytes"]) * 2 == figures["weight_bytes"])

        let both = try murmur(arguments + ["--profile"])
        #expect(both.exitCode == 2 && both.errors.contains("--generation"), "\(both.summary)")
    }

    /// Those that this processor can run; a library with kernels of one family obeys nobody.
    private static let families: [String?] =
        [nil]
        + ["Prescott", "Haswell", "SkylakeX"].filter {
            guard let processor = VectorInstructions.ofThisProcessor else { return false }
            return BLAS.configuration.contains("DYNAMIC_ARCH")
                && VectorInstructions(openBLASCore: $0) ?? .sse <= processor
        }

    /// A family that OpenBLAS is told to take; nil: the one that it chooses. Where its kernels are older than the
    /// processor the comparison is null, with a note that names them; where not, there are figures and no note.
    @Test(arguments: families) func aRatioToOlderKernelsIsNull(family: String?) throws {
        let rank = Program.Rank(
            try Program("murmur").path,
            [
                "bench", RunFolder.configuration, "--json", "--steps", "1", "--set",
                "model.vocabulary=61", "--set", "run.threads=1",
            ], environment: family.map { ["OPENBLAS_CORETYPE": $0] } ?? [:])
        let launch = try Program.run([rank])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let object = try launch.object()
        let note = object["note"] as? String
        if let family {
            let lag = BLAS.lag(core: family)
            #expect(note == lag.map { "no ratio to sgemm: OpenBLAS uses \($0)" })
        }
        for key in ["ratio", "sgemm_flops_per_second"] {
            let value = try #require(object[key], "\(key) is left out")
            #expect(value is NSNull == (note != nil), "\(key): \(value), \(note ?? "no note")")
            #expect(value is NSNull || (value as? Double ?? 0) > 0)
        }
        #expect(object["peak_ratio"] as? Double ?? 0 > 0)
    }

    /// Whatever OpenBLAS does: it has no part in training.
    @Test func trainingIsComparedWithThePeak() throws {
        let run = try RunFolder()
        let launch = try run.train(settings: ["run.steps=1"])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let line = try #require(launch.errorLines.first { $0.hasPrefix("step 1/1 ") })
        #expect(line.contains(#/ tokens/s  \d+% of peak  comm /#), "\(line)")
    }

    /// The rows sum to the traced steps, which a clock of their own has measured.
    @Test(arguments: [nil, 2]) func aProfileSumsToTheStep(ranks: Int?) throws {
        let launch = try murmur(
            [
                "bench", RunFolder.configuration, "--json", "--profile", "--steps", "2", "--set",
                "model.vocabulary=61", "--set", "run.threads=1",
            ], ranks: ranks)
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let figures = try launch.object()
        let rows = try #require(figures["profile"] as? [[String: Any]])
        let step = try #require(figures["profile_step_seconds"] as? Double) * 1000
        let times = rows.compactMap { $0["milliseconds"] as? Double }
        let sum = times.reduce(0, +)
        #expect(
            times.count == rows.count && abs(sum - step) <= 0.03 * step + 0.01, "\(sum) \(step)")
        // The control: without its largest row it does not.
        #expect(sum - (times.max() ?? 0) < 0.97 * step - 0.01)
        let names = Set(rows.map { "\($0["name"] ?? "") \($0["direction"] ?? "")" })
        for name in [
            "linear: product forward", "linear: input gradient backward",
            "linear: weight gradient backward", "attention forward", "attention backward",
            "layerNorm forward", "layerNorm backward", "optimizer ", "gradient norm ", "agreement ",
            "data ", "rest ",
        ] {
            #expect(names.contains(name), "\(name): \(names)")
        }
        #expect(names.contains("wait for communication ") == (ranks != nil), "\(names)")
        let shares = rows.compactMap { $0["share"] as? Double }
        #expect(abs(shares.reduce(0, +) - 1) < 1e-9)
        for row in rows where (row["name"] as? String)?.hasPrefix("linear: ") == true {
            #expect((row["gflops_per_second"] as? Double ?? 0) > 0, "\(row)")
            #expect((row["share_of_peak"] as? Double ?? 0) > 0, "\(row)")
        }
        #expect(launch.errorLines.contains { $0.hasPrefix("linear: weight gradient") })
    }

    /// What is made again is not kept: the pool's peak falls from mode to mode, and a steady step still
    /// takes nothing from the system. The control: the same mode has the same peak.
    @Test func recomputationLowersThePeak() throws {
        func peak(_ mode: String) throws -> Double {
            let launch = try murmur(
                [
                    "bench", RunFolder.configuration, "--json", "--steps", "2", "--set",
                    "model.vocabulary=61", "--set", "model.context_length=128", "--set",
                    "run.threads=1", "--set", "memory.recompute=\(mode)",
                ])
            #expect(launch.exitCode == 0, "\(launch.summary)")
            let figures = try launch.figures()
            #expect(figures["steady_allocations"] == 0, "\(mode): \(figures)")
            return try #require(figures["pool_peak_bytes"])
        }
        let (all, attention, block) = (try peak("none"), try peak("attention"), try peak("block"))
        #expect(attention < 0.9 * all && block < 0.8 * attention, "\(all) \(attention) \(block)")
        #expect(try peak("none") == all)
    }

    /// Weights and activations take half the memory in Float16. The masters, apart from them, do not.
    @Test func halfPrecisionHalvesTheMemory() throws {
        func figures(_ storage: String) throws -> [String: Double] {
            let launch = try murmur(
                [
                    "bench", RunFolder.configuration, "--json", "--steps", "2", "--set",
                    "model.vocabulary=61", "--set", "model.context_length=256", "--set",
                    "run.threads=1", "--set", "precision.storage=\(storage)",
                ])
            #expect(launch.exitCode == 0, "\(launch.summary)")
            let figures = try launch.figures()
            #expect(figures["steady_allocations"] == 0, "\(storage): \(figures)")
            return figures
        }
        func bytes(_ figures: [String: Double]) throws -> Double {
            try #require(figures["working_weight_bytes"])
                + #require(figures["activation_peak_bytes"])
        }
        let (half, single) = (try figures("float16"), try figures("float32"))
        let ratio = try bytes(half) / bytes(single)
        #expect(ratio > 0.4 && ratio <= 0.55, "\(half) \(single)")
        #expect(single["master_bytes"] == 0 && (half["master_bytes"] ?? 0) > 0)
    }

    /// Two ranks that share a model hold half of its weights, moments and gradients each.
    @Test func ranksThatShareAModelHoldHalfOfIt() throws {
        func figures(ranks: Int?, _ settings: String...) throws -> [String: Double] {
            let all =
                settings + [
                    "model.vocabulary=256", "model.width=128", "model.feed_forward=512",
                    "run.threads=1",
                ]
            let launch = try murmur(
                ["bench", RunFolder.configuration, "--json", "--steps", "1"]
                    + all.flatMap { ["--set", $0] }, ranks: ranks)
            #expect(launch.exitCode == 0, "\(launch.summary)")
            return try launch.figures()
        }
        let one = try figures(ranks: nil)
        let two = try figures(ranks: 2, "parallelism.tensor=2")
        #expect(two["world_size"] == 2 && two["data"] == 1 && two["tensor"] == 2, "\(two)")
        for key in ["working_weight_bytes", "moment_bytes", "gradient_bytes"] {
            let ratio = try #require(two[key]) / #require(one[key])
            #expect(ratio > 0.5 && ratio <= 0.55, "\(key): \(ratio)")
        }
        let weights = try #require(one["working_weight_bytes"])
        #expect(one["moment_bytes"] == 2 * weights, "\(one)")
        // Four groups: three levels of the tree are open at once.
        #expect(one["gradient_bytes"] == 3 * weights, "\(one)")
        // The control: data-parallel ranks share the moments alone.
        let data = try figures(ranks: 2)
        #expect(data["working_weight_bytes"] == weights, "\(data)")
    }

    @Test func aModelWithoutVocabularyIsRefused() throws {
        let launch = try murmur(["bench", RunFolder.configuration, "--steps", "1"])
        #expect(launch.exitCode == 2 && launch.errorLines.count == 1, "\(launch.summary)")
    }
}
