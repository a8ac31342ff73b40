// Protocol Buffers' wire format, as much as a model of SentencePiece needs: a message is a list of fields, each a number with
// a value of one of four kinds. Nothing is copied but what a caller takes, and no length is believed before it is checked.

/// The fields of one message, read in turn.
struct WireMessage {
    enum Value {
        case varint(UInt64)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
        case fixed32(UInt32)
    }

    private let bytes: ArraySlice<UInt8>
    private var position: Int
    let file: String
    /// `pieces`; empty for the whole file.
    private let name: String
    private let index: Int?

    init(_ bytes: ArraySlice<UInt8>, file: String, name: String, index: Int? = nil) {
        (self.bytes, self.file, self.name, self.index) = (bytes, file, name, index)
        position = bytes.startIndex
    }

    /// What errors call it: `pieces[3]`.
    private var place: String { index.map { "\(name)[\($0)]" } ?? name }

    func failure(
        _ expected: String, found: String, kind: TokenizerError.Kind = .corrupt
    ) -> TokenizerError {
        TokenizerError(
            kind,
            "\(file): \(place.isEmpty ? "" : "\(place): ")expected \(expected), found \(found)")
    }

    /// The next field; nil behind the last. Messages within begin with `message(_:_:_:)`.
    mutating func next() throws(TokenizerError) -> (number: Int, value: Value)? {
        guard position < bytes.endIndex else { return nil }
        let start = position
        let tag = try varint()
        let number = tag >> 3
        guard 1..<1 << 29 ~= number else {
            throw failure("a field's number", found: "\(number) at byte \(start)")
        }
        let value: Value
        switch tag & 7 {
        case 0: value = .varint(try varint())
        case 1: value = .fixed64(try fixed(8))
        case 2:
            let count = try varint()
            guard count <= UInt64(bytes.endIndex - position) else {
                throw failure(
                    "a field that ends within its message",
                    found: "one of \(count) bytes at byte \(start)")
            }
            value = .bytes(bytes[position..<position + Int(count)])
            position += Int(count)
        case 5: value = .fixed32(UInt32(truncatingIfNeeded: try fixed(4)))
        case let type:
            throw failure("a field of Protocol Buffers", found: "type \(type) at byte \(start)")
        }
        return (Int(number), value)
    }

    private mutating func varint() throws(TokenizerError) -> UInt64 {
        let start = position
        var value: UInt64 = 0
        for shift in stride(from: 0 as UInt64, to: 70, by: 7) {
            guard position < bytes.endIndex else { throw cut(start) }
            let byte = bytes[position]
            position += 1
            guard shift < 63 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw failure("a number of at most 64 bits", found: "a longer one at byte \(start)")
    }

    private mutating func fixed(_ count: Int) throws(TokenizerError) -> UInt64 {
        guard bytes.endIndex - position >= count else { throw cut(position) }
        let value = (0..<count).reduce(0 as UInt64) {
            $0 | UInt64(bytes[position + $1]) << UInt64(8 * $1)
        }
        position += count
        return value
    }

    private func cut(_ start: Int) -> TokenizerError {
        failure("a whole field", found: "the end at byte \(bytes.endIndex), behind byte \(start)")
    }

    // MARK: Values of a kind

    func message(
        _ value: Value, _ name: String, index: Int? = nil
    ) throws(TokenizerError) -> WireMessage {
        WireMessage(try data(value, name), file: file, name: name, index: index)
    }

    func data(_ value: Value, _ name: String) throws(TokenizerError) -> ArraySlice<UInt8> {
        guard case .bytes(let bytes) = value else { throw wrong(value, name, "bytes") }
        return bytes
    }

    /// Text in UTF-8.
    func text(_ value: Value, _ name: String) throws(TokenizerError) -> [UInt8] {
        let text = Array(try data(value, name))
        guard UTF8Text.isValid(text) else {
            throw failure("\(name) in UTF-8", found: "other bytes")
        }
        return text
    }

    /// An `int32` or a number of an enumeration.
    func integer(_ value: Value, _ name: String) throws(TokenizerError) -> Int {
        guard case .varint(let number) = value else { throw wrong(value, name, "a whole number") }
        return Int(Int32(truncatingIfNeeded: number))
    }

    func bool(_ value: Value, _ name: String) throws(TokenizerError) -> Bool {
        guard case .varint(let number) = value else { throw wrong(value, name, "true or false") }
        return number != 0
    }

    func float(_ value: Value, _ name: String) throws(TokenizerError) -> Float {
        guard case .fixed32(let bits) = value else { throw wrong(value, name, "a number") }
        let number = Float(bitPattern: bits)
        guard number.isFinite else {
            throw failure("a finite \(name)", found: "\(number)")
        }
        return number
    }

    private func wrong(_ value: Value, _ name: String, _ expected: String) -> TokenizerError {
        let found =
            switch value {
            case .varint: "a whole number"
            case .fixed64: "8 bytes"
            case .bytes(let bytes): "\(bytes.count) bytes with their length"
            case .fixed32: "4 bytes"
            }
        return failure("\(expected) for \(name)", found: found)
    }
}
