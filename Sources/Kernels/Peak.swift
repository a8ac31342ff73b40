// What a processor can do at most: fused multiply-adds that never leave the registers. The yardstick of a
// step: a property of the processor and of the instructions that this build may use, and of no library.

import Synchronization

/// Sums that wait for nobody but themselves: six of 16 floats, in as many 512-bit registers or twice as many
/// of 256 bits.
private struct SixChains {
    private var chain0, chain1, chain2, chain3, chain4, chain5: Vector

    /// From memory, so that the compiler cannot know two of them to be equal.
    @inline(__always)
    init(_ start: UnsafePointer<Float>) {
        chain0 = start.vector(at: 0)
        chain1 = start.vector(at: 16)
        chain2 = start.vector(at: 32)
        chain3 = start.vector(at: 48)
        chain4 = start.vector(at: 64)
        chain5 = start.vector(at: 80)
    }

    @inline(__always)
    mutating func addProduct(_ a: Vector, _ b: Vector) {
        chain0.addProduct(a, b)
        chain1.addProduct(a, b)
        chain2.addProduct(a, b)
        chain3.addProduct(a, b)
        chain4.addProduct(a, b)
        chain5.addProduct(a, b)
    }

    @inline(__always)
    func store(_ end: UnsafeMutablePointer<Float>) {
        end.store(chain0, at: 0)
        end.store(chain1, at: 16)
        end.store(chain2, at: 32)
        end.store(chain3, at: 48)
        end.store(chain4, at: 64)
        end.store(chain5, at: 80)
    }

    static let floats = 6 * lanes
}

/// 12 registers of 16 hold sums: a latency of 4 or 5 cycles on two units keeps 8 or 10 under way.
@inline(never)
private func multiplyAddNarrow(_ rounds: Int, _ a: Float, _ sums: UnsafeMutablePointer<Float>) {
    let (a, b) = (Vector(repeating: a), Vector(repeating: 0.5))
    var chains = SixChains(sums)
    for _ in 0..<rounds { chains.addProduct(a, b) }
    chains.store(sums)
}

/// 24 registers of 32 hold sums.
@inline(never)
private func multiplyAddWide(_ rounds: Int, _ a: Float, _ sums: UnsafeMutablePointer<Float>) {
    let (a, b) = (Vector(repeating: a), Vector(repeating: 0.5))
    let count = SixChains.floats
    var first = SixChains(sums)
    var second = SixChains(sums + count)
    var third = SixChains(sums + 2 * count)
    var fourth = SixChains(sums + 3 * count)
    for _ in 0..<rounds {
        first.addProduct(a, b)
        second.addProduct(a, b)
        third.addProduct(a, b)
        fourth.addProduct(a, b)
    }
    first.store(sums)
    second.store(sums + count)
    third.store(sums + 2 * count)
    fourth.store(sums + 3 * count)
}

extension TileShape {
    private var chainFloats: Int { SixChains.floats * (self == .narrow ? 1 : 4) }

    /// Adds `rounds` times 0.5 · `a` to each of 96 (narrow) or 384 (wide) sums that begin with their index;
    /// returns the sums.
    package func multiplyAdds(rounds: Int, _ a: Float) -> [Float] {
        var sums = (0..<chainFloats).map { Float($0) }
        sums.withUnsafeMutableBufferPointer { burst(rounds, a, $0.baseAddress!) }
        return sums
    }

    @inline(__always)
    fileprivate func burst(_ rounds: Int, _ a: Float, _ sums: UnsafeMutablePointer<Float>) {
        switch self {
        case .narrow: multiplyAddNarrow(rounds, a, sums)
        case .wide, .matrix: multiplyAddWide(rounds, a, sums)
        }
    }

    /// FLOP/s of one thread in its best burst of those that begin within `duration`; `areAllBusy` says of a
    /// moment whether all threads run.
    fileprivate func bestRate(_ duration: Duration, areAllBusy: () -> Bool) -> Double {
        let clock = ContinuousClock()
        let end = clock.now + duration
        var rounds = 1 << 8
        var (best, bestOfAll) = (0.0, 0.0)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: chainFloats) { sums in
            guard let sums = sums.baseAddress else { return }
            for index in 0..<chainFloats { sums[index] = Float(index) }
            repeat {
                let wereBusy = areAllBusy()
                let elapsed = clock.measure { burst(rounds, 1, sums) }
                guard elapsed >= Peak.burst else {
                    rounds *= 2
                    continue
                }
                let rate = Double(2 * rounds * chainFloats) / (elapsed / .seconds(1))
                bestOfAll = max(bestOfAll, rate)
                if wereBusy && areAllBusy() { best = max(best, rate) }
            } while clock.now < end || bestOfAll == 0
        }
        return best > 0 ? best : bestOfAll
    }
}

/// The rate of Float32's fused multiply-adds, that no kernel can pass; the matrix unit, with factors in bfloat16, can.
package enum Peak {
    /// The least that a burst takes: far above the resolution of clocks, far below a time slice.
    fileprivate static let burst = Duration.microseconds(300)

    /// Float32 operations a second (two a multiply-add) of `Threads.count` threads at once, with the
    /// instructions that the kernels are compiled for. Takes `duration` and some.
    ///
    /// Each thread repeats bursts of a third of a millisecond; the sum is of each thread's best one of those
    /// in which all were at work, so clocks are those of a busy processor, and what other programs take of
    /// its time shows only where they never leave a third of a millisecond. Threads that share a processor
    /// count as if each had one: who starts more of them divides. Without fused multiply-adds (a build for
    /// an older processor, debug builds) the rate is that of the function in their place, as in products.
    package static func flopsPerSecond(duration: Duration = .milliseconds(40)) -> Double {
        let threads = Threads.count
        let arrived = Atomic<Int>(0)
        let left = Atomic<Int>(0)
        var rates = [Double](repeating: 0, count: threads)
        rates.withUnsafeMutableBufferPointer { rates in
            nonisolated(unsafe) let rates = rates
            parallelFor(threads) { thread in
                arrived.wrappingAdd(1, ordering: .relaxed)
                rates[thread] = TileShape.ofThisBuild.bestRate(duration) {
                    arrived.load(ordering: .relaxed) == threads
                        && left.load(ordering: .relaxed) == 0
                }
                left.wrappingAdd(1, ordering: .relaxed)
            }
        }
        return rates.reduce(0, +)
    }
}
