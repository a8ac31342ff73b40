import Kernels
import Testing

/// What steps are compared with: that it does the work that it counts, whatever it takes.
extension ThreadedTests {
    @Suite(.serialized, .everyCompilation) struct YardstickTests {
        /// Sums that begin with their index, and are exact in Float32.
        @Test(arguments: TileShape.allCases) func theMultiplyAddsThatAreCountedAreMade(
            shape: TileShape
        ) {
            let sums = kernels.multiplyAdds(shape, rounds: 1000, 3)
            #expect(sums.count == (shape == .narrow ? 96 : 384))
            #expect(sums == sums.indices.map { Float($0) + 1500 })
            // The control: a round more shows.
            #expect(kernels.multiplyAdds(shape, rounds: 1001, 3) != sums)
        }

        /// Also where the pool is taken, or has no thread to itself: then one after the other.
        @Test(arguments: [1, 3]) func thePeakIsMeasuredWhereverItIsAskedFor(threads: Int) {
            Threads.start(threads)
            defer { Threads.start(1) }
            let peak = kernels.peakFlopsPerSecond(duration: .milliseconds(2))
            #expect(peak > 0 && peak.isFinite)
            var nested = [0.0, 0.0]
            nested.withUnsafeMutableBufferPointer { nested in
                nonisolated(unsafe) let nested = nested
                parallelFor(2) {
                    nested[$0] = kernels.peakFlopsPerSecond(duration: .milliseconds(2))
                }
            }
            #expect(nested.allSatisfy { $0 > 0 && $0.isFinite })
        }

        /// Bytes of the last-level cache, of an array.
        @Test(
            arguments: [(0, 64), (8, 64), (16, 64), (20, 80), (32, 128), (260, 128)]
        ) func arraysOfTheTriadPassTheCacheWithinBounds(cache: Int, array: Int) {
            #expect(MemoryBandwidth.arrayBytes(lastLevelCache: cache << 20) == array << 20)
        }

        @Test func theTriadRunsOnAPartOfTheArrays() {
            let rate = kernels.memoryBytesPerSecond(ranks: 16, repetitions: 1)
            #expect(rate > 0 && rate.isFinite)
        }

        @Test func openBLASIsNamedAndTimed() {
            #expect(!BLAS.coreName.isEmpty)
            #expect(BLAS.configuration.contains("OpenBLAS"))
            let rate = BLAS.sgemmRate(threads: 1, repetitions: 1)
            #expect(rate > 0 && rate.isFinite)
        }
    }
}

/// Which of OpenBLAS's families are older than a processor.
@Suite struct VectorInstructionsTests {
    @Test(
        arguments: [
            ("Prescott", .sse), ("Core2", .sse), ("Nehalem", .sse), ("Atom", .sse),
            ("Opteron_SSE3", .sse), ("GENERIC", .sse), ("Sandybridge", .avx), ("Piledriver", .avx),
            ("Excavator", .avx2), ("Haswell", .avx2), ("HASWELL", .avx2), ("Zen", .avx2),
            ("SkylakeX", .avx512), ("Cooperlake", .avx512), ("SapphireRapids", .avx512),
            ("Neoverse-N1", nil), ("a later one", nil), ("", nil),
        ] as [(String, VectorInstructions?)])
    func familiesHaveAGeneration(core: String, expected: VectorInstructions?) {
        #expect(VectorInstructions(openBLASCore: core) == expected)
    }

    /// Family, processor, whether it is older.
    @Test(
        arguments: [
            ("Prescott", .avx512, true), ("Prescott", .avx2, true), ("Prescott", .avx, true),
            ("Prescott", .sse, false), ("Sandybridge", .avx2, true), ("Sandybridge", .avx, false),
            ("Haswell", .avx512, true), ("Zen", .avx512, true), ("Haswell", .avx2, false),
            ("Zen", .avx2, false), ("SkylakeX", .avx512, false), ("Cooperlake", .avx512, false),
            // Told to by the environment: newer than the processor is not older.
            ("SkylakeX", .avx2, false), ("a later one", .avx512, false), ("Prescott", nil, false),
        ] as [(String, VectorInstructions?, Bool)])
    func aFamilyLagsBehindAProcessor(core: String, processor: VectorInstructions?, isOlder: Bool) {
        #expect((BLAS.lag(core: core, processor: processor) != nil) == isOlder)
    }

    @Test func theLagNamesBothGenerations() {
        #expect(
            BLAS.lag(core: "Prescott", processor: .avx512)
                == "the kernels of Prescott (SSE) on a processor with AVX-512")
    }
}
