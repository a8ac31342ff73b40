import Foundation
import TestSupport
import Testing

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
        let lines = launch.output.split(separator: "\n")
        #expect(lines.count == 1, "\(launch.output)")
        let object = try JSONSerialization.jsonObject(with: Data(launch.output.utf8))
        let figures = try #require(object as? [String: Double])
        for key in [
            "tokens_per_second", "model_flops_per_second", "sgemm_flops_per_second", "ratio",
            "peak_rss_bytes", "communication_share", "world_size", "threads",
        ] {
            #expect(figures[key] != nil, "\(key)")
        }
        #expect(figures["world_size"] == Double(ranks ?? 1) && figures["threads"] == 1)
        #expect(figures["steady_allocations"] == 0, "\(figures)")
        let ratio = try #require(figures["ratio"])
        #expect(ratio > 0 && ratio < 2, "\(figures)")
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
            let object = try JSONSerialization.jsonObject(with: Data(launch.output.utf8))
            let figures = try #require(object as? [String: Double])
            #expect(figures["steady_allocations"] == 0, "\(mode): \(figures)")
            return try #require(figures["pool_peak_bytes"])
        }
        let (all, attention, block) = (try peak("none"), try peak("attention"), try peak("block"))
        #expect(attention < 0.9 * all && block < 0.8 * attention, "\(all) \(attention) \(block)")
        #expect(try peak("none") == all)
    }

    @Test func aModelWithoutVocabularyIsRefused() throws {
        let launch = try murmur(["bench", RunFolder.configuration, "--steps", "1"])
        #expect(launch.exitCode == 2 && launch.errorLines.count == 1, "\(launch.summary)")
    }
}
