import Files
import Foundation
import Testing

@Suite struct JSONValueTests {
    /// What is written is what another reader finds.
    @Test func whatIsWrittenIsRead() throws {
        let value = JSONValue.object([
            "b": .array([.integer(-3), .number(0.5), .number(1e-12), .null, .bool(true)]),
            "a \"quoted\"\n": .string("é\u{1}\\/"), "": .object([:]),
        ])
        let data = Data(value.json.utf8)
        let read = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(read.keys.sorted() == ["", "a \"quoted\"\n", "b"])
        #expect(read["a \"quoted\"\n"] as? String == "é\u{1}\\/")
        let list = try #require(read["b"] as? [Any])
        #expect(list[0] as? Int == -3 && list[1] as? Double == 0.5 && list[2] as? Double == 1e-12)
        #expect(list[3] is NSNull && list[4] as? Bool == true)
        #expect(!value.json.contains("\n"))
        #expect(
            value.json.hasPrefix("{\"\": {}, \"a "), "keys are in the order of their code points")
    }
}
