// The kernels: one source, compiled once for each set of instructions (Package.swift). What is not arithmetic, and needs no
// vectors, stands in `KernelSupport`, whose code runs on every processor.
//
// What the compiler makes of a generic of the standard library for types of it or of `KernelSupport` has one name in every
// target, and the linker keeps the first that it meets, of targets in alphabetical order. With vector instructions in it, it
// might be called where there are none: such code stands in `KernelSupport` then, or goes without the generic.
// `LinkedInstructionsTests` looks for it in the linked program.

import COpenBLAS
@_exported import KernelSupport

/// Whether a vector register holds 16 floats: 32 of them, as AVX-512 has, instead of pairs out of 16.
var hasWideRegisters: Bool { vector_register_bytes() >= 64 }

package enum VectorKernels: KernelSet {}
