// The linked program runs on every x86-64 until it has asked its processor what it has: vector instructions stand in the
// functions of the kernels' compilations alone. What the compiler makes of generics of the standard library, and of C's inline
// functions, bears one name in every target, and the linker keeps the first that it meets.

import Foundation
import Kernels
import TestSupport
import Testing

/// Functions of a program with vector instructions in them, by how these are coded.
struct VectorFunctions {
    /// AVX-512's prefix, 62.
    private(set) var evex: Set<String> = []
    /// AVX's and BMI's, c4 and c5, and AMX's.
    private(set) var vex: Set<String> = []

    /// Reads what `objdump -d -w` prints: `address <function>:`, then a line an instruction, its bytes in the second column.
    init(disassembly: Data) {
        var function = ""
        for line in disassembly.split(separator: UInt8(ascii: "\n")) {
            if line.last == UInt8(ascii: ":"), let start = line.firstIndex(of: UInt8(ascii: "<")) {
                function = String(decoding: line[(start + 1)...].dropLast(2), as: UTF8.self)
                continue
            }
            let columns = line.split(separator: UInt8(ascii: "\t"), maxSplits: 2)
            guard columns.count == 3, columns[0].last == UInt8(ascii: ":") else { continue }
            switch Self.firstByte(columns[1]) {
            case 0x62: evex.insert(function)
            case 0xC4, 0xC5: vex.insert(function)
            default: break
            }
        }
    }

    /// Of an instruction, prefixes of older codings left out.
    private static func firstByte(_ column: Data) -> UInt8? {
        let prefixes: Set<UInt8> = [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3]
        var digits = column.makeIterator()
        func value(_ digit: UInt8) -> UInt8 { digit < 58 ? digit - 48 : digit - 87 }
        while let high = digits.next(), high != UInt8(ascii: " "), let low = digits.next() {
            let byte = value(high) << 4 | value(low)
            if !prefixes.contains(byte) { return byte }
            _ = digits.next()
        }
        return nil
    }

    /// Those that a processor without the instructions might come to.
    var astray: Set<String> {
        let tiles: Set = ["multiply_tiles", "tiles_begin", "tiles_end"]
        let wide = evex.filter {
            !$0.contains("KernelsAVX512") && $0 != "add_pairs_wide_avx512" && !tiles.contains($0)
        }
        let any = vex.filter {
            !$0.contains("KernelsAVX2") && !$0.contains("KernelsAVX512")
                && $0 != "add_pairs_wide_avx2" && $0 != "add_pairs_wide_avx512"
                && !tiles.contains($0)
        }
        return wide.union(any)
    }
}

@Suite struct LinkedInstructionsTests {
    private static let objdump = ["/usr/bin/objdump", "/usr/local/bin/objdump"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    #if DEBUG || !arch(x86_64)
        private static let isCompiledTwice = false
    #else
        private static let isCompiledTwice = true
    #endif

    @Test(
        .enabled(if: isCompiledTwice, "for release builds on x86-64"),
        .enabled(if: objdump != nil, "there is no objdump: it comes with binutils"))
    func noneAreOutsideOfTheKernels() throws {
        let files = try TemporaryFolder()
        let file = try files.write("disassembly", "")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(Self.objdump))
        process.arguments = ["-d", "-w", try Program("murmur").path]
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: file))
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        let found = VectorFunctions(disassembly: try Data(contentsOf: URL(fileURLWithPath: file)))
        #expect(found.astray == [])
        // The control: those of the kernels are seen.
        #expect(found.evex.count { $0.contains("KernelsAVX512") } > 100)
        #expect(found.vex.count { $0.contains("KernelsAVX2") } > 100)
        #expect(found.evex.contains("add_pairs_wide_avx512"))
    }

    @Test func theOnesAstrayAreFound() {
        let text = """
            00000000001d3e10 <$s13KernelsAVX51206VectorA0O3add>:
              1d3e10:\t62 f1 7c 48 10 06    \tvmovups (%rsi),%zmm0
              1d3e16:\tc5 f8 77             \tvzeroupper
            00000000001d3e20 <$s11KernelsAVX206VectorA0O3add>:
              1d3e20:\tc5 fc 10 06          \tvmovups (%rsi),%ymm0
            00000000001d3e30 <$sSaySfGTg5>:
              1d3e30:\t66 0f 6f 06          \tmovdqa (%rsi),%xmm0
              1d3e34:\tf3 0f 6f 06          \tmovdqu (%rsi),%xmm0

            """
        func astray(_ more: String) -> Set<String> {
            VectorFunctions(disassembly: Data((text + more).utf8)).astray
        }
        #expect(astray("") == [])
        #expect(
            astray("  1d3e38:\t62 f1 7c 48 10 06    \tvmovups (%rsi),%zmm0\n") == ["$sSaySfGTg5"])
        #expect(
            astray("  1d3e38:\tc4 e2 f9 f7 c2       \tshlx %rax,%rdx,%rax\n") == ["$sSaySfGTg5"])
        let narrow = "00000000001d3e40 <$s11KernelsAVX206VectorA0O5scale>:\n"
        #expect(
            astray(narrow + "  1d3e40:\t62 f1 7c 48 10 06    \tvmovups (%rsi),%zmm0\n")
                == ["$s11KernelsAVX206VectorA0O5scale"])
    }
}
