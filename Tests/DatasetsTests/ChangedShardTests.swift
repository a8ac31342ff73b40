import Datasets
import Foundation
import Testing

/// Shards whose bytes change while they are in use.
@Suite struct ChangedShardTests {
    /// Three blocks of four pages.
    private let tokens = (0..<24_000).map { Int32($0 % 300) }

    @Test func aPageThatRotsAfterItWasReadIsFound() throws {
        let folder = try TestFolder()
        let path = try folder.shard("a", tokens, vocabulary: 300, blockByteCount: 16_384)
        let stream = try TokenStream(paths: [path])
        #expect(try stream.all() == tokens)
        let sound = try folder.bytes("a")
        // In the second block: its first page, one within, its last; then the last of all.
        for page in [4, 6, 7, 11] {
            var bytes = sound
            bytes[128 + 4096 * page + 77] ^= 1
            try folder.write("a", bytes)
            var part = [Int32](repeating: 0, count: 100)
            for other in 0..<11 where other != page {
                let start = 2048 * other + 900
                try stream.copy(start..<start + 100, into: &part)
                #expect(part == Array(tokens[start..<start + 100]))
            }
            for start in [2048 * page + 60, 2048 * page - 99] {
                let error = datasetError { try stream.copy(start..<start + 100, into: &part) }
                #expect(error?.kind == .corrupt)
                #expect(
                    error?.message.hasPrefix(
                        "\(path): checksum of the page at offset \(128 + 4096 * page): expected ")
                        == true,
                    "\(String(describing: error))")
            }
        }
        try folder.write("a", sound)
        #expect(try stream.all() == tokens)
    }

    /// Sound by its own checksums, and not what the run began with.
    @Test func anotherShardInItsPlaceIsFound() throws {
        let folder = try TestFolder()
        let path = try folder.shard("a", tokens, vocabulary: 300, blockByteCount: 16_384)
        let stream = try TokenStream(paths: [path])
        #expect(try stream.all() == tokens)
        try folder.shard("b", tokens.reversed(), vocabulary: 300, blockByteCount: 16_384)
        try folder.write("a", folder.bytes("b"))
        #expect(datasetError { _ = try stream.all() }?.kind == .corrupt)
    }
}
