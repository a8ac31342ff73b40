// From the values under the keys of an object, or in the columns of a row, to a document.

import Datasets
import Files

/// What the records of a file are.
package enum RecordKind: String, CaseIterable, Sendable {
    case text, labelled, pairs, conversations, preferences
}

/// Which keys or columns hold what. Others are passed over.
package struct RecordFields: Sendable, Equatable {
    package var kind = RecordKind.text
    package var text = "text"
    package var label = "label"
    /// The classes in their order, where a file names them; a label is a number from 0 else.
    package var classNames: [String] = []
    package var source = "source"
    package var target = "target"
    /// A list of objects with `role` and `content`. Where a record has none, `prompt` and `response`.
    package var messages = "messages"
    package var role = "role"
    package var content = "content"
    package var prompt = "prompt"
    package var response = "response"
    package var chosen = "chosen"
    package var rejected = "rejected"
    /// Where a text comes from; may be missing.
    package var address = "url"

    package init() {}

    /// The keys that this kind looks at, and what for.
    var wanted: [(key: [UInt8], slot: FieldSlot)] {
        let names: [(String, FieldSlot)] =
            switch kind {
            case .text: [(text, .text)]
            case .labelled: [(text, .text), (label, .label)]
            case .pairs: [(source, .source), (target, .target)]
            case .conversations: [(messages, .messages), (prompt, .prompt), (response, .response)]
            case .preferences: [(prompt, .prompt), (chosen, .chosen), (rejected, .rejected)]
            }
        return (names + [(address, .address)]).map { (Array($0.0.utf8), $0.1) }
    }

    func name(of slot: FieldSlot) -> String {
        switch slot {
        case .text: text
        case .label: label
        case .source: source
        case .target: target
        case .messages: messages
        case .prompt: prompt
        case .response: response
        case .chosen: chosen
        case .rejected: rejected
        case .address: address
        }
    }
}

/// What a value is for.
enum FieldSlot: Int, CaseIterable {
    case text, label, source, target, messages, prompt, response, chosen, rejected, address
}

/// A value of a record.
enum FieldValue: Equatable {
    case absent, null
    case text([UInt8])
    case integer(Int)
    case turns([Turn])
    /// What it is, in words.
    case other(String)

    /// What it is, completing "found …".
    var name: String {
        switch self {
        case .absent: "none"
        case .null: "null"
        case .text: "a text"
        case .integer: "a number"
        case .turns: "a list"
        case .other(let name): name
        }
    }
}

/// What is wrong with a record: `expected …, found …`.
struct RecordFault: Error {
    let problem: String
    /// Of the byte that is wrong, in the segment's array; nil where it is the record.
    var position: Int?
}

/// Makes documents of one file's records.
struct RecordBuilder {
    enum Outcome: Equatable {
        case parts([Document.Part], label: Int? = nil)
        case dropped(UnreadReason)
    }

    let fields: RecordFields
    let template: ChatTemplate
    private let classNames: [[UInt8]]

    init(_ options: ReadingOptions) {
        (fields, template) = (options.fields, options.template)
        classNames = fields.classNames.map { Array($0.utf8) }
    }

    /// - Parameter values: by the raw value of their slot.
    func outcome(of values: [FieldValue]) throws(RecordFault) -> Outcome {
        func text(_ slot: FieldSlot) throws(RecordFault) -> [UInt8] {
            try self.text(values[slot.rawValue], slot)
        }
        let outcome: Outcome
        switch fields.kind {
        case .text: outcome = .parts([.init(.text, try text(.text))])
        case .labelled:
            let label = try label(values[FieldSlot.label.rawValue])
            outcome = .parts([.init(.text, try text(.text))], label: label)
        case .pairs:
            outcome = .parts([.init(.source, try text(.source)), .init(.target, try text(.target))])
        case .conversations: return try conversation(values)
        case .preferences: return try preference(values)
        }
        if case .parts(let parts, _) = outcome, parts.contains(where: \.text.isEmpty) {
            return .dropped(.empty)
        }
        return outcome
    }

    func address(_ values: [FieldValue]) -> String? {
        guard case .text(let bytes) = values[FieldSlot.address.rawValue], !bytes.isEmpty else {
            return nil
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func text(_ value: FieldValue, _ slot: FieldSlot) throws(RecordFault) -> [UInt8] {
        switch value {
        case .text(let bytes): return bytes
        // Tables of others say so where there is no text.
        case .null: return []
        case .absent: throw missing(slot)
        default: throw unfit(value, slot, "a text")
        }
    }

    private func missing(_ slot: FieldSlot) -> RecordFault {
        RecordFault(
            problem: "expected \(fields.name(of: slot).printable.debugDescription), found none")
    }

    private func unfit(_ value: FieldValue, _ slot: FieldSlot, _ expected: String) -> RecordFault {
        RecordFault(
            problem:
                "expected \(expected) under \(fields.name(of: slot).printable.debugDescription), "
                + "found \(value.name)")
    }

    private func label(_ value: FieldValue) throws(RecordFault) -> Int {
        let count = classNames.count
        switch value {
        case .absent: throw missing(.label)
        case .integer(let number): if isClass(number) { return number }
        case .text(let name):
            if let index = classNames.firstIndex(of: name) { return index }
            let text = String(decoding: name, as: UTF8.self)
            if let number = Int(text), isClass(number) { return number }
            throw RecordFault(
                problem: "expected a label that is \(classWords(count)), found "
                    + text.printable.debugDescription)
        default: break
        }
        throw unfit(value, .label, classWords(count))
    }

    private func isClass(_ number: Int) -> Bool {
        number >= 0 && number < (classNames.isEmpty ? 1 << 31 : classNames.count)
    }

    private func classWords(_ count: Int) -> String {
        count == 0 ? "a whole number from 0" : "one of \(count) classes or its number"
    }

    // MARK: Conversations

    private func conversation(_ values: [FieldValue]) throws(RecordFault) -> Outcome {
        var turns: [Turn]
        switch values[FieldSlot.messages.rawValue] {
        case .turns(let list): turns = list
        case .null, .absent:
            let prompt = values[FieldSlot.prompt.rawValue]
            guard prompt != .absent else { throw missing(.messages) }
            turns = try history(prompt, .prompt)
            let response = try text(values[FieldSlot.response.rawValue], .response)
            turns.append(Turn(role: "assistant", content: response))
        case let value: throw unfit(value, .messages, "a list of messages")
        }
        if turns.allSatisfy(\.content.isEmpty) { return .dropped(.empty) }
        if turns.last(where: \.isAnswer)?.content.isEmpty == true { return .dropped(.empty) }
        let parts = template.parts(of: turns)
        return parts.isEmpty ? .dropped(.unanswered) : .parts(parts)
    }

    private func history(_ value: FieldValue, _ slot: FieldSlot) throws(RecordFault) -> [Turn] {
        if case .turns(let turns) = value { return turns }
        return [Turn(role: "user", content: try text(value, slot))]
    }

    /// The answers to one prompt, which stands under a key of its own or before both answers.
    private func preference(_ values: [FieldValue]) throws(RecordFault) -> Outcome {
        let chosen = try answer(values[FieldSlot.chosen.rawValue], .chosen)
        let rejected = try answer(values[FieldSlot.rejected.rawValue], .rejected)
        let own = values[FieldSlot.prompt.rawValue]
        let turns: [Turn]
        if own == .absent || own == .null {
            guard !chosen.before.isEmpty else { throw missing(.prompt) }
            guard chosen.before == rejected.before else {
                throw RecordFault(problem: "expected two answers to one prompt, found two prompts")
            }
            turns = chosen.before
        } else {
            turns = try history(own, .prompt)
        }
        let isEmpty = chosen.text.isEmpty || rejected.text.isEmpty
        if isEmpty || turns.allSatisfy(\.content.isEmpty) { return .dropped(.empty) }
        return .parts([
            .init(.prompt, template.prompt(of: turns)),
            .init(.chosen, template.answer(chosen.text)),
            .init(.rejected, template.answer(rejected.text)),
        ])
    }

    private func answer(
        _ value: FieldValue, _ slot: FieldSlot
    ) throws(RecordFault) -> (text: [UInt8], before: [Turn]) {
        guard case .turns(let turns) = value else { return (try text(value, slot), []) }
        guard let last = turns.last else { throw unfit(.other("an empty list"), slot, "an answer") }
        return (last.content, turns.dropLast())
    }
}
