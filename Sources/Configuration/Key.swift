/// One key of a configuration `Root`: where it stands, what it accepts, what it is when left out, whether it may
/// change on resume. A table of keys is all that reading, writing, documentation and resuming know.
public struct Key<Root>: Sendable {
    public enum Standard: Sendable {
        case required
        /// The initial value of its property.
        case value
        /// Follows from other keys, as the text says; `auto` asks for it by name.
        case derived(String, @Sendable (inout Root) -> Void)
    }

    /// Dotted: `model.layers`.
    public let path: String
    /// Completes "expected …".
    public let expected: String
    public let standard: Standard
    public let rule: ResumeRule
    /// One sentence for the documentation.
    public let summary: String
    /// Stores a value; false where it is of another type or out of bounds.
    package let read: @Sendable (ConfigurationValue, inout Root) -> Bool
    /// Completes "found …", where what was read needs a word.
    package let remark: @Sendable (ConfigurationValue) -> String?
    /// The stored value as YAML.
    package let text: @Sendable (Root) -> String

    public init<Value>(
        _ path: String, _ property: WritableKeyPath<Root, Value> & Sendable,
        _ format: ValueFormat<Value>, _ standard: Standard = .value, resume rule: ResumeRule,
        _ summary: String
    ) {
        (self.path, self.standard, self.rule, self.summary) = (path, standard, rule, summary)
        expected = format.expected
        read = { value, root in
            guard let parsed = format.parse(value) else { return false }
            root[keyPath: property] = parsed
            return true
        }
        remark = format.remark
        text = { format.text($0[keyPath: property]) }
    }

    /// The same key of a value `Whole` of which `key`'s root is a part.
    package init<Part>(
        _ key: Key<Part>, get: @escaping @Sendable (Root) -> Part,
        set: @escaping @Sendable (inout Root, Part) -> Void
    ) {
        (path, expected, rule, summary) = (key.path, key.expected, key.rule, key.summary)
        remark = key.remark
        standard =
            switch key.standard {
            case .required: .required
            case .value: .value
            case .derived(let text, let derive):
                .derived(text) { root in
                    var part = get(root)
                    derive(&part)
                    set(&root, part)
                }
            }
        read = { value, root in
            var part = get(root)
            guard key.read(value, &part) else { return false }
            set(&root, part)
            return true
        }
        text = { key.text(get($0)) }
    }

    package var section: Substring { path.prefix { $0 != "." } }
    package var name: Substring { path.dropFirst(section.count + 1) }

    /// The text of the documentation for its default, taken from `initial`.
    package func standardText(of initial: Root) -> String {
        switch standard {
        case .required: "required"
        case .value: "`\(text(initial))`"
        case .derived(let text, _): text
        }
    }
}

/// Whether a key may have another value when a run goes on.
public enum ResumeRule: String, Sendable, CaseIterable {
    /// It may change.
    case free
    /// It may change where `--override KEY` names it; the log says so.
    case override
    /// It defines the model or its tokens.
    case never
}

/// A condition between keys of a `Root`, tried once each of them is in bounds.
public struct KeyCheck<Root>: Sendable {
    /// The first one is named in the complaint.
    public let keys: [String]
    /// `expected …, found …`; nil where all is well.
    public let complaint: @Sendable (Root) -> String?

    public init(_ keys: [String], _ complaint: @escaping @Sendable (Root) -> String?) {
        (self.keys, self.complaint) = (keys, complaint)
    }
}
