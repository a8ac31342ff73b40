// Reading the parts of a tokenizer.json: a value, and where it stands in the file for whoever must mend it.

/// A value of a file with its place.
struct TokenizerPart {
    let node: JSONNode
    /// `model.vocab`
    let place: String
    let file: String

    func failure(
        _ expected: String, kind: TokenizerError.Kind = .corrupt, found: String? = nil
    ) -> TokenizerError {
        TokenizerError(
            kind,
            "\(file): \(place.isEmpty ? "" : "\(place): ")expected \(expected), found "
                + (found ?? node.summary))
    }

    /// A member; one that is null is none.
    func optional(_ key: String) -> TokenizerPart? {
        guard let member = node[key], member != .null else { return nil }
        return TokenizerPart(
            node: member, place: place.isEmpty ? key : "\(place).\(key)", file: file)
    }

    func member(_ key: String) throws(TokenizerError) -> TokenizerPart {
        guard case .object = node else { throw failure("an object") }
        guard let member = optional(key) else {
            throw TokenizerError(
                .corrupt,
                "\(file): \(place.isEmpty ? "" : "\(place): ")expected a member \"\(key)\", found none"
            )
        }
        return member
    }

    /// The elements of a member that is there and an array.
    func list(_ key: String) throws(TokenizerError) -> [TokenizerPart] {
        try TokenizerPart(
            node: node[key] ?? .null, place: place.isEmpty ? key : "\(place).\(key)", file: file
        ).elements
    }

    /// Throws where an object has another member than these.
    func requireMembers(among known: Set<String>) throws(TokenizerError) {
        guard case .object(let members) = node else { throw failure("an object") }
        for member in members {
            let key = String(decoding: member.key, as: UTF8.self)
            guard known.contains(key) else {
                throw TokenizerError(
                    .corrupt,
                    "\(file): \(place.isEmpty ? "" : "\(place): ")expected the members "
                        + "\(known.sorted().joined(separator: ", ")), found \"\(key.printable)\"")
            }
        }
    }

    var elements: [TokenizerPart] {
        get throws(TokenizerError) {
            guard case .array(let values) = node else { throw failure("an array") }
            return values.enumerated().map {
                TokenizerPart(node: $0.element, place: "\(place)[\($0.offset)]", file: file)
            }
        }
    }

    var text: [UInt8] {
        get throws(TokenizerError) {
            guard case .string(let bytes) = node else { throw failure("a string") }
            return bytes
        }
    }

    var string: String { get throws(TokenizerError) { String(decoding: try text, as: UTF8.self) } }

    /// The only character of a string.
    var character: UInt32 {
        get throws(TokenizerError) {
            let scalars = UTF8Text.scalars(of: try text)
            guard scalars.count == 1 else { throw failure("one character") }
            return scalars[0]
        }
    }

    func integer(in range: ClosedRange<Int>) throws(TokenizerError) -> Int {
        guard case .integer(let value) = node, range.contains(value) else {
            throw failure("an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// The number of a token.
    var identifier: Int32 {
        get throws(TokenizerError) {
            Int32(try integer(in: 0...TokenVocabulary.largestIdentifier))
        }
    }

    var number: Double {
        get throws(TokenizerError) {
            switch node {
            case .integer(let value): return Double(value)
            case .number(let value), .decimal(let value, _): return value
            default: throw failure("a number")
            }
        }
    }

    func bool(_ key: String, default value: Bool? = nil) throws(TokenizerError) -> Bool {
        if let value, optional(key) == nil { return value }
        let part = try member(key)
        guard case .bool(let found) = part.node else { throw part.failure("true or false") }
        return found
    }

    func choice<Value: RawRepresentable & CaseIterable>(
        _ type: Value.Type
    ) throws(TokenizerError) -> Value where Value.RawValue == String {
        guard case .string(let bytes) = node,
            let value = Value(rawValue: String(decoding: bytes, as: UTF8.self))
        else { throw failure(Value.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")) }
        return value
    }

    /// The `type` of a part.
    var type: String { get throws(TokenizerError) { try member("type").string } }

    /// Another type than those that are known.
    func unsupported(_ type: String, known: String) -> TokenizerError {
        failure("a type of \(known)", kind: .unsupported, found: "\"\(type.printable)\"")
    }
}
