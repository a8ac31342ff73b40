// Which vector instructions this process uses: the newest that the processor has and that the kernels are compiled for, or an
// older set that the environment names. A kernel that meets an instruction its host lacks dies of SIGILL without a word, so the
// command line asks here before the first one.

import COpenBLAS
import CTiles
import Glibc

/// A set of vector instructions that kernels use, each with the ones before it; a case's raw value is its name in the
/// environment.
package enum InstructionSet: String, Sendable, CaseIterable, Comparable {
    /// 256 bits, fused multiply-adds and conversions of halves, with what came beside them (x86-64-v3).
    case avx2
    /// 512 bits, as Skylake's servers brought them.
    case avx512
    /// Intel's matrix unit, for factors in bfloat16.
    case amx

    package static func < (a: Self, b: Self) -> Bool {
        allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)!
    }

    package var name: String {
        switch self {
        case .avx2: "AVX2"
        case .avx512: "AVX-512"
        case .amx: "AVX-512 and matrix tiles"
        }
    }

    /// The newest that this processor has; nil where it has none of them, or is no x86-64.
    package static let ofThisProcessor: InstructionSet? = {
        guard lacking.isEmpty, let generation = VectorInstructions.ofThisProcessor else {
            return nil
        }
        if generation < .avx512 { return .avx2 }
        return matrix_unit_is_granted() != 0 ? .amx : .avx512
    }()

    /// The features that this processor lacks of those that all kernels use, such as `fma`; empty where all is well, as on an
    /// architecture other than x86-64, whose kernels are compiled for what all of its processors have.
    package static var lacking: [String] {
        var names: [String] = []
        var isThere: Int32 = 0
        var index: Int32 = 0
        while let name = required_cpu_feature(index, &isThere) {
            if isThere == 0 { names.append(String(cString: name)) }
            index += 1
        }
        return names
    }

    // MARK: The choice

    /// The variable that names the newest set to be used.
    package static let variable = "MURMUR_INSTRUCTIONS"

    /// What a process uses on a processor whose newest set is `processor`, where the variable has the value `setting`.
    package static func choice(
        setting: String?, processor: InstructionSet? = .ofThisProcessor
    ) throws(InstructionChoiceError) -> InstructionSet? {
        guard let setting else { return processor }
        guard let wanted = InstructionSet(rawValue: setting) else {
            let names = allCases.map(\.rawValue).joined(separator: ", ")
            throw InstructionChoiceError("\(variable): expected one of \(names), found \(setting)")
        }
        guard let processor, wanted <= processor else {
            let newest = processor.map { "\($0.rawValue) at most" } ?? "none of them"
            throw InstructionChoiceError(
                "\(variable): expected instructions that this processor has, \(newest), found \(setting)"
            )
        }
        return wanted
    }

    private static let chosen = Result { () throws(InstructionChoiceError) in
        try choice(setting: getenv(variable).map { String(cString: $0) })
    }

    /// What this process uses; nil on an architecture other than x86-64. Where the choice is wrong, what the processor has.
    package static let used: InstructionSet? = (try? chosen.get()) ?? ofThisProcessor

    /// Throws what is wrong with the variable.
    package static func checkChoice() throws(InstructionChoiceError) { _ = try chosen.get() }
}

/// A value of `MURMUR_INSTRUCTIONS` that cannot be.
package struct InstructionChoiceError: Error {
    package let message: String

    init(_ message: String) { self.message = message }
}

/// Intel's matrix unit.
package enum MatrixUnit {
    /// Whether this process may use it: the processor has it, and the kernel grants it.
    package static let isThere = InstructionSet.ofThisProcessor == .amx

    /// Whether products use it. The bits are the same.
    package static let isUsed = InstructionSet.used == .amx
}
