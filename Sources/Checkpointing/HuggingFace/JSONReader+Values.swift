// Values of any kind, for files that other programs write: a configuration's scalars, and what is passed
// over. Nesting is bounded, so that no text costs stack.

import Files

/// A member of a JSON object as far as a configuration needs it.
package enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    /// An object or an array, which was passed over.
    case nested

    /// For messages.
    package var text: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let value): Int(exactly: value).map(String.init) ?? "\(value)"
        case .string(let value): "\"\(value.printable)\""
        case .nested: "an object or an array"
        }
    }
}

extension JSONReader {
    private static let mostLevels = 64

    /// Reads a value; objects and arrays are checked and passed over.
    mutating func value() throws(CheckpointError) -> JSONValue {
        try skipSpace()
        switch try peek() {
        case UInt8(ascii: "\""): return .string(try string(limit: 1 << 16))
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            try skipValue(levels: 0)
            return .nested
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): return try word()
        default: return .number(try number())
        }
    }

    private mutating func skipValue(levels: Int) throws(CheckpointError) {
        guard levels < JSONReader.mostLevels else {
            throw failure(expected: "at most \(JSONReader.mostLevels) levels", found: "more")
        }
        try skipSpace()
        switch try peek() {
        case UInt8(ascii: "{"):
            try object { (reader, _) throws(CheckpointError) in
                try reader.skipValue(levels: levels + 1)
            }
        case UInt8(ascii: "["):
            try array { (reader) throws(CheckpointError) in
                try reader.skipValue(levels: levels + 1)
            }
        default: _ = try value()
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

    private mutating func number() throws(CheckpointError) -> Double {
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
        return value
    }
}
