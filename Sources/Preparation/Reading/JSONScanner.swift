// JSON on bytes (RFC 8259), one value after the other: what nobody asks for is checked and passed over without being
// built.

import Files

/// Reads JSON in a part of an array, which must be UTF-8.
struct JSONScanner {
    private let bytes: [UInt8]
    private let end: Int
    private(set) var position: Int

    /// Arrays and objects within each other; more are refused, as each takes stack.
    static let deepest = 128

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= bytes.count,
            "JSONScanner: expected a range within \(bytes.count) bytes, got \(range)")
        (self.bytes, position, end) = (bytes, range.lowerBound, range.upperBound)
    }

    // MARK: Tokens

    /// The next byte that is no white space; nil at the end.
    mutating func peek() -> UInt8? {
        while position < end {
            let byte = bytes[position]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return byte }
            position += 1
        }
        return nil
    }

    mutating func take(_ byte: UInt8) throws(RecordFault) {
        guard peek() == byte else {
            throw fault("'\(Character(Unicode.Scalar(byte)))'")
        }
        position += 1
    }

    /// Whether `byte` is next; it is taken then.
    mutating func takes(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        position += 1
        return true
    }

    func fault(_ expected: String) -> RecordFault {
        RecordFault(problem: "expected \(expected), found \(found)", position: position)
    }

    private var found: String {
        guard position < end else { return "the end" }
        let byte = bytes[position]
        return (0x21...0x7E).contains(byte)
            ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\([byte].hexadecimal)"
    }

    // MARK: Objects and arrays

    /// Goes through an object's members: `body` is told where the key is, and takes the value.
    ///
    /// A key with an escape is told as bytes of its own.
    mutating func members(
        depth: Int, _ body: (inout JSONScanner, ArraySlice<UInt8>) throws(RecordFault) -> Void
    ) throws(RecordFault) {
        try take(0x7B)
        if takes(0x7D) { return }
        repeat {
            guard peek() == 0x22 else { throw fault("a key in quotation marks") }
            let key = try key()
            try take(0x3A)
            try body(&self, key)
        } while takes(0x2C)
        guard takes(0x7D) else { throw fault("',' or '}'") }
    }

    mutating func elements(
        depth: Int, _ body: (inout JSONScanner) throws(RecordFault) -> Void
    ) throws(RecordFault) {
        try take(0x5B)
        if takes(0x5D) { return }
        repeat { try body(&self) } while takes(0x2C)
        guard takes(0x5D) else { throw fault("',' or ']'") }
    }

    /// Passes over a value, within `depth` others.
    mutating func skip(depth: Int) throws(RecordFault) {
        guard depth <= JSONScanner.deepest else {
            throw RecordFault(
                problem: "expected at most \(JSONScanner.deepest) arrays and objects within each "
                    + "other, found more", position: position)
        }
        switch peek() {
        case 0x22: try skipString()
        case 0x7B:
            try members(depth: depth) { scanner, _ throws(RecordFault) in
                try scanner.skip(depth: depth + 1)
            }
        case 0x5B:
            try elements(depth: depth) { scanner throws(RecordFault) in
                try scanner.skip(depth: depth + 1)
            }
        case 0x74: try word("true")
        case 0x66: try word("false")
        case 0x6E: try word("null")
        case .some(0x2D), .some(0x30...0x39): _ = try number()
        default: throw fault("a value")
        }
    }

    mutating func word(_ word: StaticString) throws(RecordFault) {
        for index in 0..<word.utf8CodeUnitCount {
            let isSame = position < end && bytes[position] == word.utf8Start[index]
            guard isSame else { throw fault("\(word)") }
            position += 1
        }
    }

    // MARK: Numbers

    /// Passes over a number; its value where it is written as an integer and is an `Int`.
    mutating func number() throws(RecordFault) -> Int? {
        let start = position
        let isNegative = position < end && bytes[position] == 0x2D
        if isNegative { position += 1 }
        let first = position
        try digits()
        if bytes[first] == 0x30, position - first > 1 {
            position = first + 1
            throw fault("no digit behind a leading zero")
        }
        let last = position
        if position < end, bytes[position] == 0x2E {
            position += 1
            try digits()
        }
        if position < end, bytes[position] | 0x20 == 0x65 {
            position += 1
            if position < end, bytes[position] == 0x2B || bytes[position] == 0x2D { position += 1 }
            try digits()
        }
        guard position == last else { return nil }
        return Int(String(decoding: bytes[start..<last], as: UTF8.self))
    }

    private mutating func digits() throws(RecordFault) {
        let start = position
        while position < end, (0x30...0x39).contains(bytes[position]) { position += 1 }
        if position == start { throw fault("a digit") }
    }

    // MARK: Strings

    /// The key that is next: a part of the text, or its own bytes where it has escapes.
    private mutating func key() throws(RecordFault) -> ArraySlice<UInt8> {
        let start = position + 1
        let stop = plainEnd(from: start)
        if stop < end, bytes[stop] == 0x22 {
            position = stop + 1
            return bytes[start..<stop]
        }
        return ArraySlice(try string())
    }

    /// The bytes that the string which is next stands for.
    mutating func string() throws(RecordFault) -> [UInt8] {
        position += 1
        var stop = plainEnd(from: position)
        var text = Array(bytes[position..<stop])
        while true {
            position = stop
            guard position < end else { throw fault("a quotation mark") }
            switch bytes[position] {
            case 0x22:
                position += 1
                return text
            case 0x5C: try appendEscape(to: &text)
            default: throw fault("no control character in a string")
            }
            stop = plainEnd(from: position)
            text += bytes[position..<stop]
        }
    }

    private mutating func skipString() throws(RecordFault) {
        position += 1
        while true {
            position = plainEnd(from: position)
            guard position < end else { throw fault("a quotation mark") }
            switch bytes[position] {
            case 0x22:
                position += 1
                return
            case 0x5C: _ = try escape()
            default: throw fault("no control character in a string")
            }
        }
    }

    private mutating func appendEscape(to text: inout [UInt8]) throws(RecordFault) {
        let scalar = try escape()
        if scalar.isASCII {
            text.append(UInt8(truncatingIfNeeded: scalar.value))
        } else {
            text += UTF8.encode(scalar).map(Array.init) ?? []
        }
    }

    /// Takes what begins with a backslash.
    private mutating func escape() throws(RecordFault) -> Unicode.Scalar {
        let start = position
        position += 1
        guard position < end else { throw fault("an escape") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case 0x22, 0x5C, 0x2F: return Unicode.Scalar(byte)
        case 0x62: return "\u{8}"
        case 0x66: return "\u{C}"
        case 0x6E: return "\n"
        case 0x72: return "\r"
        case 0x74: return "\t"
        case 0x75: break
        default:
            position -= 1
            throw fault("an escape of JSON")
        }
        let unit = try hexadecimal()
        if let scalar = Unicode.Scalar(unit) { return scalar }
        // A character of two units (RFC 8259, section 7).
        if unit < 0xDC00, position + 1 < end, bytes[position] == 0x5C, bytes[position + 1] == 0x75 {
            position += 2
            let low = try hexadecimal()
            if (0xDC00...0xDFFF).contains(low),
                let scalar = Unicode.Scalar(0x1_0000 + (unit - 0xD800) << 10 + (low - 0xDC00))
            {
                return scalar
            }
        }
        position = start
        throw RecordFault(
            problem: "expected both surrogates of a character, found one", position: start)
    }

    private mutating func hexadecimal() throws(RecordFault) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < end else { throw fault("4 hexadecimal digits") }
            let digit: UInt8
            switch bytes[position] {
            case let byte where (0x30...0x39).contains(byte): digit = byte - 0x30
            case let byte where (0x41...0x46).contains(byte): digit = byte - 0x41 + 10
            case let byte where (0x61...0x66).contains(byte): digit = byte - 0x61 + 10
            default: throw fault("4 hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }

    /// Where a quotation mark, a backslash or a control character is first, from `start` on; the end where none is.
    private func plainEnd(from start: Int) -> Int {
        bytes.withUnsafeBytes { all in
            var index = start
            let (ones, tops): (UInt64, UInt64) = (0x0101_0101_0101_0101, 0x8080_8080_8080_8080)
            while index + 8 <= end {
                let word = UInt64(
                    littleEndian: all.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                // The top bit of each byte that is sought; above the first there may be others.
                let (quote, slash) = (word ^ ones &* 0x22, word ^ ones &* 0x5C)
                let hits =
                    (word &- ones &* 0x20) & ~word | (quote &- ones) & ~quote
                    | (slash &- ones) & ~slash
                if hits & tops != 0 { return index + (hits & tops).trailingZeroBitCount / 8 }
                index += 8
            }
            while index < end {
                let byte = all[index]
                if byte == 0x22 || byte == 0x5C || byte < 0x20 { break }
                index += 1
            }
            return index
        }
    }
}
