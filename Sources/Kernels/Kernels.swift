// The choice between the compilations of the kernels: once a process, by what its processor has and its environment allows.

@_exported import KernelSupport
import KernelsAVX2
import KernelsAVX512

/// The kernels that this process uses.
package let kernels: any KernelSet.Type = kernels(for: InstructionSet.used)

/// The kernels that use these instructions at most. Where there are none, on an architecture other than x86-64, both compilations
/// are for what all of its processors have, and the narrow one is taken.
package func kernels(for instructions: InstructionSet?) -> any KernelSet.Type {
    switch instructions {
    case nil, .avx2: KernelsAVX2.VectorKernels.self
    case .avx512, .amx: KernelsAVX512.VectorKernels.self
    }
}
