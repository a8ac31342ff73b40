// The arithmetic, by name: what every compilation of the vector code has (`VectorKernels`), and all that the other targets
// know of it. `kernels` (target `Kernels`) is the compilation whose instructions this process uses.

/// Arithmetic on pointers, compiled for one set of instructions. Any two have the same bits.
///
/// No element type and no instruction set is a generic parameter: a kernel takes `Elements` and decides once.
package protocol KernelSet: ActivationKernels, AttentionKernels, CrossEntropyKernels,
    ElementwiseKernels, EmbeddingKernels, NormKernels, OptimizerKernels, ProductKernels,
    RandomKernels, RecurrentKernels, YardstickKernels
{
}
