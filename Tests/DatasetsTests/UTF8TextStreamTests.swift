import Datasets
import Testing

/// The text of bytes that come in pieces is that of the bytes at once, however they are cut.
@Suite struct UTF8TextStreamTests {
    /// Characters of one to four bytes, and what is none: stray, missing, overlong, surrogates, beyond U+10FFFF.
    private static let texts: [[UInt8]] = [
        Array("aé€😀z".utf8), Array("\u{FFFD}é\u{FFFD}".utf8), Array("👩‍👩‍👧 日本".utf8),
        [0x61, 0x80, 0x62], [0xE2, 0x82], [0xE2, 0x82, 0x41], [0xF0, 0x9F, 0x98, 0xC3, 0xA9],
        [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80, 0x61], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80],
        [0xF0, 0x80, 0x80, 0x80], [0xC0, 0xAF, 0xC3], [0xF0, 0x9F, 0x98], [0xFF, 0xFE, 0xF1, 0x80],
    ]

    @Test(arguments: texts) func everyCutGivesTheText(bytes: [UInt8]) {
        let whole = Array(String(decoding: bytes, as: UTF8.self).utf8)
        for cuts in 0..<(1 << min(bytes.count - 1, 12)) {
            var (stream, text, piece) = (UTF8TextStream(), "", [UInt8]())
            for (index, byte) in bytes.enumerated() {
                piece.append(byte)
                guard cuts >> index & 1 == 1 else { continue }
                text += stream.append(piece)
                piece = []
            }
            text += stream.append(piece) + stream.finish()
            #expect(Array(text.utf8) == whole, "\(bytes) cut at \(cuts)")
        }
    }

    /// Nothing is held that cannot become a character, and nothing is given that still can.
    @Test func bytesAreHeldAsLongAsTheyMayBecomeACharacter() {
        func pieces(_ bytes: [UInt8]) -> [String] {
            var stream = UTF8TextStream()
            return bytes.map { stream.append([$0]) } + [stream.finish()]
        }
        #expect(pieces([0xF0, 0x9F, 0x98, 0x80]) == ["", "", "", "😀", ""])
        #expect(pieces([0xF0, 0x9F, 0x98]) == ["", "", "", "\u{FFFD}"])
        #expect(pieces([0x80, 0x61]) == ["\u{FFFD}", "a", ""])
        #expect(pieces([0xE2, 0x82, 0xC3, 0xA9]) == ["", "", "\u{FFFD}", "é", ""])
        #expect(pieces([0xED, 0xA0]) == ["", "\u{FFFD}\u{FFFD}", ""])
        #expect(pieces(Array("\u{FFFD}".utf8)) == ["", "", "\u{FFFD}", ""])
    }
}
