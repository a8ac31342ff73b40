import Kernels

/// The type of a stored element. Arithmetic is Float32 whatever the storage.
public enum DType: String, Sendable, CaseIterable {
    case float32
    case float16
    case bfloat16
    case int32
    case float64

    /// Bytes an element takes.
    public var size: Int {
        switch self {
        case .float16, .bfloat16: 2
        case .float32, .int32: 4
        case .float64: 8
        }
    }

    /// As kernels know it; integers and Float64 are none of their stored types.
    package var elementType: ElementType {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        case .int32, .float64: preconditionFailure("DType: expected a storage type, got \(self)")
        }
    }
}
