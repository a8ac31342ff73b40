// What a processor can do at most: fused multiply-adds that never leave the registers. The yardstick of a
// step: a property of the processor and of the instructions that the kernels use, and of no library.

import Synchronization

/// What a run is compared with.
package protocol YardstickKernels: ProductKernels {
    /// Adds `rounds` times 0.5 · `a` to each of 96 (narrow tile) or 384 (wide) sums, in registers.
    static func addMultiples(
        _ tile: TileShape, rounds: Int, _ a: Float, _ sums: UnsafeMutablePointer<Float>)

    /// a = b + 3·c for the elements of `run`; of arrays of `count` elements that lie one behind the other. `run` begins and
    /// ends at a multiple of 16.
    static func triad(_ a: UnsafeMutablePointer<Float>, _ count: Int, _ run: Range<Int>)

    /// Of all 32-bit words, whatever they mean, so that the reads are not left out; of a multiple of 256 bytes.
    static func sumOfWords(_ block: UnsafeRawBufferPointer) -> UInt32
}

extension TileShape {
    /// Sums that multiply-adds in registers have.
    fileprivate var chainFloats: Int { self == .narrow ? 96 : 384 }
}

/// The least that a burst takes: far above the resolution of clocks, far below a time slice.
private let shortestBurst = Duration.microseconds(300)

extension YardstickKernels {
    /// Adds `rounds` times 0.5 · `a` to each of 96 (narrow) or 384 (wide) sums that begin with their index;
    /// returns the sums.
    package static func multiplyAdds(_ tile: TileShape, rounds: Int, _ a: Float) -> [Float] {
        var sums = (0..<tile.chainFloats).map { Float($0) }
        sums.withUnsafeMutableBufferPointer {
            addMultiples(tile, rounds: rounds, a, $0.baseAddress!)
        }
        return sums
    }

    /// FLOP/s of one thread in its best burst of those that begin within `duration`; `areAllBusy` says of a
    /// moment whether all threads run.
    private static func bestRate(_ duration: Duration, areAllBusy: () -> Bool) -> Double {
        let tile = nativeTile
        let clock = ContinuousClock()
        let end = clock.now + duration
        var rounds = 1 << 8
        var (best, bestOfAll) = (0.0, 0.0)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: tile.chainFloats) { sums in
            guard let sums = sums.baseAddress else { return }
            for index in 0..<tile.chainFloats { sums[index] = Float(index) }
            repeat {
                let wereBusy = areAllBusy()
                let elapsed = clock.measure { addMultiples(tile, rounds: rounds, 1, sums) }
                guard elapsed >= shortestBurst else {
                    rounds *= 2
                    continue
                }
                let rate = Double(2 * rounds * tile.chainFloats) / (elapsed / .seconds(1))
                bestOfAll = max(bestOfAll, rate)
                if wereBusy && areAllBusy() { best = max(best, rate) }
            } while clock.now < end || bestOfAll == 0
        }
        return best > 0 ? best : bestOfAll
    }

    /// The rate of Float32's fused multiply-adds, that no kernel can pass; the matrix unit, with factors in bfloat16, can.
    ///
    /// Float32 operations a second (two a multiply-add) of `Threads.count` threads at once, with the
    /// instructions that these kernels use. Takes `duration` and some.
    ///
    /// Each thread repeats bursts of a third of a millisecond; the sum is of each thread's best one of those
    /// in which all were at work, so clocks are those of a busy processor, and what other programs take of
    /// its time shows only where they never leave a third of a millisecond. Threads that share a processor
    /// count as if each had one: who starts more of them divides. Without fused multiply-adds (debug builds) the rate is that of the function in their place, as in products.
    package static func peakFlopsPerSecond(duration: Duration = .milliseconds(40)) -> Double {
        let threads = Threads.count
        let arrived = Atomic<Int>(0)
        let left = Atomic<Int>(0)
        var rates = [Double](repeating: 0, count: threads)
        rates.withUnsafeMutableBufferPointer { rates in
            nonisolated(unsafe) let rates = rates
            parallelFor(threads) { thread in
                arrived.wrappingAdd(1, ordering: .relaxed)
                rates[thread] = bestRate(duration) {
                    arrived.load(ordering: .relaxed) == threads
                        && left.load(ordering: .relaxed) == 0
                }
                left.wrappingAdd(1, ordering: .relaxed)
            }
        }
        return rates.reduce(0, +)
    }
}
