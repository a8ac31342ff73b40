import Files

/// A value as the file or `--set` gives it, before anyone knows what its key expects.
package enum ConfigurationValue: Sendable, Equatable {
    case nothing
    case plain(String)
    case quoted(String)
    case list([ConfigurationValue])
    case mapping

    /// How an error names what was found.
    package var found: String {
        switch self {
        case .nothing: "nothing"
        case .plain(let text): text.shortened
        case .quoted(let text): "the text \"\(text.shortened)\""
        case .list(let elements): elements.isEmpty ? "an empty list" : "a list"
        case .mapping: "a mapping"
        }
    }

    /// Names the first element of a list that is refused.
    package func remark(refusing isRefused: (ConfigurationValue) -> Bool) -> String? {
        guard case .list(let elements) = self, let index = elements.firstIndex(where: isRefused)
        else { return nil }
        return "of which element \(index + 1) is \(elements[index].found)"
    }
}

/// How the values of one key are read, written and described.
public struct ValueFormat<Value: Sendable>: Sendable {
    /// Completes "expected …": type and bounds.
    public let expected: String
    /// Nil where the value is of another type or out of bounds.
    package let parse: @Sendable (ConfigurationValue) -> Value?
    /// YAML that `parse` turns into the same value.
    package let text: @Sendable (Value) -> String
    /// Completes "found …" for a value that `parse` refuses, where it needs a word.
    package var remark: @Sendable (ConfigurationValue) -> String?

    package init(
        expected: String, parse: @escaping @Sendable (ConfigurationValue) -> Value?,
        text: @escaping @Sendable (Value) -> String,
        remark: @escaping @Sendable (ConfigurationValue) -> String? = { _ in nil }
    ) {
        (self.expected, self.parse, self.text, self.remark) = (expected, parse, text, remark)
    }
}

extension ValueFormat where Value == Int {
    public static func integer(_ bounds: ClosedRange<Int>) -> Self {
        Self(
            expected: "a whole number from \(bounds.lowerBound) to \(bounds.upperBound)",
            parse: { value in
                guard case .plain(let text) = value, let number = Int(decimal: text) else {
                    return nil
                }
                return bounds.contains(number) ? number : nil
            },
            text: { String($0) })
    }

    public static func powerOfTwo(upTo limit: Int) -> Self {
        let whole = integer(1...limit)
        return Self(
            expected: "a power of two from 1 to \(limit)",
            parse: { value in whole.parse(value).flatMap { $0 & ($0 - 1) == 0 ? $0 : nil } },
            text: whole.text)
    }
}

extension ValueFormat where Value == Bool {
    public static var boolean: Self {
        Self(
            expected: "true or false",
            parse: { value in
                guard case .plain(let text) = value else { return nil }
                return Bool(text)
            },
            text: { String($0) })
    }
}

extension ValueFormat where Value == UInt64 {
    public static var seed: Self {
        let whole = ValueFormat<Int>.integer(0...Int.max)
        return Self(
            expected: whole.expected, parse: { whole.parse($0).map { UInt64($0) } },
            text: { String($0) })
    }
}

extension ValueFormat where Value == Double {
    public enum Bound: Sendable {
        case including(Double)
        case excluding(Double)
    }

    /// A number that stays what it is in Float32, which computations use it in: inside its bounds, and not
    /// so small that precision is lost or nothing is left.
    public static func single(from lower: Bound, to upper: Bound) -> Self {
        let number = number(from: lower, to: upper)
        @Sendable func isKept(_ value: Double) -> Bool {
            let rounded = Float(value)
            if value != 0 && abs(rounded) < .leastNormalMagnitude { return false }
            return number.parse(.plain(Self.text(of: Double(rounded)))) != nil
        }
        return Self(
            expected: number.expected,
            parse: { number.parse($0).flatMap { isKept($0) ? $0 : nil } },
            text: number.text,
            remark: { value in
                number.parse(value).map { number in
                    Float(number).isSubnormal
                        ? "of which Float32 keeps few digits"
                        : "which is \(Float(number)) in Float32"
                }
            })
    }

    public static func number(from lower: Bound, to upper: Bound) -> Self {
        let lowerText =
            switch lower {
            case .including(let bound): "at least \(Self.text(of: bound))"
            case .excluding(let bound): "above \(Self.text(of: bound))"
            }
        let upperText =
            switch upper {
            case .including(let bound): "at most \(Self.text(of: bound))"
            case .excluding(let bound): "below \(Self.text(of: bound))"
            }
        return Self(
            expected: "a number \(lowerText) and \(upperText)",
            parse: { value in
                guard case .plain(let text) = value, let number = Double(decimal: text) else {
                    return nil
                }
                let isAbove =
                    switch lower {
                    case .including(let bound): number >= bound
                    case .excluding(let bound): number > bound
                    }
                let isBelow =
                    switch upper {
                    case .including(let bound): number <= bound
                    case .excluding(let bound): number < bound
                    }
                return isAbove && isBelow ? number : nil
            },
            text: { Self.text(of: $0) })
    }

    /// The shortest decimal that gives the same Double, whole numbers without a fraction.
    private static func text(of number: Double) -> String {
        Int(exactly: number).map(String.init) ?? "\(number)"
    }
}

extension ValueFormat where Value == String {
    public static var text: Self {
        Self(
            expected: "text",
            parse: { value in
                switch value {
                case .plain(let text), .quoted(let text): text.isEmpty ? nil : text
                case .nothing, .list, .mapping: nil
                }
            },
            text: { $0.yamlScalar })
    }
}

extension ValueFormat where Value == String {
    /// The name of a file or a folder.
    public static var path: Self {
        let one = text
        return Self(
            expected: "a path", parse: { one.parse($0)?.expandingHome }, text: one.text)
    }
}

extension ValueFormat where Value == [String] {
    /// Path names or globs: a list, or one by itself.
    public static var paths: Self {
        let one = ValueFormat<String>.path
        return Self(
            expected: "a list of paths",
            parse: { value in
                guard case .list(let elements) = value else { return one.parse(value).map { [$0] } }
                let paths = elements.compactMap(one.parse)
                return paths.count == elements.count ? paths : nil
            },
            text: { "[\($0.map(one.text).joined(separator: ", "))]" },
            remark: { $0.remark { one.parse($0) == nil } })
    }
}

extension ValueFormat where Value == [Int] {
    public static func integers(_ bounds: ClosedRange<Int>) -> Self {
        let one = ValueFormat<Int>.integer(bounds)
        return Self(
            expected: "a list of whole numbers from \(bounds.lowerBound) to \(bounds.upperBound)",
            parse: { value in
                guard case .list(let elements) = value else { return nil }
                let numbers = elements.compactMap(one.parse)
                return numbers.count == elements.count ? numbers : nil
            },
            text: { "[\($0.map(one.text).joined(separator: ", "))]" },
            remark: { $0.remark { one.parse($0) == nil } })
    }
}

extension ValueFormat where Value: CaseIterable & RawRepresentable, Value.RawValue == String {
    public static var choice: Self {
        let names = Value.allCases.map(\.rawValue)
        return Self(
            expected: names.count == 1 ? names[0] : "one of \(names.joined(separator: ", "))",
            parse: { value in
                switch value {
                case .plain(let text), .quoted(let text): Value(rawValue: text)
                case .nothing, .list, .mapping: nil
                }
            },
            text: { $0.rawValue })
    }
}

extension ValueFormat {
    /// `auto` stands for nil.
    public static func automatic<Wrapped>(_ format: ValueFormat<Wrapped>) -> Self
    where Value == Wrapped? {
        Self(
            expected: "auto or \(format.expected)",
            parse: { value in
                value == .plain("auto") ? .some(nil) : format.parse(value).map { .some($0) }
            },
            text: { $0.map(format.text) ?? "auto" })
    }
}

extension Int {
    /// Decimal digits with an optional minus sign; underscores may stand between digits, as in YAML.
    fileprivate init?(decimal text: String) {
        guard let first = text.first, first.isASCII, first.isNumber || first == "-",
            text.last != "_", !text.contains("__"),
            let number = Int(text.replacing("_", with: ""))
        else { return nil }
        self = number
    }
}

extension Double {
    /// A decimal number, in exponent notation or not: no hexadecimal, infinity or not-a-number.
    fileprivate init?(decimal text: String) {
        guard text.utf8.allSatisfy({ "+-.0123456789eE".utf8.contains($0) }),
            let number = Double(text), number.isFinite
        else { return nil }
        self = number
    }
}

extension String {
    /// The beginning of this text, on one line, for a message.
    package var shortened: String { printable(most: 60) }

    /// This text as a YAML scalar of one line that reads back as the same text.
    fileprivate var yamlScalar: String {
        let isPlain =
            utf8.allSatisfy {
                ("a"..."z").contains(Character(UnicodeScalar($0)))
                    || ("A"..."Z").contains(Character(UnicodeScalar($0)))
                    || "0123456789/._-".utf8.contains($0)
            } && first?.isLetter == true && !["null", "Null", "NULL"].contains(self)
        if isPlain { return self }
        let escaped = unicodeScalars.map { scalar in
            switch scalar {
            case "\"": "\\\""
            case "\\": "\\\\"
            case _ where scalar.value < 0x20 || (0x7f...0xa0).contains(scalar.value):
                "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            case "\u{2028}", "\u{2029}", "\u{feff}": "\\u" + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }
        return "\"\(escaped.joined())\""
    }
}
