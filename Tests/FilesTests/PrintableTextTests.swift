import Files
import Testing

@Suite struct PrintableTextTests {
    @Test(arguments: [
        ("a/b c-é.txt", "a/b c-é.txt"), ("a\nb", "a\\nb"), ("\r\t", "\\r\\t"),
        ("\u{1B}[2J", "\\u{1b}[2J"), ("\u{85}\u{2028}", "\\u{85}\\u{2028}"),
        ("\u{202E}txt.exe", "\\u{202e}txt.exe"), ("\\n", "\\n"), ("", ""),
    ])
    func controlCharactersAreEscapes(text: String, line: String) {
        #expect(text.printable == line && text.printablePath == line)
        #expect(text.printableMessage == line && line.printableMessage == line)
    }

    /// Whatever a character is made of: bytes count.
    @Test(arguments: [
        String(repeating: "x", count: 200_000), String(repeating: "é", count: 200_000),
        "e" + String(repeating: "\u{301}", count: 200_000), String(repeating: "\u{1}", count: 9000),
    ])
    func longTextIsCut(text: String) {
        for most in [3, 4, 60, 100] {
            let line = text.printable(most: most)
            #expect((most - 8...most).contains(line.utf8.count) && line.unicodeScalars.last == "…")
        }
        #expect(text.printablePath.utf8.count <= 4096)
        // Of a message the end says what to do.
        let message = "\(text): expected less; name another".printableMessage
        #expect(message.utf8.count <= 8192 && message.hasSuffix(": expected less; name another"))
        // The control: what fits is whole.
        #expect("abc".printable(most: 3) == "abc" && "abcd".printable(most: 3) == "…")
    }
}
