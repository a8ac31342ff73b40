import Testing
import Tokenizers

/// Encodings as lines, and blocks of lines on several threads.
@Suite struct LineTests {
    private static func special(_ name: String) -> String {
        #"{"SpecialToken": {"id": "\#(name)", "type_id": 0}}"#
    }

    private static let a = #"{"Sequence": {"id": "A", "type_id": 0}}"#

    private static func template(_ pieces: [String]) -> String {
        """
        {"type": "TemplateProcessing", "single": [\(pieces.joined(separator: ", "))], \
        "pair": [\(a), {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": { \
        "<s>": {"id": "<s>", "ids": [258], "tokens": ["<s>"]}, \
        "<e>": {"id": "<e>", "ids": [259, 260], "tokens": ["<e>", "<f>"]}}}
        """
    }

    private static let processors = [
        "null", template([special("<s>"), a, special("<e>")]), template([a, special("<s>")]),
        // No one place for a text: its tokens twice, or not at all.
        template([a, special("<s>"), a]), template([special("<s>")]),
        #"{"type": "RobertaProcessing", "sep": ["<e>", 259], "cls": ["<s>", 258], "trim_offsets": true, "add_prefix_space": false}"#,
        #"{"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}, "#
            + template([special("<s>"), a]) + "]}",
    ]

    private static let truncations = [
        "null",
        #"{"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}"#,
    ]

    /// The numbers of a line are those of the encoding with all its columns, by whatever way they were made.
    @Test(arguments: processors, truncations)
    func aLineHasTheTokensOfItsEncoding(processor: String, truncation: String) throws {
        var file = TokenizerText.byteLevel(merges: [("l", "o"), ("lo", "w")])
        file.addedTokens = ["<s>", "<e>", "<f>"].enumerated().map {
            TokenizerText.added(258 + $0.offset, $0.element)
        }
        (file.postProcessor, file.truncation) = (processor, truncation)
        let encoder = TextEncoder(try file.pipeline())
        var texts: [[UInt8]] = ["", "low", "slow<s> lows", "é\n"].map { Array($0.utf8) }
        texts.append([0x6C, 0xFF, 0x6F])
        for text in texts {
            for addsSpecials in [true, false] {
                let expected = try encoder.encoding(
                    of: text, addsSpecials: addsSpecials, isAligned: true
                ).identifiers
                var line: [UInt8] = []
                try encoder.appendLine(
                    of: text.span, addsSpecials: addsSpecials, as: .numbers, to: &line)
                let numbers = expected.map { "\($0)" }.joined(separator: " ")
                #expect(String(decoding: line, as: UTF8.self) == numbers + "\n")
            }
        }
        for isAligned in [false, true] {
            let low = texts[1]
            let count = try encoder.tokenCount(of: low.span, isAligned: isAligned)
            #expect(count == 1)
        }
    }

    /// What stands before a document is what the template puts before a text, or before the first of several.
    @Test func theHeadIsWhatComesBeforeTheText() throws {
        let twice = Self.template([Self.special("<s>"), Self.a, Self.a])
        let heads: [[Int32]] = [[], [258], [], [], [258], [258], [258], [258]]
        for (processor, head) in zip(Self.processors + [twice], heads) {
            var file = TokenizerText.byteLevel(merges: [("l", "o"), ("lo", "w")])
            file.addedTokens = ["<s>", "<e>", "<f>"].enumerated().map {
                TokenizerText.added(258 + $0.offset, $0.element)
            }
            file.postProcessor = processor
            #expect(try file.pipeline().templateHead == head, "\(processor)")
        }
    }

    /// Lengths of lines from none to some hundred bytes.
    private static func block(endsLine: Bool) -> [UInt8] {
        var dice = Dice(5)
        var lines: [String] = []
        for index in 0..<300 {
            lines.append(
                "\(index)"
                    + String(
                        repeating: "x", count: Int(dice.next() % 9 == 0 ? dice.next() % 800 : 0)))
        }
        lines[17] = ""
        return Array((lines.joined(separator: "\n") + (endsLine ? "\n" : "")).utf8)
    }

    @Test(arguments: [1, 2, 5], [true, false])
    func linesComeInTheirOrder(threads: Int, endsLine: Bool) throws {
        let batch = BatchEncoder(try TokenizerText.byteLevel().pipeline(), threads: threads)
        let block = Self.block(endsLine: endsLine)
        var count = 40
        let parts = batch.reduceLines(of: block, linesBefore: &count, from: [UInt8]()) {
            (_, line, output) throws(TokenizerError) in
            for index in line.indices { output.append(line[index]) }
            output.append(0x0A)
        }.outputs
        #expect(count == 340)
        #expect(Array(parts.joined()) == (endsLine ? block : block + [0x0A]))
        #expect(threads == 1 || parts.count > 1, "no more than one part")
        var none = 0
        let nothing = batch.reduceLines(of: [], linesBefore: &none, from: 0) {
            (_, _, lines) throws(TokenizerError) in lines += 1
        }
        #expect(nothing.outputs.reduce(0, +) == 0 && none == 0)
    }

    @Test(arguments: [1, 3])
    func anErrorNamesItsLineAndLinesBeforeItCome(threads: Int) throws {
        let batch = BatchEncoder(try TokenizerText.byteLevel().pipeline(), threads: threads)
        var count = 1000
        let result = batch.reduceLines(of: Self.block(endsLine: true), linesBefore: &count, from: 0)
        {
            (_, line, lines) throws(TokenizerError) in
            guard line.count < 3 || line[0] != UInt8(ascii: "2") || line[1] != UInt8(ascii: "5")
            else {
                throw TokenizerError(.corrupt, "text: expected none, found one")
            }
            lines += 1
        }
        // The first that has one is the 250th behind line 0; a short one, 25, has none.
        let message = try #require(result.error).message
        #expect(message.contains("line 1251"), "\(message)")
        #expect(result.outputs.reduce(0, +) == 250)
    }

    /// Lines that padding makes long go by in smaller batches, and are the same.
    @Test func paddedLinesGoByInBatches() throws {
        var file = TokenizerText.byteLevel()
        let plain = BatchEncoder(try file.pipeline(), threads: 2)
        file.padding = """
            {"strategy": {"Fixed": 65536}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, \
            "pad_type_id": 0, "pad_token": "!"}
            """
        let padded = BatchEncoder(try file.pipeline(), threads: 2)
        for endsLine in [true, false] {
            let block = Self.block(endsLine: endsLine)
            #expect(plain.batches(of: block) == [0..<block.count])
            let batches = padded.batches(of: block)
            #expect(batches.count == 300 / 16 + 1)
            #expect(batches.flatMap { Array(block[$0]) } == block)
            #expect(batches.dropLast().allSatisfy { block[$0.upperBound - 1] == 0x0A })
        }
    }
}
