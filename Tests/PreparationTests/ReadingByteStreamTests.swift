import CCompression
import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

@Suite struct ReadingByteStreamTests {
    private static func bytes(_ path: String, _ limits: ReadingLimits = ReadingLimits()) throws
        -> [UInt8]
    {
        let stream = try ByteStream(path: path, limits: limits)
        var (all, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 1000))
        while true {
            let count = try stream.read(into: &buffer, at: 10)
            if count == 0 { break }
            all += buffer[10..<10 + count]
        }
        #expect(stream.unpackedBytes == all.count)
        return all
    }

    /// Text that does not pack to nothing.
    private static func text(_ count: Int) -> [UInt8] {
        var (state, text): (UInt64, [UInt8]) = (7, [])
        for _ in 0..<count {
            state = state &* 6_364_136_223_846_793_005 &+ 1
            text.append(UInt8(0x20 + state >> 33 % 90))
        }
        return text
    }

    @Test(arguments: Packing.allCases)
    func membersAreOneText(packing: Packing) throws {
        let folder = try TemporaryFolder()
        let (first, second) = (Self.text(700_000), Self.text(3))
        let packed = Packed.pack(first, packing) + Packed.pack([], packing)
        let path = try folder.write(
            "any.txt", packed + Packed.pack(second, packing) + [UInt8](repeating: 0, count: 1024))
        #expect(try Self.bytes(path) == first + second)
        let stream = try ByteStream(path: path)
        #expect(stream.packing == packing)
    }

    /// A member's magic lies across the border of two blocks.
    @Test(arguments: [0, 1, 2, 3, 4, 5, 6])
    func membersBeginAnywhere(shift: Int) throws {
        let folder = try TemporaryFolder()
        let block = 256 << 10
        // A frame of zstd that is passed over and has the length that is asked for.
        let length = block - 8 - shift
        var packed: [UInt8] = [0x50, 0x2A, 0x4D, 0x18]
        packed += (0..<4).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
        packed += [UInt8](repeating: 1, count: length)
        packed += Packed.zstd(Array("found".utf8))
        #expect(try Self.bytes(folder.write("a", packed)) == Array("found".utf8))
    }

    @Test(arguments: Packing.allCases)
    func whatIsCutOffIsNamed(packing: Packing) throws {
        let folder = try TemporaryFolder()
        let whole = Packed.pack(Self.text(3000), packing)
        for count in [8, 20, whole.count / 2, whole.count - 1] {
            let path = try folder.write("cut", Array(whole[..<count]))
            expectProblem("cut: byte offset", packing.rawValue, "end of the file") {
                _ = try Self.bytes(path)
            }
        }
        #expect(try Self.bytes(folder.write("whole", whole)).count == 3000)
    }

    @Test(arguments: Packing.allCases)
    func whatIsDamagedIsNamed(packing: Packing) throws {
        let folder = try TemporaryFolder()
        var whole = Packed.pack(Self.text(3000), packing)
        // zstd's one-call interface takes no checksum; a header of a block says what it cannot be.
        whole[packing == .zstd ? 9 : whole.count / 2] ^= 0xFF
        expectProblem("bad: byte offset", "damaged") {
            _ = try Self.bytes(folder.write("bad", whole))
        }
        let behind = Packed.pack(Self.text(10), packing) + Array("garbage".utf8)
        expectProblem("byte offset \(behind.count - 7)", "other bytes behind it") {
            _ = try Self.bytes(folder.write("behind", behind))
        }
    }

    @Test func bombsEndInOneError() throws {
        let folder = try TemporaryFolder()
        let bomb = Packed.gzip([UInt8](repeating: 0x61, count: 70 << 20), level: 9)
        let path = try folder.write("bomb.gz", bomb)
        expectProblem("bomb.gz: byte offset", "more than 1000 for each") {
            _ = try Reading(path, ReadingOptions())
        }
        var limits = ReadingLimits()
        limits.ratio = 2000
        #expect(try Self.bytes(path, limits).count == 70 << 20)
        limits.unpackedBytes = 1 << 20
        expectProblem("more than 1048576 bytes coming out") { _ = try Self.bytes(path, limits) }
        // What packs that well in small is no bomb.
        #expect(
            try Self.bytes(
                folder.write("small", Packed.gzip([UInt8](repeating: 0, count: 1 << 20)))
            ).count == 1 << 20)
    }

    @Test func memoryIsBounded() throws {
        let folder = try TemporaryFolder()
        var limits = ReadingLimits()
        limits.unpackingMemory = 1 << 20
        let text = Self.text(4 << 20)
        expectProblem("memory", "allow more") {
            _ = try Self.bytes(folder.write("xz", Packed.xz(text, preset: 6)), limits)
        }
        expectProblem("memory", "allow more") {
            _ = try Self.bytes(folder.write("zst", Packed.zstd(text)), limits)
        }
        #expect(try Self.bytes(folder.file("xz")) == text)
        #expect(try Self.bytes(folder.file("zst")) == text)
    }

    static let foreign: [(head: [UInt8], name: String)] = [
        (Array("BZh91AY&SY".utf8), "bzip2"), ([0x50, 0x4B, 3, 4, 20], "zip"),
        (Array("PAR1".utf8) + [0x15, 4], "Parquet"), (Array("ARROW1\0\0".utf8), "Arrow"),
        ([UInt8](repeating: 0x61, count: 257) + Array("ustar\0".utf8), "tar"),
    ]

    @Test(arguments: foreign)
    func foreignFilesAreRefusedByName(head: [UInt8], name: String) throws {
        expectProblem("file: expected text, found", name, "; ") { _ = try Reading(head) }
        expectProblem("file: expected text, found", name) { _ = try Reading(Packed.gzip(head)) }
        let texts = ["BZh9 is a name", "PAR1 one", "PK, he said", "Objects"]
        #expect(try texts.flatMap { try Reading($0).texts } == texts)
    }

    @Test func whatIsNoFileIsRefused() throws {
        let folder = try TemporaryFolder()
        let options = ReadingOptions()
        expectProblem("named pipe") { _ = try Reading(folder.pipe("pipe"), options) }
        expectProblem("a folder") { _ = try Reading(folder.path, options) }
        expectProblem("a device") { _ = try Reading("/dev/zero", options) }
        symlink("b", folder.file("a"))
        symlink("a", folder.file("b"))
        expectProblem("a link to b") { _ = try Reading(folder.file("a"), options) }
        expectProblem("a\\nb: expected text") {
            _ = try Reading(folder.write("a\nb", ReadingByteStreamTests.foreign[0].head), options)
        }
    }
}
