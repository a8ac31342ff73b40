import Datasets
import Preparation
import Testing

@Suite struct ReadingCataloguesTests {
    static let text = #"""
        # A header
        #, fuzzy
        msgid ""
        msgstr ""
        "Content-Type: text/plain; charset=UTF-8\n"

        #: file.c:1
        msgctxt "menu"
        msgid "Open"
        msgstr "Öffnen"
        #, c-format, fuzzy
        msgid "Guess"
        msgstr "Rat"

        msgid "Two "
        "\"lines\"\n"
        msgstr ""
        "Zwei\t\101\x42\n"
        msgid "%d file"
        msgid_plural "%d files"
        msgstr[0] "%d Datei"
        msgstr[1] "%d Dateien"

        msgid "Nothing"
        msgstr ""

        #, fuzzy
        #~ msgid "Old"
        #~ msgstr "Alt"

        msgid "Last"
        msgstr "Letzte"
        """#

    static let pairs = [
        ["source: Open", "target: Öffnen"], ["source: Two \"lines\"\n", "target: Zwei\tAB\n"],
        ["source: %d file", "target: %d Datei"], ["source: Last", "target: Letzte"],
    ]

    @Test func approvedTranslationsArePairs() throws {
        let reading = try Reading(Packed.gzip(Array(Self.text.utf8)), as: "de.po.gz")
        #expect(reading.parts == Self.pairs)
        #expect(reading.counts[.untranslated] == 3)
        #expect(reading.documents.map(\.number) == [1, 3, 4, 6])
    }

    static let broken: [(line: String, words: String)] = [
        ("msgstr \"a\"", "expected msgid"), ("\"a\"", "expected msgid"),
        ("msgid \"a", "a string of C"), ("msgid \"\\q\"", "a string of C"),
        ("msgid a", "expected a string"),
        ("word \"a\"", "another word"), ("msgid \"a\"\nmsgid \"b\"", "expected msgstr"),
        ("msgid \"\\777\"", "a string of C"),
    ]

    @Test(arguments: broken)
    func faultsAreNamedByTheirLine(line: String, words: String) throws {
        expectProblem("a.po: line", words) { _ = try Reading("# text\n\(line)\n", as: "a.po") }
    }

    /// A binary catalogue, written from the manual's table.
    private static func binary(_ messages: [(String, String)], isLittleEndian: Bool) -> [UInt8] {
        func word(_ value: Int) -> [UInt8] {
            let bytes = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
            return isLittleEndian ? bytes : bytes.reversed()
        }
        let (count, tables) = (messages.count, 28)
        var file =
            word(0x9504_12DE) + word(0) + word(count) + word(tables) + word(tables + 8 * count)
        file += word(0) + word(0)
        var (strings, offset) = ([UInt8](), tables + 16 * count)
        for text in messages.map(\.0) + messages.map(\.1) {
            file += word(text.utf8.count) + word(offset + strings.count)
            strings += Array(text.utf8) + [0]
        }
        offset = 0
        return file + strings
    }

    static let messages = [
        ("", "Content-Type: text/plain\n"), ("%d file\0%d files", "%d Datei\0%d Dateien"),
        ("menu\u{4}Open", "Öffnen"),
    ]

    @Test(arguments: [true, false])
    func binaryCataloguesAreRead(isLittleEndian: Bool) throws {
        let bytes = Self.binary(Self.messages, isLittleEndian: isLittleEndian)
        for packed in [bytes, Packed.gzip(bytes)] {
            let reading = try Reading(packed, as: "de.mo")
            #expect(reading.parts == [Self.pairs[2], Self.pairs[0]])
            #expect(reading.counts[.untranslated] == 1)
        }
    }

    /// Any word of it changed, and any end cut off, gives messages or an error.
    @Test func damagedCataloguesDoNoHarm() throws {
        let bytes = Self.binary(Self.messages, isLittleEndian: true)
        for index in 4..<bytes.count - 20 {
            for value: UInt8 in [0x7F, 0xFF] {
                var damaged = bytes
                damaged[index] = value
                for file in [damaged, Array(bytes[..<index])] {
                    let message = problem {
                        _ = try Reading(file, as: "a.mo") { $0.invalid = .replace }
                    }
                    #expect(message?.contains("damaged") != false)
                }
            }
        }
        expectProblem("a.mo: expected a table of 3 messages at offset 28, found a file of 50 bytes")
        {
            _ = try Reading(Array(bytes[..<50]), as: "a.mo")
        }
    }
}
