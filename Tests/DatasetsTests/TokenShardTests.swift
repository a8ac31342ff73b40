import Datasets
import Foundation
import Testing

@Suite struct TokenShardTests {
    /// Vocabularies on both sides of the token widths, counts on both sides of a block's end.
    @Test(arguments: [2, 256, 257, 65_536, 65_537, 1 << 31 - 1], [1, 2, 15, 16, 17, 64, 65, 1000])
    func roundTrip(vocabulary: Int, count: Int) throws {
        let folder = try TestFolder()
        var random = TestRandom(UInt64(vocabulary + count))
        var tokens = (0..<count).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random)
        }
        tokens[count - 1] = Int32(vocabulary - 1)
        let stream = try TokenStream(paths: [folder.shard("a", tokens, vocabulary: vocabulary)])
        #expect(stream.count == count && stream.vocabularySize == vocabulary)
        for _ in 0..<20 {
            let start = Int.random(in: 0..<count, using: &random)
            let end = Int.random(in: start...count, using: &random)
            var part = [Int32](repeating: -1, count: end - start)
            try stream.copy(start..<end, into: &part)
            #expect(part == Array(tokens[start..<end]))
        }
        #expect(try stream.all() == tokens)
    }

    @Test func severalShardsAreOneArray() throws {
        let folder = try TestFolder()
        let tokens = (0..<1000).map { Int32($0) }
        let cuts = [0, 1, 64, 65, 400, 999, 1000]
        let paths = try zip(cuts, cuts.dropFirst()).map { start, end in
            try folder.shard("s\(start)", Array(tokens[start..<end]), vocabulary: 1000)
        }
        let stream = try TokenStream(paths: paths)
        #expect(try stream.all() == tokens)
        for start in stride(from: 0, to: 1000, by: 7) {
            for length in [0, 1, 66, 500] where start + length <= 1000 {
                var part = [Int32](repeating: -1, count: length)
                try stream.copy(start..<start + length, into: &part)
                #expect(part == Array(tokens[start..<start + length]))
            }
        }
        let other = try TokenStream(paths: paths.reversed())
        #expect(other.fingerprint != stream.fingerprint)
        #expect(try TokenStream(paths: paths).fingerprint == stream.fingerprint)
    }

    /// The bytes of docs/data.md, laid down by hand.
    static func handmade(
        tokens: [UInt16], vocabulary: UInt32, block: Int, magic: String = "MURMTOK\n",
        version: UInt32 = 1, width: UInt32 = 2, reserved: UInt8 = 0, count: UInt64? = nil
    ) -> [UInt8] {
        func little(_ value: some FixedWidthInteger) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian) { Array($0) }
        }
        var header = Array(magic.utf8) + little(version) + little(width)
        header += little(count ?? UInt64(tokens.count)) + little(vocabulary) + little(UInt32(block))
        header += [UInt8](repeating: 7, count: 32) + [UInt8](repeating: reserved, count: 60)
        header += little(CRC32C.checksum(of: header))
        let data = tokens.flatMap { little($0) }
        let table = stride(from: 0, to: data.count, by: block).flatMap {
            little(CRC32C.checksum(of: Array(data[$0..<min($0 + block, data.count)])))
        }
        return header + data + table + little(CRC32C.checksum(of: table))
    }

    @Test func theFormatIsTheDocumentedOne() throws {
        let folder = try TestFolder()
        let tokens = (0..<100).map { UInt16($0 * 3) }
        try folder.shard("a", tokens.map { Int32($0) }, vocabulary: 300)
        let bytes = TokenShardTests.handmade(tokens: tokens, vocabulary: 300, block: 64)
        #expect(try folder.bytes("a") == bytes)
        #expect(bytes.count == 128 + 200 + 4 * 4 + 4)
    }

    /// What a sound checksum covers can still be wrong.
    @Test func impossibleHeadersAreRefused() throws {
        let folder = try TestFolder()
        let make = TokenShardTests.handmade
        let tokens: [UInt16] = [1, 2, 3]
        let cases: [([UInt8], String)] = [
            (
                make(tokens, 300, 64, "MURMTOK\r", 1, 2, 0, nil),
                "first bytes: expected a token shard"
            ),
            (
                make(tokens, 300, 64, "MURMTOK\n", 3, 2, 0, nil),
                "version: expected 1 to 2, found 3"
            ),
            (make(tokens, 300, 64, "MURMTOK\n", 1, 4, 0, nil), "token width: expected 2, found 4"),
            (make(tokens, 300, 64, "MURMTOK\n", 1, 2, 1, nil), "reserved bytes: expected zeros"),
            (make(tokens, 0, 64, "MURMTOK\n", 1, 2, 0, nil), "vocabulary: expected"),
            (make(tokens, 1 << 31, 64, "MURMTOK\n", 1, 2, 0, nil), "vocabulary: expected"),
            (make(tokens, 300, 62, "MURMTOK\n", 1, 2, 0, nil), "block size: expected"),
            (make([], 300, 64, "MURMTOK\n", 1, 2, 0, nil), "tokens: expected at least 1, found 0"),
            (make(tokens, 300, 64, "MURMTOK\n", 1, 2, 0, 4), "size: expected"),
            (make(tokens, 300, 64, "MURMTOK\n", 1, 2, 0, UInt64.max), "tokens: expected fewer"),
            (make(tokens, 300, 64, "MURMTOK\n", 1, 2, 0, 1 << 47), "size: expected"),
        ]
        for (bytes, expected) in cases {
            let path = try folder.write("bad", bytes)
            let error = datasetError { _ = try TokenStream(paths: [path]) }
            #expect(error?.kind == .corrupt)
            #expect(error?.message.hasPrefix(path) == true)
            #expect(error?.message.contains(expected) == true, "\(error?.message ?? expected)")
        }
    }

    @Test func aTokenBeyondTheVocabularyIsNamed() throws {
        let folder = try TestFolder()
        var tokens = (0..<100).map { UInt16($0) }
        tokens[70] = 65_535
        let path = try folder.write(
            "bad", TokenShardTests.handmade(tokens: tokens, vocabulary: 300, block: 64))
        let stream = try TokenStream(paths: [path])
        var part = [Int32](repeating: 0, count: 10)
        try stream.copy(0..<10, into: &part)
        let error = datasetError { try stream.copy(65..<75, into: &part) }
        #expect(error?.kind == .tokenOutOfRange)
        #expect(
            error?.message
                == "\(path): token 70 at offset 268: expected an id below the vocabulary of 300, "
                + "found 65535")
    }

    @Test func everyFlippedBitIsFound() throws {
        let folder = try TestFolder()
        let tokens = (0..<150).map { Int32($0 * 7 % 100) }
        let sound = try Data(
            contentsOf: URL(fileURLWithPath: folder.shard("sound", tokens, vocabulary: 100)))
        let path = folder.file("flipped")
        for bit in 0..<8 * sound.count {
            var bytes = Array(sound)
            bytes[bit / 8] ^= 1 << (bit % 8)
            try folder.write("flipped", bytes)
            let error = datasetError { _ = try TokenStream(paths: [path]).all() }
            if error?.kind != .corrupt || error?.message.hasPrefix(path) != true {
                Issue.record("bit \(bit): \(String(describing: error))")
            }
        }
        try folder.write("flipped", Array(sound))
        #expect(try TokenStream(paths: [path]).all() == tokens)
    }

    @Test func everyOtherLengthIsRefusedWhenOpened() throws {
        let folder = try TestFolder()
        let tokens = (0..<150).map { Int32($0 % 100) }
        let sound = Array(
            try Data(
                contentsOf: URL(fileURLWithPath: folder.shard("sound", tokens, vocabulary: 100))))
        for length in Array(0..<sound.count) + [sound.count + 1, sound.count + 4096] {
            let bytes = Array((sound + [UInt8](repeating: 0, count: 4096))[..<length])
            let path = try folder.write("cut", bytes)
            let error = datasetError { _ = try TokenStream(paths: [path]) }
            if error?.kind != .corrupt || error?.message.contains("size: expected") != true {
                Issue.record("length \(length): \(String(describing: error))")
            }
        }
    }

    @Test func aShardCutWhileInUseIsAnErrorAndNoCrash() throws {
        let folder = try TestFolder()
        let path = try folder.shard("a", [Int32](repeating: 1, count: 500), vocabulary: 10)
        let stream = try TokenStream(paths: [path])
        _ = try stream.all()
        let bytes = try folder.bytes("a")
        try folder.write("a", Array(bytes[..<200]))
        #expect(datasetError { _ = try stream.all() }?.kind == .corrupt)
        try FileManager.default.removeItem(atPath: path)
        #expect(datasetError { _ = try stream.all() }?.kind == .missing)
    }

    @Test func theProblemsOfAllShardsAreListed() throws {
        let folder = try TestFolder()
        let tokens = [Int32](repeating: 1, count: 50)
        var paths = [try folder.shard("0", tokens, vocabulary: 100)]
        paths.append(try folder.write("1", Array(folder.bytes("0").dropLast())))
        paths.append(folder.file("2-missing"))
        paths.append(try folder.shard("3", tokens, vocabulary: 101))
        paths.append(
            try folder.shard(
                "4", tokens, vocabulary: 100, digest: [UInt8](repeating: 8, count: 32)))
        paths.append(try folder.shard("5", tokens, vocabulary: 100))
        paths.append(try folder.write("6-empty", [UInt8]()))
        paths.append(folder.path)
        let error = datasetError { _ = try TokenStream(paths: paths) }
        let problems = error?.problems ?? []
        #expect(problems.count == 6, "\(problems)")
        for (problem, path) in zip(problems, [1, 2, 3, 4, 6, 7].map { paths[$0] }) {
            #expect(problem.hasPrefix(path) && problem.contains("expected"), "\(problem)")
        }
        #expect(error?.message.contains("found 6 problems") == true)
    }

    @Test func nothingAppearsBeforeTheEnd() throws {
        let folder = try TestFolder()
        do {
            var writer = try TokenShardWriter(
                path: folder.file("a"), vocabularySize: 10,
                tokenizerDigest: [UInt8](repeating: 0, count: 32))
            try writer.append([1, 2, 3])
            #expect(writer.tokenCount == 3)
            #expect(try !folder.names().contains("a"))
        }
        #expect(try folder.names().isEmpty)
    }
}
