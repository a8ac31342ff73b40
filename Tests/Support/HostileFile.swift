/// A file that is no sound safetensors file, and a part of the message it must get.
package struct HostileFile: Sendable {
    package let name: String
    package let bytes: [UInt8]
    package let message: String

    init(
        _ name: String, _ json: String, data: Int = 0, length: UInt64? = nil, _ message: String
    ) {
        (self.name, self.message) = (name, message)
        bytes = HostileFile.file(Array(json.utf8), data: data, length: length)
    }

    init(_ name: String, bytes: [UInt8], _ message: String) {
        (self.name, self.bytes, self.message) = (name, bytes, message)
    }

    /// A header and some bytes after it; the length field can lie.
    package static func file(_ json: [UInt8], data: Int = 0, length: UInt64? = nil) -> [UInt8] {
        let length = length ?? UInt64(json.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + json
            + [UInt8](repeating: 0, count: data)
    }

    static func member(
        _ shape: String, _ offsets: String, type: String = "F32", name: String = "a"
    ) -> String {
        "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
    }

    package static func tensor(
        _ shape: String, _ offsets: String, type: String = "F32", name: String = "a"
    ) -> String {
        "{\(member(shape, offsets, type: type, name: name))}"
    }

    private static func pair(_ first: String, _ second: String, name: String = "b") -> String {
        "{\(member("[1]", first)),\(member("[1]", second, name: name))}"
    }

    private static func manyTensors(_ count: Int) -> [UInt8] {
        var json = Array("{".utf8)
        for index in 0..<count {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            json += member("[0]", "[0,0]", type: "U8", name: "\(index)").utf8
        }
        return json + [UInt8(ascii: "}")]
    }

    package static let all = lengths + structure + numbers + coverage + members + strings

    private static let lengths: [HostileFile] = [
        .init("nothing", bytes: [], "found 0 bytes"),
        .init("length only", bytes: [2, 0, 0, 0, 0, 0, 0, 0], "found 8 bytes"),
        .init("length 0", "{}", length: 0, "found one of 0"),
        .init("length 1", "{}", length: 1, "found one of 1"),
        .init("length beyond the file", "{}", length: 3, "found one of 3"),
        .init("length 2^63", "{}", length: 1 << 63, "found one of 9223372036854775808"),
        .init("length 2^64 - 1", "{}", length: .max, "found one of 18446744073709551615"),
        .init("length 100,000,001", "{}", length: 100_000_001, "found one of 100000001"),
    ]

    private static let structure: [HostileFile] = [
        .init("brace only", "{ ", "expected a string, found the end"),
        .init("space before the brace", " {}", "starts with"),
        .init("array", "[]", "starts with"),
        .init("text after the object", "{}x", "expected the end, found \"x\""),
        .init("NUL after the object", "{}\0", "expected the end, found byte 0x0"),
        .init("newline after the object", "{}\n", "expected the end"),
        .init("trailing comma", "{\(member("[0]", "[0,0]")),}", "expected a string"),
        .init("colon missing", "{\"a\" {}}", "expected \":\""),
        .init(
            "depth 100,000", "{\"a\":" + String(repeating: "[", count: 100_000) + "}",
            "expected an object"),
        .init(
            "depth inside a shape", tensor(String(repeating: "[", count: 100_000), "[0,4]"),
            "non-negative integer"),
        .init("a million tensors", bytes: file(manyTensors(1_000_000)), "at most 100000 tensors"),
    ]

    private static let numbers: [HostileFile] = [
        .init("negative offset", tensor("[1]", "[-4,0]"), "non-negative integer"),
        .init("fractional offset", tensor("[1]", "[0,4.0]"), data: 4, "non-negative integer"),
        .init("exponent", tensor("[1]", "[0,4e0]"), data: 4, "non-negative integer"),
        .init("leading zero", tensor("[01]", "[0,4]"), data: 4, "leading zero"),
        .init("huge offset", tensor("[1]", "[0,99999999999999999999]"), "below 2^63"),
        .init("offset 2^63", tensor("[1]", "[0,9223372036854775808]"), "below 2^63"),
        .init("offset 2^63 - 1", tensor("[1]", "[0,9223372036854775807]"), "expected 4 bytes"),
        .init("reversed offsets", tensor("[1]", "[4,0]"), data: 4, "expected 4 bytes"),
        .init("one offset", tensor("[1]", "[0]"), data: 4, "two data_offsets"),
        .init("three offsets", tensor("[1]", "[0,4,8]"), data: 8, "at most 2 integers"),
        .init("product overflow", tensor("[4294967296,4294967296]", "[0,0]"), "below 2^63"),
        .init("byte overflow", tensor("[2305843009213693952]", "[0,0]"), "below 2^63"),
        .init(
            "overflow hidden by 0", tensor("[4294967296,4294967296,0]", "[0,0]"), "below 2^63"),
        .init(
            "33 axes", tensor("[\(String(repeating: "1,", count: 32))1]", "[0,4]"), data: 4,
            "at most 32 integers"),
        .init(
            "a million axes", tensor("[\(String(repeating: "1,", count: 1_000_000))1]", "[0,4]"),
            data: 4, "at most 32 integers"),
    ]

    private static let coverage: [HostileFile] = [
        .init("another size", tensor("[2]", "[0,4]"), data: 4, "tensor a: expected 8 bytes"),
        .init("hole before", tensor("[1]", "[4,8]"), data: 8, "expected its bytes from 0 on"),
        .init("bytes after", tensor("[1]", "[0,4]"), data: 5, "after the header, found 5"),
        .init("bytes missing", tensor("[1]", "[0,4]"), data: 3, "after the header, found 3"),
        .init("overlap", pair("[0,4]", "[2,6]"), data: 6, "tensor b: expected its bytes from 4"),
        .init("hole", pair("[0,4]", "[5,9]"), data: 9, "tensor b: expected its bytes from 4"),
        .init("the same bytes twice", pair("[0,4]", "[0,4]"), data: 4, "expected its bytes from 4"),
        .init("a name twice", pair("[0,4]", "[4,8]", name: "a"), data: 8, "\"a\" twice"),
        .init(
            "a name twice by an escape", pair("[0,4]", "[4,8]", name: "\\u0061"), data: 8,
            "\"a\" twice"),
    ]

    private static let members: [HostileFile] = [
        .init("key twice", "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\"}}", "\"dtype\" twice"),
        .init("unknown key", "{\"a\":{\"dtype\":\"F32\",\"stride\":[1]}}", "found stride"),
        .init("key missing", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "of them missing"),
        .init("unknown dtype", tensor("[1]", "[0,4]", type: "F12"), data: 4, "found F12"),
        .init("dtype in lower case", tensor("[1]", "[0,4]", type: "f32"), data: 4, "found f32"),
        .init("dtype a number", "{\"a\":{\"dtype\":32}}", "expected a string, found \"3\""),
        .init("shape a string", tensor("\"[1]\"", "[0,4]"), data: 4, "expected an array"),
        .init("shape null", tensor("null", "[0,4]"), data: 4, "expected an array"),
        .init("tensor a number", "{\"a\":1}", "tensor a: expected an object"),
        .init("metadata a list", "{\"__metadata__\":[]}", "__metadata__: expected an object"),
        .init("metadata a number", "{\"__metadata__\":{\"a\":1}}", "expected a string"),
        .init("metadata nested", "{\"__metadata__\":{\"a\":{}}}", "expected a string"),
        .init("metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", "twice"),
    ]

    private static let strings: [HostileFile] = [
        .init("empty name", tensor("[0]", "[0,0]", name: ""), "expected a name"),
        .init("NUL in a name", tensor("[0]", "[0,0]", name: "a\\u0000b"), "expected a name"),
        .init("raw NUL in a name", tensor("[0]", "[0,0]", name: "a\0b"), "control character"),
        .init(
            "a long name", tensor("[0]", "[0,0]", name: String(repeating: "n", count: 5000)),
            "at most 4096 bytes"),
        .init("lone surrogate", tensor("[0]", "[0,0]", name: "\\ud800"), "surrogate"),
        .init("low surrogate", tensor("[0]", "[0,0]", name: "\\udc00"), "surrogate"),
        .init("bad escape", tensor("[0]", "[0,0]", name: "\\x"), "escape of JSON"),
        .init("short escape", tensor("[0]", "[0,0]", name: "\\u12"), "hexadecimal"),
        .init("string without end", "{\"a", "the end of a string"),
        .init(
            "not UTF-8", bytes: file(Array("{\"".utf8) + [0xff, 0xfe] + Array("\":{}}".utf8)),
            "UTF-8"),
        .init(
            "overlong UTF-8",
            bytes: file(Array("{\"".utf8) + [0xc0, 0x80] + Array("\":{}}".utf8)), "UTF-8"),
    ]
}
