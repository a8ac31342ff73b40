// The innermost loops of what a run is compared with (`KernelSupport/Peak.swift`, `MemoryBandwidth.swift`).

import COpenBLAS

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

extension VectorKernels {
    package static func addMultiples(
        _ tile: TileShape, rounds: Int, _ a: Float, _ sums: UnsafeMutablePointer<Float>
    ) {
        switch tile {
        case .narrow: multiplyAddNarrow(rounds, a, sums)
        case .wide, .matrix: multiplyAddWide(rounds, a, sums)
        }
    }

    @inline(never)
    package static func triad(
        _ a: UnsafeMutablePointer<Float>, _ count: Int, _ run: Range<Int>
    ) {
        let factor = Vector(repeating: 3)
        for index in stride(from: run.lowerBound, to: run.upperBound, by: lanes) {
            var sum = a.vector(at: count + index)
            sum.addProduct(factor, a.vector(at: 2 * count + index))
            a.store(sum, at: index)
        }
    }

    @inline(never)
    package static func sumOfWords(_ block: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = block.baseAddress else { return 0 }
        var (first, second, third, fourth) = (Bits.zero, Bits.zero, Bits.zero, Bits.zero)
        for offset in stride(from: 0, to: block.count, by: 256) {
            let memory = base + offset
            for line in 0..<4 { prefetch_for_later(memory + 8192 + line * 64) }
            first &+= memory.loadUnaligned(as: Bits.self)
            second &+= (memory + 64).loadUnaligned(as: Bits.self)
            third &+= (memory + 128).loadUnaligned(as: Bits.self)
            fourth &+= (memory + 192).loadUnaligned(as: Bits.self)
        }
        return (first &+ second &+ third &+ fourth).wrappedSum()
    }
}
