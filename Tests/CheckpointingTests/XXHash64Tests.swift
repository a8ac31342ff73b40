import Checkpointing
import Testing

@Suite struct XXHash64Tests {
    private static let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 131 + 7) }

    /// The digest of the first `count` bytes, given in pieces.
    private func digest(_ count: Int, inPiecesOf length: Int) -> UInt64 {
        var hash = XXHash64()
        var start = 0
        while start < count {
            let piece = Array(Self.bytes[start..<min(count, start + length)])
            let span = piece.span
            hash.update(span.bytes)
            start += length
        }
        return hash.value()
    }

    /// What `xxhash.xxh64` of Python's xxhash 4.1.0 gives.
    @Test(
        arguments: [
            (0, 0xef46_db37_51d8_e999), (1, 0xa96c_7f0c_e858_bbb7), (3, 0xbed4_3740_ee63_32bb),
            (4, 0xfa21_2ae4_4b3b_b23d), (7, 0x2744_460d_d675_d2c0), (8, 0x994b_676b_71ce_94dd),
            (12, 0xb92f_588c_e720_786e), (31, 0x6711_d55e_306b_5d8f), (32, 0x07f7_b8e3_bc5d_6e25),
            (33, 0x09f8_5eeb_4e1c_be9f), (63, 0xb7c9_968c_066c_b6a5), (64, 0x50d4_159a_0411_632e),
            (65, 0xd277_176b_ff86_3efc), (100, 0x9dda_da11_d3dc_2d8f), (255, 0x15a6_db05_d4e8_3df4),
            (1000, 0x0bf0_bdbc_c82e_b373),
        ] as [(Int, UInt64)])
    func knownAnswers(count: Int, expected: UInt64) {
        for length in [1, 3, 31, 32, 33, 100, 1000] {
            #expect(digest(count, inPiecesOf: length) == expected, "pieces of \(length)")
        }
        #expect(digest(count == 0 ? 1 : count - 1, inPiecesOf: 1000) != expected)
    }

    /// A flipped bit anywhere shows.
    @Test func everyBitCounts() {
        var found = Set<UInt64>()
        for count in [5, 40, 67] {
            for bit in 0..<8 * count {
                var damaged = Array(Self.bytes.prefix(count))
                damaged[bit / 8] ^= 1 << UInt8(bit % 8)
                var hash = XXHash64()
                let span = damaged.span
                hash.update(span.bytes)
                found.insert(hash.value())
            }
            #expect(!found.contains(digest(count, inPiecesOf: 1000)))
        }
        #expect(found.count == 8 * (5 + 40 + 67))
    }
}
