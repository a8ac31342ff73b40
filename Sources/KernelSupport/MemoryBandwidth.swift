// How fast memory is: the triad of McCalpin's STREAM, a = b + s·c over arrays that no cache holds.

import Glibc

package enum MemoryBandwidth {
    /// Bytes of each of the three arrays, of all ranks of a host together: four times the last-level cache,
    /// as STREAM asks for, but 64 MiB at least and 128 at most.
    package static func arrayBytes(lastLevelCache: Int) -> Int {
        min(max(4 * lastLevelCache, 64 << 20), 128 << 20)
    }
}

extension YardstickKernels {
    /// Bytes a second that `Threads.count` threads move at once, the best of `repetitions`; 0 where there is
    /// no memory for the arrays.
    ///
    /// Counted as STREAM does: 12 bytes an element of Float32, two that are read and one that is written. The
    /// line that a write reads first, which most processors do, is not counted.
    ///
    /// - Parameter ranks: of this host that measure at once; each takes its part of the arrays.
    package static func memoryBytesPerSecond(ranks: Int = 1, repetitions: Int = 5) -> Double {
        let cache = max(0, sysconf(Int32(_SC_LEVEL3_CACHE_SIZE)))
        let bytes = HugePages.roundedUp(
            MemoryBandwidth.arrayBytes(lastLevelCache: cache) / max(1, ranks))
        let memory = mmap(
            nil, 3 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let memory, memory != MAP_FAILED else { return 0 }
        defer { munmap(memory, 3 * bytes) }
        madvise(memory, 3 * bytes, MADV_HUGEPAGE)
        let count = bytes / MemoryLayout<Float>.size
        nonisolated(unsafe) let a = memory.bindMemory(to: Float.self, capacity: 3 * count)
        var best = Duration.seconds(1 << 20)
        // The first pass meets new pages.
        for _ in 0...max(repetitions, 1) {
            let elapsed = ContinuousClock().measure {
                parallelRuns(of: count, length: 1 << 18) { triad(a, count, $0) }
            }
            best = min(best, elapsed)
        }
        return Double(3 * bytes) / (best / .seconds(1))
    }
    /// Bytes that a thread reads as one piece of work.
    private static var pieceBytes: Int { 1 << 20 }

    /// Seconds in which `Threads.count` threads read some blocks once and do nothing else.
    package static func secondsToRead(_ blocks: [UnsafeRawBufferPointer]) -> Double {
        let runs = blocks.flatMap { block in
            stride(from: 0, to: block.count / 256 * 256, by: pieceBytes).map {
                UnsafeRawBufferPointer(
                    rebasing: block[$0..<min(block.count / 256 * 256, $0 + pieceBytes)])
            }
        }
        let sums = UnsafeMutablePointer<UInt32>.allocate(capacity: max(1, runs.count))
        nonisolated(unsafe) let (parts, results) = (runs, sums)
        defer { sums.deallocate() }
        return ContinuousClock().measure {
            parallelFor(runs.count, label: "read") { results[$0] = sumOfWords(parts[$0]) }
        } / .seconds(1)
    }
}
