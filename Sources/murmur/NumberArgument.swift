import ArgumentParser

/// Turns an argument that is a whole number into it. Options that take one are parsed unconditionally, so
/// that `-1` is a value to refuse and no option. Their help names the default, which ArgumentParser leaves
/// out where a value is transformed.
@Sendable func wholeNumber<Value: FixedWidthInteger>(_ argument: String) throws -> Value {
    guard let number = Value(argument) else {
        // What is a number all the same is beyond what fits.
        let isNumber =
            Double(argument) != nil && argument.utf8.allSatisfy { "+-0123456789".utf8.contains($0) }
        let bounds = Value.min == 0 || isNumber ? " from \(Value.min) to \(Value.max)" : ""
        throw ValidationError("expected a whole number\(bounds)")
    }
    return number
}

/// Turns an argument that is a number into it.
@Sendable func number(_ argument: String) throws -> Double {
    guard let number = Double(argument) else { throw ValidationError("expected a number") }
    return number
}
