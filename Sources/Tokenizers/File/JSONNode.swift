// JSON as tokenizers need it. Strings are bytes: Swift's `String` compares by canonical equivalence, under which two
// tokens of a vocabulary may be one. Members keep their order. Nesting is bounded, so that no text costs stack.

import Files

/// A value of JSON.
enum JSONNode: Sendable, Equatable {
    case null
    case bool(Bool)
    /// Written without fraction and exponent, and an `Int`.
    case integer(Int)
    case number(Double)
    /// The same as a file has it: what its digits are to the library, and they themselves.
    case decimal(Double, digits: String)
    case string([UInt8])
    case array([JSONNode])
    case object([Member])

    struct Member: Sendable, Equatable {
        let key: [UInt8]
        var value: JSONNode

        init(_ key: String, _ value: JSONNode) { (self.key, self.value) = (Array(key.utf8), value) }

        init(key: [UInt8], value: JSONNode) { (self.key, self.value) = (key, value) }
    }

    static func string(_ text: String) -> JSONNode { .string(Array(text.utf8)) }

    /// An object of `members`; what is nil is left out.
    static func object(_ members: KeyValuePairs<String, JSONNode?>) -> JSONNode {
        .object(members.compactMap { key, value in value.map { Member(key, $0) } })
    }

    /// The member `key` of an object; the last where there are several, as serde reads maps.
    subscript(key: String) -> JSONNode? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key.elementsEqual(key.utf8) }?.value
    }

    /// For messages.
    var summary: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .decimal(_, let digits): digits
        case .string(let bytes): "\"\(String(decoding: bytes, as: UTF8.self).printable)\""
        case .array(let values): "an array of \(values.count)"
        case .object(let members): "an object of \(members.count) members"
        }
    }

    // MARK: Writing

    /// The value as JSON: objects and arrays of two levels on lines of their own, the rest within lines.
    var bytes: [UInt8] {
        var out: [UInt8] = []
        write(to: &out, indent: 0)
        out.append(0x0A)
        return out
    }

    /// Writes the value as JSON on one line.
    func writeCompact(to out: inout [UInt8]) { write(to: &out, indent: JSONNode.openLevels) }

    private static let openLevels = 3

    private func write(to out: inout [UInt8], indent: Int) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let value): out += (value ? "true" : "false").utf8
        case .integer(let value): out += "\(value)".utf8
        case .decimal(_, let digits): out += digits.utf8
        case .number(let value):
            precondition(value.isFinite, "JSONNode: expected a finite number, got \(value)")
            out += "\(value)".utf8
        case .string(let bytes): JSONNode.quote(bytes, to: &out)
        case .array(let values):
            JSONNode.list("[", "]", values.count, to: &out, indent: indent) { index, out in
                values[index].write(to: &out, indent: indent + 1)
            }
        case .object(let members):
            JSONNode.list("{", "}", members.count, to: &out, indent: indent) { index, out in
                JSONNode.quote(members[index].key, to: &out)
                out += ": ".utf8
                members[index].value.write(to: &out, indent: indent + 1)
            }
        }
    }

    private static func list(
        _ open: String, _ close: String, _ count: Int, to out: inout [UInt8], indent: Int,
        _ element: (Int, inout [UInt8]) -> Void
    ) {
        out += open.utf8
        let isOpen = indent < openLevels && count > 0
        func line(_ level: Int, _ out: inout [UInt8]) {
            guard isOpen else { return }
            out.append(0x0A)
            out += repeatElement(0x20, count: 2 * level)
        }
        for index in 0..<count {
            if index > 0 { out += (isOpen ? "," : ", ").utf8 }
            line(indent + 1, &out)
            element(index, &out)
        }
        line(indent, &out)
        out += close.utf8
    }

    static func quote(_ bytes: [UInt8], to out: inout [UInt8]) {
        out.append(0x22)
        for byte in bytes {
            switch byte {
            case 0x22, 0x5C: out += [0x5C, byte]
            case 0x0A: out += "\\n".utf8
            case 0..<0x20:
                let digits = Array("0123456789abcdef".utf8)
                out += "\\u00".utf8
                out += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        out.append(0x22)
    }
}

extension JSONNode {
    /// Reads one JSON text (RFC 8259); `name` is that of its file in errors.
    init(parsing text: [UInt8], name: String) throws(TokenizerError) {
        var parser = JSONParser(text: text, name: name)
        self = try parser.document()
    }
}

private struct JSONParser {
    private let text: [UInt8]
    private let name: String
    private var position = 0

    /// As serde_json has it.
    private static let mostLevels = 128

    init(text: [UInt8], name: String) { (self.text, self.name) = (text, name) }

    mutating func document() throws(TokenizerError) -> JSONNode {
        if text.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        let node = try value(level: 0)
        skipSpace()
        guard position == text.count else { throw failure("the end") }
        return node
    }

    private func failure(_ expected: String) -> TokenizerError {
        let found: String
        if position >= text.count {
            found = "the end of the file"
        } else if (0x21..<0x7F).contains(text[position]) {
            found = "\"\(UnicodeScalar(text[position]))\" at byte \(position)"
        } else {
            found = "byte 0x\([text[position]].hexadecimal) at byte \(position)"
        }
        return TokenizerError(.corrupt, "\(name): expected \(expected), found \(found)")
    }

    private mutating func skipSpace() {
        while position < text.count {
            switch text[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return
            }
        }
    }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    private mutating func takes(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func value(level: Int) throws(TokenizerError) -> JSONNode {
        guard level < JSONParser.mostLevels else {
            throw failure("at most \(JSONParser.mostLevels) levels")
        }
        skipSpace()
        switch next {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "{"):
            position += 1
            var members: [JSONNode.Member] = []
            skipSpace()
            if takes(UInt8(ascii: "}")) { return .object([]) }
            repeat {
                skipSpace()
                let key = try string()
                skipSpace()
                guard takes(UInt8(ascii: ":")) else { throw failure("\":\"") }
                members.append(.init(key: key, value: try value(level: level + 1)))
                skipSpace()
            } while takes(UInt8(ascii: ","))
            guard takes(UInt8(ascii: "}")) else { throw failure("\",\" or \"}\"") }
            return .object(members)
        case UInt8(ascii: "["):
            position += 1
            var values: [JSONNode] = []
            skipSpace()
            if takes(UInt8(ascii: "]")) { return .array([]) }
            repeat {
                values.append(try value(level: level + 1))
                skipSpace()
            } while takes(UInt8(ascii: ","))
            guard takes(UInt8(ascii: "]")) else { throw failure("\",\" or \"]\"") }
            return .array(values)
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ word: String, _ node: JSONNode) throws(TokenizerError) -> JSONNode
    {
        guard text[position...].starts(with: word.utf8) else { throw failure(word) }
        position += word.utf8.count
        return node
    }

    private mutating func number() throws(TokenizerError) -> JSONNode {
        let start = position
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { 0x30...0x39 ~= $0 } ?? false }
        _ = takes(UInt8(ascii: "-"))
        guard isDigit(next) else {
            position = start
            throw failure("a value")
        }
        if takes(UInt8(ascii: "0")) {
            guard !isDigit(next) else { throw failure("a number without leading zeros") }
        }
        while isDigit(next) { position += 1 }
        var isInteger = true
        if takes(UInt8(ascii: ".")) {
            isInteger = false
            guard isDigit(next) else { throw failure("a digit") }
            while isDigit(next) { position += 1 }
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { position += 1 }
            guard isDigit(next) else { throw failure("a digit") }
            while isDigit(next) { position += 1 }
        }
        let digits = String(decoding: text[start..<position], as: UTF8.self)
        if isInteger, let value = Int(digits) { return .integer(value) }
        guard let value = JSONParser.value(of: text[start..<position]) else {
            throw failure("a finite number")
        }
        return .decimal(value, digits: digits)
    }

    /// The value of a number's digits as serde_json has it: all of them as one whole number, divided by or multiplied with
    /// a power of ten, each step rounded. That is not always the nearest value, and a unit in the last place decides which
    /// of two ways to tell a text is the better one.
    private static func value(of digits: ArraySlice<UInt8>) -> Double? {
        var (significand, exponent, isOverfull, isFraction) = (UInt64(0), 0, false, false)
        var index = digits.startIndex
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative { index += 1 }
        while index < digits.endIndex, digits[index] | 0x20 != UInt8(ascii: "e") {
            defer { index += 1 }
            guard digits[index] != UInt8(ascii: ".") else {
                isFraction = true
                continue
            }
            let (product, overflow) = significand.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digits[index] - 0x30))
            if isOverfull || overflow || carry {
                isOverfull = true
                exponent += isFraction ? 0 : 1
            } else {
                significand = sum
                exponent -= isFraction ? 1 : 0
            }
        }
        if index < digits.endIndex {
            let text = String(decoding: digits[(index + 1)...], as: UTF8.self)
            exponent += max(
                -100_000, min(100_000, Int(text) ?? (text.hasPrefix("-") ? -100_000 : 100_000)))
        }
        var value = Double(significand)
        while exponent < -308, value != 0 {
            value /= 1e308
            exponent += 308
        }
        if value != 0 {
            guard exponent <= 308 else { return nil }
            let power = Double("1e\(abs(exponent))") ?? 1
            value = exponent < 0 ? value / power : value * power
        }
        return value.isFinite ? (isNegative ? -value : value) : nil
    }

    private mutating func string() throws(TokenizerError) -> [UInt8] {
        guard takes(UInt8(ascii: "\"")) else { throw failure("a string") }
        let start = position
        while let byte = next, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20
        {
            position += 1
        }
        var bytes = Array(text[start..<position])
        while true {
            switch next {
            case UInt8(ascii: "\""):
                position += 1
                guard UTF8Text.isValid(bytes) else {
                    throw TokenizerError(
                        .corrupt,
                        "\(name): expected UTF-8, found other bytes before byte \(position)")
                }
                return bytes
            case UInt8(ascii: "\\"):
                position += 1
                try escape(to: &bytes)
            case .some(let byte) where byte >= 0x20:
                bytes.append(byte)
                position += 1
            default: throw failure("the end of a string")
            }
        }
    }

    private mutating func escape(to bytes: inout [UInt8]) throws(TokenizerError) {
        guard let byte = next else { throw failure("an escape") }
        position += 1
        switch byte {
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "b"): bytes.append(0x08)
        case UInt8(ascii: "f"): bytes.append(0x0C)
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "u"):
            var unit = try codeUnit()
            if 0xD800..<0xDC00 ~= unit {
                guard takes(UInt8(ascii: "\\")), takes(UInt8(ascii: "u")) else {
                    throw failure("a low surrogate")
                }
                let low = try codeUnit()
                guard 0xDC00..<0xE000 ~= low else { throw failure("a low surrogate") }
                unit = 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(unit) else { throw failure("no lone surrogate") }
            bytes += String(scalar).utf8
        default: throw failure("an escape of JSON")
        }
    }

    private mutating func codeUnit() throws(TokenizerError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next, let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
                throw failure("four hexadecimal digits")
            }
            unit = unit << 4 | UInt32(digit)
            position += 1
        }
        return unit
    }
}
