import Datasets
import Foundation
import Testing

private func little(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

@Suite struct ForeignTokensTests {
    private static let vocabulary = ForeignVocabulary(
        size: 1000, tokenizerDigest: [UInt8](repeating: 3, count: 32))
    private static let tokens = (0..<3000).map { Int32($0 * 7 % 1000) }

    private func stream(_ path: String) throws -> TokenStream {
        try TokenStream(paths: [path], vocabulary: Self.vocabulary)
    }

    @Test func nanoGPTIsSixteenBitsAToken() throws {
        let folder = try TestFolder()
        let path = try folder.write("train.bin", Self.tokens.flatMap { little(UInt16($0)) })
        let stream = try stream(path)
        #expect(try stream.all() == Self.tokens)
        #expect(stream.documentCount == nil && stream.vocabularySize == 1000)
        try folder.write("odd.bin", [1, 2, 3])
        #expect(datasetError { _ = try self.stream(folder.file("odd.bin")) }?.kind == .corrupt)
        try folder.write("empty.bin", [UInt8]())
        #expect(datasetError { _ = try self.stream(folder.file("empty.bin")) }?.kind == .corrupt)
        // Without a tokenizer nobody knows what the numbers are.
        #expect(datasetError { _ = try TokenStream(paths: [path]) }?.kind == .corrupt)
    }

    @Test(arguments: [(20_240_520, 1, 2), (20_240_801, 7, 4)])
    func llmcHasAHeader(magic: Int, version: Int, width: Int) throws {
        let folder = try TestFolder()
        func bytes(version: Int, count: Int) -> [UInt8] {
            var header =
                little(UInt32(magic)) + little(UInt32(version)) + little(UInt32(count))
            header += [UInt8](repeating: 0, count: 1024 - header.count)
            return header
                + Self.tokens.flatMap { width == 2 ? little(UInt16($0)) : little(UInt32($0)) }
        }
        let path = try folder.write("a.bin", bytes(version: version, count: Self.tokens.count))
        #expect(try stream(path).all() == Self.tokens)
        for faulty in [
            bytes(version: version + 1, count: Self.tokens.count),
            bytes(version: version, count: Self.tokens.count + 1),
        ] {
            try folder.write("a.bin", faulty)
            #expect(datasetError { _ = try self.stream(path) }?.kind == .corrupt)
        }
    }

    /// As `IndexedDatasetBuilder` writes it.
    private func megatron(
        lengths: [Int], code: UInt8 = 8, pointers: [Int]? = nil, documents: Int? = nil
    ) -> [UInt8] {
        let starts = lengths.indices.map { lengths[..<$0].reduce(0, +) * 2 }
        var bytes = Array("MMIDIDX\0\0".utf8) + little(UInt64(1)) + [code]
        bytes += little(UInt64(lengths.count)) + little(UInt64(documents ?? lengths.count + 1))
        bytes += lengths.flatMap { little(Int32($0)) }
        bytes += (pointers ?? starts).flatMap { little(Int64($0)) }
        bytes += (0...lengths.count).flatMap { little(Int64($0)) }
        return bytes
    }

    @Test func megatronTellsWhereDocumentsAre() throws {
        let folder = try TestFolder()
        let path = try folder.write("text.bin", Self.tokens.flatMap { little(UInt16($0)) })
        try folder.write("text.idx", megatron(lengths: [1000, 1, 1999]))
        let stream = try stream(path)
        #expect(try stream.all() == Self.tokens)
        #expect(try stream.documentBounds(of: 0..<3) == [0, 1000, 1001, 3000])
        let faulty = [
            megatron(lengths: [1000, 1, 1998]), megatron(lengths: [1000, 1, 1999], code: 5),
            megatron(lengths: [1000, 1, 1999], documents: 1 << 60),
            megatron(lengths: [1000, 1, 1999]).dropLast(), [],
            Array("MMIDIDY".utf8) + megatron(lengths: [3000]).dropFirst(7),
        ]
        for bytes in faulty {
            try folder.write("text.idx", Array(bytes))
            let error = datasetError { _ = try self.stream(path) }
            #expect(error?.kind == .corrupt && error?.message.contains("text.idx") == true)
        }
        // What only its own entry shows is found when that is read: starts behind the end and within a token, lengths
        // that contradict the starts.
        let later = [
            megatron(lengths: [1000, 1, 1999], pointers: [0, 5_000_000, 2002]),
            megatron(lengths: [1000, 1, 1999], pointers: [0, 2001, 2002]),
            megatron(lengths: [999, 2, 1999], pointers: [0, 2000, 2002]),
        ]
        for bytes in later {
            try folder.write("text.idx", bytes)
            let error = datasetError { _ = try self.stream(path).documentBounds(of: 0..<3) }
            #expect(error?.kind == .corrupt && error?.message.contains("document ") == true)
        }
    }

    @Test func idsOutsideTheVocabularyAndChangesAreFound() throws {
        let folder = try TestFolder()
        var bytes = Self.tokens.flatMap { little(UInt16($0)) }
        let path = try folder.write("train.bin", bytes)
        let sound = try stream(path)
        #expect(try sound.all() == Self.tokens)
        bytes[2000] ^= 1
        try folder.write("train.bin", bytes)
        #expect(datasetError { _ = try sound.all() }?.message.contains("page") == true)
        bytes[2000] ^= 1
        (bytes[4000], bytes[4001]) = (0xFF, 0xFF)
        try folder.write("train.bin", bytes)
        let error = datasetError { _ = try self.stream(path).all() }
        #expect(error?.kind == .tokenOutOfRange && error?.message.contains("65535") == true)
        bytes[0] ^= 1
        try folder.write("train.bin", bytes)
        #expect(try stream(path).fingerprint != sound.fingerprint)
    }
}
