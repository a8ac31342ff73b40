// Values of any kind, for files that other programs write: a configuration's members, and what is passed
// over. Nesting is bounded, so that no text costs stack.

import Files

extension JSONReader {
    private static let mostLevels = 64

    /// Reads a value of a text that is small enough to be held.
    mutating func value() throws(CheckpointError) -> JSONValue { try value(levels: 0) }

    private mutating func value(levels: Int) throws(CheckpointError) -> JSONValue {
        try skipSpace()
        switch try peek() {
        case UInt8(ascii: "\""): return .string(try string(limit: 1 << 16))
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): return try word()
        case UInt8(ascii: "{"):
            try checkDepth(levels)
            var members: [String: JSONValue] = [:]
            try object { (reader, key) throws(CheckpointError) in
                members[key] = try reader.value(levels: levels + 1)
            }
            return .object(members)
        case UInt8(ascii: "["):
            try checkDepth(levels)
            var values: [JSONValue] = []
            try array { (reader) throws(CheckpointError) in
                values.append(try reader.value(levels: levels + 1))
            }
            return .array(values)
        default: return try number()
        }
    }

    /// Passes over a value, which is checked and not held.
    mutating func skipValue(levels: Int = 0) throws(CheckpointError) {
        try skipSpace()
        switch try peek() {
        case UInt8(ascii: "{"):
            try checkDepth(levels)
            try object { (reader, _) throws(CheckpointError) in
                try reader.skipValue(levels: levels + 1)
            }
        case UInt8(ascii: "["):
            try checkDepth(levels)
            try array { (reader) throws(CheckpointError) in
                try reader.skipValue(levels: levels + 1)
            }
        default: _ = try value(levels: levels)
        }
    }

    private func checkDepth(_ levels: Int) throws(CheckpointError) {
        guard levels < JSONReader.mostLevels else {
            throw failure(expected: "at most \(JSONReader.mostLevels) levels", found: "more")
        }
    }

    private mutating func word() throws(CheckpointError) -> JSONValue {
        var letters: [UInt8] = []
        while let byte = try peek(), (0x61...0x7a).contains(byte), letters.count < 6 {
            letters.append(byte)
            position += 1
        }
        switch String(decoding: letters, as: UTF8.self) {
        case "true": return .bool(true)
        case "false": return .bool(false)
        case "null": return .null
        case let other: throw failure(expected: "a value of JSON", found: other)
        }
    }

    private mutating func number() throws(CheckpointError) -> JSONValue {
        var text = ""
        while let byte = try peek(), "0123456789+-.eE".utf8.contains(byte), text.utf8.count < 64 {
            text.unicodeScalars.append(UnicodeScalar(byte))
            position += 1
        }
        guard text.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/) != nil,
            let value = Double(text), value.isFinite
        else {
            let found = text.isEmpty ? try describeNext() : text
            throw failure(expected: "a value of JSON", found: found)
        }
        return Int(text).map { .integer($0) } ?? .number(value)
    }
}
