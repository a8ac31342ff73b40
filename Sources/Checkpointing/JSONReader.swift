// A strict pull reader for the JSON that safetensors headers and manifests are made of: objects without
// duplicate keys, arrays, strings and non-negative integers. It holds no tree and does not recurse, so
// that neither size nor depth of a hostile text costs more than the block it is read in.

import Files

/// Reads one JSON text from its beginning to its end.
struct JSONReader {
    /// What is being read, for messages: `tensor wte.weight`.
    var context = ""

    private let subject: String
    private let refill: () throws(CheckpointError) -> [UInt8]
    private var block: [UInt8] = []
    var position = 0
    private var bytesBefore = 0

    /// `subject` names the file in messages; `refill` gives the next block, an empty one at the end.
    init(subject: String, refill: @escaping () throws(CheckpointError) -> [UInt8]) {
        (self.subject, self.refill) = (subject, refill)
    }

    init(subject: String, text: [UInt8]) {
        var rest = text
        self.init(subject: subject) { () throws(CheckpointError) -> [UInt8] in
            defer { rest = [] }
            return rest
        }
    }

    func failure(expected: String, found: String) -> CheckpointError {
        let place = context.isEmpty ? "" : "\(context): "
        return CheckpointError(
            .unusable, "\(subject.printablePath): \(place)expected \(expected), found \(found)")
    }

    // MARK: Values

    /// Keys of one object: more than any file has that we know, and some 30 MiB.
    private static let mostKeys = 1 << 18

    /// Reads an object; `member` is called after each key and reads its value.
    mutating func object(
        _ member: (inout JSONReader, String) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        try take(UInt8(ascii: "{"), "an object")
        var keys = Set<String>()
        if try takes(UInt8(ascii: "}")) { return }
        repeat {
            let key = try string(limit: 4096)
            guard keys.count < JSONReader.mostKeys else {
                throw failure(expected: "at most \(JSONReader.mostKeys) keys", found: "more")
            }
            guard keys.insert(key).inserted else {
                throw failure(expected: "every key once", found: "\"\(key.printable)\" twice")
            }
            try take(UInt8(ascii: ":"), "\":\"")
            try member(&self, key)
        } while try takes(UInt8(ascii: ","))
        try take(UInt8(ascii: "}"), "\",\" or \"}\"")
    }

    /// Reads an array; `element` is called for each element and reads it.
    mutating func array(
        _ element: (inout JSONReader) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        try take(UInt8(ascii: "["), "an array")
        if try takes(UInt8(ascii: "]")) { return }
        repeat { try element(&self) } while try takes(UInt8(ascii: ","))
        try take(UInt8(ascii: "]"), "\",\" or \"]\"")
    }

    /// Reads an array of at most `limit` non-negative integers.
    mutating func integers(limit: Int) throws(CheckpointError) -> [Int] {
        var integers: [Int] = []
        try array { (reader) throws(CheckpointError) in
            guard integers.count < limit else {
                throw reader.failure(expected: "at most \(limit) integers", found: "more")
            }
            integers.append(try reader.integer())
        }
        return integers
    }

    /// Reads an integer of 0 ... 2⁶³ − 1, written without sign, fraction and exponent.
    mutating func integer() throws(CheckpointError) -> Int {
        try skipSpace()
        var value = 0
        var digits = 0
        while let byte = try peek(), (0x30...0x39).contains(byte) {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int(byte - 0x30))
            guard !overflow, !carry else {
                throw failure(expected: "an integer below 2^63", found: "a larger one")
            }
            guard digits == 0 || value > 0 else {
                throw failure(expected: "an integer", found: "a leading zero")
            }
            value = sum
            digits += 1
            position += 1
        }
        let next = try peek()
        let isNumber = [".", "e", "E", "-", "+"].contains { $0 == next.map(UnicodeScalar.init) }
        guard digits > 0, !isNumber else {
            throw failure(expected: "a non-negative integer", found: try describeNext())
        }
        return value
    }

    /// Reads a string of at most `limit` bytes of UTF-8.
    mutating func string(limit: Int) throws(CheckpointError) -> String {
        try take(UInt8(ascii: "\""), "a string")
        if let string = plainString(limit: limit) { return string }
        var bytes: [UInt8] = []
        while true {
            switch try next("the end of a string") {
            case UInt8(ascii: "\""):
                guard let string = String(validating: bytes, as: UTF8.self) else {
                    throw failure(expected: "UTF-8", found: "other bytes in a string")
                }
                return string
            case UInt8(ascii: "\\"): bytes.append(contentsOf: try escape())
            case 0..<0x20: throw failure(expected: "an escape", found: "a control character")
            case let byte: bytes.append(byte)
            }
            guard bytes.count <= limit else {
                throw failure(expected: "a string of at most \(limit) bytes", found: "a longer one")
            }
        }
    }

    /// The rest of a string that is what nearly all are: without escapes, and whole in the block. nil, and nothing
    /// read, where it is not.
    private mutating func plainString(limit: Int) -> String? {
        var end = position
        let last = min(block.count, position + limit + 1)
        while end < last, block[end] != UInt8(ascii: "\"") {
            guard block[end] != UInt8(ascii: "\\"), block[end] >= 0x20 else { return nil }
            end += 1
        }
        guard end < last, let string = String(validating: block[position..<end], as: UTF8.self)
        else { return nil }
        position = end + 1
        return string
    }

    /// Checks that nothing but `padding` follows.
    mutating func end(padding: (UInt8) -> Bool) throws(CheckpointError) {
        while let byte = try peek() {
            guard padding(byte) else {
                throw failure(expected: "the end", found: try describeNext())
            }
            position += 1
        }
    }

    // MARK: Characters

    private mutating func escape() throws(CheckpointError) -> [UInt8] {
        switch try next("an escape") {
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "u"):
            var unit = try codeUnit()
            if (0xd800..<0xdc00).contains(unit) {
                try takeNow(UInt8(ascii: "\\"), "a low surrogate")
                try takeNow(UInt8(ascii: "u"), "a low surrogate")
                let low = try codeUnit()
                guard (0xdc00..<0xe000).contains(low) else {
                    throw failure(expected: "a low surrogate", found: "another escape")
                }
                unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = UnicodeScalar(unit) else {
                throw failure(expected: "a Unicode scalar", found: "a lone surrogate")
            }
            return Array(String(scalar).utf8)
        case let byte where byte == 0x22 || byte == 0x5c || byte == 0x2f: return [byte]
        default: throw failure(expected: "an escape of JSON", found: "another")
        }
    }

    private mutating func codeUnit() throws(CheckpointError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            let byte = try next("four hexadecimal digits")
            guard let digit = Character(UnicodeScalar(byte)).hexDigitValue else {
                throw failure(expected: "four hexadecimal digits", found: "another character")
            }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    private mutating func take(_ byte: UInt8, _ expected: String) throws(CheckpointError) {
        try skipSpace()
        try takeNow(byte, expected)
    }

    private mutating func takeNow(_ byte: UInt8, _ expected: String) throws(CheckpointError) {
        guard try peek() == byte else {
            throw failure(expected: expected, found: try describeNext())
        }
        position += 1
    }

    private mutating func takes(_ byte: UInt8) throws(CheckpointError) -> Bool {
        try skipSpace()
        guard try peek() == byte else { return false }
        position += 1
        return true
    }

    private mutating func next(_ expected: String) throws(CheckpointError) -> UInt8 {
        guard let byte = try peek() else { throw failure(expected: expected, found: "the end") }
        position += 1
        return byte
    }

    mutating func skipSpace() throws(CheckpointError) {
        while let byte = try peek(), byte == 0x20 || (0x09...0x0a).contains(byte) || byte == 0x0d {
            position += 1
        }
    }

    mutating func peek() throws(CheckpointError) -> UInt8? {
        if position == block.count {
            bytesBefore += block.count
            (block, position) = (try refill(), 0)
        }
        return position < block.count ? block[position] : nil
    }

    mutating func describeNext() throws(CheckpointError) -> String {
        guard let byte = try peek() else { return "the end" }
        let place = "at byte \(bytesBefore + position)"
        guard (0x21..<0x7f).contains(byte) else {
            return "byte 0x\(String(byte, radix: 16)) \(place)"
        }
        return "\"\(UnicodeScalar(byte))\" \(place)"
    }
}
