import ArgumentParser

/// Turns an argument that is a whole number into it. Options that take one are parsed unconditionally, so
/// that `-1` is a value to refuse and no option. Their help names the default, which ArgumentParser leaves
/// out where a value is transformed.
@Sendable func wholeNumber<Value: FixedWidthInteger>(_ argument: String) throws -> Value {
    guard let number = Value(argument) else {
        let bounds = Value.min == 0 ? " from 0 to \(Value.max)" : ""
        throw ValidationError("expected a whole number\(bounds)")
    }
    return number
}

/// Turns an argument that is a number into it.
@Sendable func number(_ argument: String) throws -> Double {
    guard let number = Double(argument) else { throw ValidationError("expected a number") }
    return number
}
