// What the kernel tests share: operands made from a seed, and comparisons.

import Kernels

/// Values in [−1, 1), a function of the seed alone.
func values(_ count: Int, seed: UInt64) -> [Float] {
    let stream = RandomStream(seed: seed, stream: 0)
    return (0..<count).map { Float(stream.uniform(at: UInt64($0)) * 2 - 1) }
}

/// Values at an address, until `free`: what an `Operand` may point at.
struct Block {
    let pointer: UnsafePointer<Float>

    init(_ count: Int, seed: UInt64) {
        let copy = UnsafeMutablePointer<Float>.allocate(capacity: max(count, 1))
        copy.initialize(from: values(count, seed: seed), count: count)
        pointer = UnsafePointer(copy)
    }

    subscript(index: Int) -> Float { pointer[index] }

    func free() { pointer.deallocate() }
}

/// Whether every element is within `absolute` + `relative` · |reference| of its reference.
func close(
    _ found: [Float], _ reference: [Double], absolute: Double = 1e-6, relative: Double = 1e-6,
    storedAs type: ElementType = .float32
) -> Bool {
    // One rounding more: to 11 bits or to the grid of the subnormal numbers of Float16, to 8 bits of bfloat16.
    let rounding: (relative: Double, absolute: Double) =
        switch type {
        case .float32: (0, 0)
        case .float16: (0x1p-11, 0x1p-25)
        case .bfloat16: (0x1p-8, 0)
        }
    let (relative, absolute) = (relative + rounding.relative, absolute + rounding.absolute)
    return found.count == reference.count
        && zip(found, reference).allSatisfy {
            abs(Double($0) - $1) <= absolute + relative * abs($1)
        }
}

/// The patterns, so that −0 and +0 differ and a number that is not one equals itself.
func bits(_ x: [Float]) -> [UInt32] { x.map(\.bitPattern) }

/// A comparison whose failure does not print the arrays.
func same(_ a: [Float], _ b: [Float]) -> Bool { bits(a) == bits(b) }

/// Runs `body` on pieces of `length` that cover 0..<count.
func inPieces(of length: Int, _ count: Int, _ body: (Range<Int>) -> Void) {
    for start in stride(from: 0, to: count, by: length) { body(start..<min(start + length, count)) }
}

let pieceLengths = [1, 7, 16]
