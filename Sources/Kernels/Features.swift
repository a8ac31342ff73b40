// What the kernels were compiled for against what the host offers. A kernel that meets an instruction
// its host lacks dies of SIGILL without a word, so the command line asks here before the first one.

import COpenBLAS

/// Whether a vector register holds 16 floats: 32 of them, as AVX-512 has, instead of pairs out of 16.
var hasWideRegisters: Bool { vector_register_bytes() >= 64 }

package enum HostFeatures {
    /// The processor features compiled in that this host lacks, such as `avx512f`; empty where all is well.
    ///
    /// Debug builds use the architecture's common ground and so never lack anything.
    package static func missing() -> [String] { names { !$0 } }

    /// The processor features compiled in, separated by spaces, for logs.
    package static var compiled: String { names { _ in true }.joined(separator: " ") }

    private static func names(where isWanted: (_ onThisHost: Bool) -> Bool) -> [String] {
        var names: [String] = []
        var onThisHost: Int32 = 0
        var index: Int32 = 0
        while let name = compiled_cpu_feature(index, &onThisHost) {
            if isWanted(onThisHost != 0) { names.append(String(cString: name)) }
            index += 1
        }
        return names
    }
}
