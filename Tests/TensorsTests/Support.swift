import Foundation
import Tensors

/// Reproducible noise, about uniform in −1…1.
struct Noise {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> Float {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return Float(Int64(bitPattern: state) >> 40) / Float(1 << 23)
    }

    mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// Within 1e-5 absolutely and relatively to the largest element.
func close(_ found: [Float], _ expected: [Double], tolerance: Double = 1e-5) -> Bool {
    let size = expected.reduce(1) { max($0, abs($1)) }
    return found.count == expected.count
        && zip(found, expected).allSatisfy { abs(Double($0) - $1) <= tolerance * size }
}

func tangent(_ x: Double) -> Double { tanh(x) }

/// The values as a storage type keeps them.
func stored(_ values: [Float], _ storage: DType) -> [Float] {
    tensor(values, [values.count], storage).array
}

/// A tensor of a storage type.
func tensor(_ values: [Float], _ shape: Shape, _ storage: DType) -> Tensor {
    Tensor(values, shape: shape).converted(to: storage)
}

extension DType {
    /// Of what is computed on stored values: bfloat16 has three binary digits fewer than Float16.
    func tolerance(float: Double, half: Double) -> Double {
        switch self {
        case .float16: half
        case .bfloat16: 8 * half
        default: float
        }
    }
}
