// What decides a run's bits beside its configuration and data: the program, and the C library under it. The processor is not
// among it: whatever instructions the kernels use, they have the same bits. The C library asks the processor, and is told by
// what it chose.

import Foundation
import Kernels

/// The version of this program.
public let version = "0.1.0"

/// What this process runs on, as texts that can be compared: between ranks at their start, and with a
/// checkpoint.
enum ProgramIdentity {
    /// Version, digest of the program's file, and the C library under it.
    static let build = "murmur \(version), program \(programDigest), \(mathematics)"

    /// Version and build of OpenBLAS, and the processor family whose kernels it chose: for the record, since no result
    /// comes from it.
    static let blas = "\(BLAS.configuration), \(BLAS.coreName)"

    /// What is the same on all ranks, with what to do where it differs.
    static let values = [
        SharedValue(
            "program", "murmur \(version) of digest \(programDigest)",
            remedy: "start the same build on every rank"),
        SharedValue(
            "C library", mathematics,
            remedy: "install one version everywhere; its mathematics also follow the processor's "
                + "features"),
    ]

    /// A digest of the running program's file, which also tells apart two builds of one version; `unread`
    /// where a person may run the file but not read it.
    ///
    /// Read piece by piece: a mapping would count as memory of the process.
    private static let programDigest: String = {
        guard let file = FileHandle(forReadingAtPath: "/proc/self/exe") else { return "unread" }
        defer { try? file.close() }
        var digest = WordDigest()
        do {
            while let piece = try file.read(upToCount: 1 << 18), !piece.isEmpty {
                digest.update(piece)
            }
        } catch {
            return "unread"
        }
        return digest.hexadecimal
    }()

    /// The C library's version, and a digest of what it gives for the functions that training takes from it
    /// (`log` of the loss, `pow` and `cos` of the optimizer and its schedule). It has two forms of each,
    /// with fused multiplication and without, chooses by the processor, and they differ in the last bit at
    /// some of 1,000 points.
    private static let mathematics: String = {
        let count = 1 << 14
        let values = (1...count).flatMap { index in
            let number = Double(index) / Double(count + 1)
            return [log(1 + number), pow(0.999, Double(index)), cos(.pi * number)]
        }
        var digest = WordDigest()
        digest.update(values.withUnsafeBytes { Data($0) })
        var name = [CChar](repeating: 0, count: 64)
        confstr(Int32(_CS_GNU_LIBC_VERSION), &name, name.count - 1)
        let version = String(
            decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "\(version) of mathematics \(digest.hexadecimal)"
    }()
}

/// FNV-1a of 64 bits over words instead of bytes, eight words at a time, so that no multiplication waits for
/// the one before. Streams that differ in one word never agree. It guards against mistakes, not against
/// malice.
private struct WordDigest {
    private static let prime: UInt64 = 0x100_0000_01B3
    private var lanes = SIMD8<UInt64>(repeating: 0xCBF2_9CE4_8422_2325)
    private var byteCount = 0
    /// What does not fill eight words yet.
    private var rest: [UInt8] = []

    mutating func update(_ piece: Data) {
        byteCount += piece.count
        let given = rest.isEmpty ? piece : Data(rest) + piece
        let whole = given.count & ~63
        mix(given.prefix(whole))
        rest = [UInt8](given.dropFirst(whole))
    }

    private mutating func mix(_ blocks: Data) {
        blocks.withUnsafeBytes { bytes in
            for offset in stride(from: 0, to: bytes.count, by: 64) {
                lanes ^= bytes.loadUnaligned(fromByteOffset: offset, as: SIMD8<UInt64>.self)
                lanes &*= Self.prime
            }
        }
    }

    /// 16 digits.
    var hexadecimal: String {
        var digest = self
        digest.mix(Data(rest + [UInt8](repeating: 0, count: -rest.count & 63)))
        let lanes = digest.lanes
        let word = lanes.indices.reduce(UInt64(byteCount)) { ($0 ^ lanes[$1]) &* Self.prime }
        return String(format: "%016llx", word)
    }
}
