// Generations of vector instructions: what a processor has, and what a family of OpenBLAS's kernels uses.

import COpenBLAS

/// A generation, each with the ones before it.
package enum VectorInstructions: Int, Sendable, Comparable, CaseIterable {
    /// 128 bits.
    case sse
    /// 256 bits.
    case avx
    /// 256 bits, and fused multiply-adds.
    case avx2
    /// 512 bits.
    case avx512

    /// The newest that this processor has; nil where it is not an x86-64.
    package static var ofThisProcessor: VectorInstructions? {
        VectorInstructions(rawValue: Int(processor_vector_generation()))
    }

    /// What OpenBLAS's kernels of this family use, by the name that `openblas_get_corename` gives it; nil for
    /// one that is not known here, which says nothing against it.
    package init?(openBLASCore name: String) {
        let family = name.lowercased()
        guard let found = Self.families.first(where: { $0.value.contains(family) }) else {
            return nil
        }
        self = found.key
    }

    private static let families: [VectorInstructions: Set<String>] = [
        .sse: [
            "generic", "katmai", "coppermine", "northwood", "banias", "prescott", "core2", "penryn",
            "dunnington", "nehalem", "atom", "nano", "athlon", "opteron", "opteron_sse3",
            "barcelona",
            "bobcat",
        ],
        .avx: ["sandybridge", "bulldozer", "piledriver", "steamroller"],
        .avx2: ["excavator", "haswell", "zen"],
        .avx512: ["skylakex", "cooperlake", "sapphirerapids"],
    ]

    package static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

    package var name: String {
        switch self {
        case .sse: "SSE"
        case .avx: "AVX"
        case .avx2: "AVX2"
        case .avx512: "AVX-512"
        }
    }
}

extension BLAS {
    /// What OpenBLAS does with this processor where its kernels are of an older generation than that, such as
    /// `the kernels of Prescott (SSE) on a processor with AVX-512`; nil where they are not.
    ///
    /// The generation decides, not the speed, which nobody knows without measuring: on Zen 4, whose units
    /// are 256 bits wide, the kernels of Zen (AVX2) count as older too. A rate that is left out there misleads
    /// nobody; one that is half of what the processor does would.
    package static func lag(
        core: String = coreName, processor: VectorInstructions? = .ofThisProcessor
    ) -> String? {
        guard let processor, let used = VectorInstructions(openBLASCore: core), used < processor
        else { return nil }
        return "the kernels of \(core) (\(used.name)) on a processor with \(processor.name)"
    }
}
