import Datasets
import Preparation
import Testing

@Suite struct ReadingRecordsTests {
    private static func read(
        _ text: String, _ kind: RecordKind = .text,
        _ change: (inout ReadingOptions) -> Void = { _ in }
    ) throws -> Reading {
        try Reading(text, as: "file.jsonl") {
            $0.fields.kind = kind
            change(&$0)
        }
    }

    @Test func aTextIsFoundAmongOtherKeys() throws {
        let reading = try Self.read(
            #"""
            {"id": [1, {"text": "no"}, -0.5e+3], "text": "a\"\\\/\b\f\n\r\té\ud834\udd1e", "url": "http://a"}

             {"t\u0065xt":"b","x":null,"y":true,"z":{}} 
            {"text":"first","text":"last"}
            {"text":""}
            {"text":null}
            """#)
        #expect(reading.texts == ["a\"\\/\u{8}\u{C}\n\r\té𝄞", "b", "last"])
        #expect(reading.documents.map(\.address) == ["http://a", nil, nil])
        #expect(reading.counts[.empty] == 2)
        #expect(reading.documents.map(\.number) == [0, 1, 2])
    }

    static let broken: [(line: String, words: String)] = [
        (#"{"text":"a"#, "expected a quotation mark, found the end"),
        (#"{"text":"a" "#, "',' or '}'"), (#"{"text":"a"} x"#, "the end of the line"),
        (#"{"text":"\x"}"#, "an escape of JSON, found 'x'"), (#"{"text":"\u12g4"}"#, "hexadecimal"),
        (#"{"text":"\ud800"}"#, "both surrogates"),
        (#"{"text":"\udc00\ud800"}"#, "both surrogates"),
        (#"{"text":"\ud800\ud800"}"#, "both surrogates"),
        (#"{"x":"\udc00","text":""}"#, "both surrogates"),
        ("{\"text\":\"a\tb\"}", "control character"), (#"{"text":01}"#, "leading zero"),
        (#"{"text":-}"#, "a digit"), (#"{"text":1.}"#, "a digit"), (#"{"text":truth}"#, "true"),
        (#"{"text":"a",}"#, "a key"), (#"{text:"a"}"#, "a key"), ("[1,2]", "an object"),
        ("\\", "an object"),
        (#"{"text":["a"]}"#, "expected a text under \"text\", found an array"),
        (#"{"body":"a","n":1}"#, "expected \"text\", found none; the object has \"body\", \"n\""),
        ("{\"text\":\"a\"", "found the end"), ("{", "a key"), (#"{"text""#, "':'"),
        (#"{"text":"#, "a value"),
    ]

    @Test(arguments: broken)
    func brokenRecordsAreNamedByTheirLine(line: String, words: String) throws {
        expectProblem("file.jsonl: line 3", words) {
            _ = try Self.read("{\"text\":\"a\"}\n\n\(line)\n")
        }
        let dropped = try Self.read("\(line)\n{\"text\":\"b\"}\n") { $0.malformed = .drop }
        #expect(dropped.texts == ["b"] && dropped.counts[.malformed] == 1)
    }

    /// Any byte changed or left out gives documents or an error, and never a trap.
    @Test func hostileBytesDoNoHarm() throws {
        let line = Array(
            #"{"messages":[{"role":"user","content":"\u00e9\ud834\udd1e"},{"role":"gpt","content":"b"}],"n":-1.5e3}"#
                .utf8)
        for index in line.indices {
            for byte: UInt8 in [0, 0x22, 0x5C, 0x5B, 0x80] {
                var bytes = line
                bytes[index] = byte
                for text in [bytes, Array(line[..<index])] {
                    let reading = try Reading(text, as: "a.json") {
                        ($0.fields.kind, $0.malformed, $0.invalid) = (.conversations, .drop, .drop)
                    }
                    #expect(reading.documents.count <= 1)
                }
            }
        }
    }

    @Test func depthIsBounded() throws {
        func nested(_ depth: Int) -> String {
            #"{"x":"# + String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
                + #","text":"a"}"#
        }
        #expect(try Self.read(nested(100)).texts == ["a"])
        expectProblem("line 1", "at most 128") { _ = try Self.read(nested(1_000_000)) }
        let keys = String(repeating: #"{"a":"#, count: 200_000)
        expectProblem("line 1", "at most 128") { _ = try Self.read(keys) }
    }

    @Test func labelsAreNumbersOrNames() throws {
        let text = #"""
            {"text":"a","label":2}
            {"text":"b","label":"good"}
            {"text":"c","label":"1"}
            """#
        let names = ["bad", "good", "so-so"]
        let reading = try Self.read(text, .labelled) { $0.fields.classNames = names }
        #expect(reading.documents.map(\.label) == [2, 1, 1])
        expectProblem("line 2", "a whole number from 0, found \"good\"") {
            _ = try Self.read(text, .labelled)
        }
        for label in ["-1", "3", "1.5", "true", "\"none\"", "99999999999999999999"] {
            expectProblem("line 1", "one of 3 classes") {
                _ = try Self.read("{\"text\":\"a\",\"label\":\(label)}", .labelled) {
                    $0.fields.classNames = names
                }
            }
        }
    }

    @Test func pairsHaveNamesOfTheirOwn() throws {
        let reading = try Self.read(#"{"en":"a","de":"b"}"#, .pairs) {
            ($0.fields.source, $0.fields.target) = ("en", "de")
        }
        #expect(reading.parts == [["source: a", "target: b"]])
    }

    @Test func conversationsBecomePromptsAndResponses() throws {
        let text = #"""
            {"messages":[{"role":"system","content":"S"},{"role":"user","content":"U"},{"role":"assistant","content":"A"},{"role":"user","content":"V"},{"content":"B","role":"gpt","x":[]},{"role":"user","content":"W"}]}
            {"prompt":"P","response":"R"}
            {"messages":[{"role":"user","content":"U"}]}
            {"messages":[]}
            """#
        let plain = try Self.read(text, .conversations)
        #expect(
            plain.parts == [
                ["prompt: S\nU\n", "response: A", "prompt: \nV\n", "response: B"],
                ["prompt: P\n", "response: R"],
            ])
        #expect(plain.counts[.unanswered] == 1 && plain.counts[.empty] == 1)
        let marked = try Self.read(text, .conversations) { $0.template = .chatml }
        let (start, end) = ("<|im_start|>", "<|im_end|>\n")
        #expect(
            marked.parts == [
                [
                    "prompt: \(start)system\nS\(end)\(start)user\nU\(end)\(start)assistant\n",
                    "response: A\(end)", "prompt: \(start)user\nV\(end)\(start)assistant\n",
                    "response: B\(end)",
                ],
                ["prompt: \(start)user\nP\(end)\(start)assistant\n", "response: R\(end)"],
            ])
        expectProblem("line 1, byte 14: expected a message with \"role\" and \"content\"") {
            _ = try Self.read(#"{"messages":[{"from":"user","value":"U"}]}"#, .conversations)
        }
    }

    @Test func preferencesHaveTwoAnswers() throws {
        let text = #"""
            {"prompt":"P","chosen":"C","rejected":"R"}
            {"chosen":[{"role":"user","content":"P"},{"role":"assistant","content":"C"}],"rejected":[{"role":"user","content":"P"},{"role":"assistant","content":"R"}]}
            {"prompt":[{"role":"user","content":"P"}],"chosen":[{"role":"assistant","content":"C"}],"rejected":"R"}
            """#
        let parts = ["prompt: P\n", "chosen: C", "rejected: R"]
        #expect(try Self.read(text, .preferences).parts == [parts, parts, parts])
        let marked = try Self.read(text, .preferences) { $0.template = .chatml }
        #expect(marked.parts[1][1] == "chosen: C<|im_end|>\n")
        #expect(Set(marked.parts).count == 1)
        expectProblem("line 1", "two prompts") {
            _ = try Self.read(
                String(text.split(separator: "\n")[1]).replacing(
                    #""P"}"#, with: #""Q"}"#, maxReplacements: 1),
                .preferences)
        }
        expectProblem("line 1", "expected \"prompt\"") {
            _ = try Self.read(#"{"chosen":"C","rejected":"R"}"#, .preferences)
        }
    }

    @Test func longLinesAreDropped() throws {
        let long = #"{"text":""# + String(repeating: "a", count: 2_000_000) + "\"}\n"
        let text = "{\"text\":\"a\"}\n\(long){\"text\":\"b\"}\n"
        for policy in [LongDocumentPolicy.drop, .split] {
            let reading = try Self.read(text) {
                ($0.long, $0.limits.documentBytes) = (policy, 1_000_000)
            }
            #expect(reading.texts == ["a", "b"] && reading.counts[.tooLong] == 1)
        }
        #expect(try Self.read(text).texts.count == 3)
    }
}
