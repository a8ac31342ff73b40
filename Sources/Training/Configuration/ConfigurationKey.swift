/// One key: where it stands, what it accepts, what it is when left out, whether it may change on resume.
package struct ConfigurationKey: Sendable {
    enum Standard: Sendable {
        case required
        /// The initial value of its property.
        case value
        /// Follows from other keys, as the text says; `auto` asks for it by name.
        case derived(String, @Sendable (inout RunConfiguration) -> Void)
    }

    package let path: String
    /// Completes "expected …".
    let expected: String
    let standard: Standard
    package let rule: ResumeRule
    /// One sentence for the documentation.
    let summary: String
    /// Stores a value; false where it is of another type or out of bounds.
    let read: @Sendable (ConfigurationValue, inout RunConfiguration) -> Bool
    /// Completes "found …", where what was read needs a word.
    let remark: @Sendable (ConfigurationValue) -> String?
    /// The stored value as YAML.
    let text: @Sendable (RunConfiguration) -> String

    init<Value>(
        _ path: String, _ property: WritableKeyPath<RunConfiguration, Value> & Sendable,
        _ format: ValueFormat<Value>, _ standard: Standard = .value, resume rule: ResumeRule,
        _ summary: String
    ) {
        (self.path, self.standard, self.rule, self.summary) = (path, standard, rule, summary)
        expected = format.expected
        read = { value, configuration in
            guard let parsed = format.parse(value) else { return false }
            configuration[keyPath: property] = parsed
            return true
        }
        remark = format.remark
        text = { format.text($0[keyPath: property]) }
    }

    static let named = Dictionary(uniqueKeysWithValues: all.map { ($0.path, $0) })

    var section: Substring { path.prefix { $0 != "." } }
    var name: Substring { path.dropFirst(section.count + 1) }
}
