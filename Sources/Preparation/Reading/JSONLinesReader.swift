import Datasets
import Files

/// JSON Lines: an object on each line.
final class JSONLinesReader: FormatReading {
    private let reader: SegmentReader
    private let options: ReadingOptions
    private let builder: RecordBuilder
    private let wanted: [(key: [UInt8], slot: FieldSlot)]
    private let (role, content): ([UInt8], [UInt8])

    init(_ reader: SegmentReader, _ options: ReadingOptions) {
        (self.reader, self.options) = (reader, options)
        builder = RecordBuilder(options)
        wanted = options.fields.wanted
        (role, content) = (Array(options.fields.role.utf8), Array(options.fields.content.utf8))
    }

    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        while let step = try reader.next() {
            guard case .segment(let segment) = step else {
                if case .dropped(let reason) = step { tally.drop(reason) }
                continue
            }
            do throws(RecordFault) {
                guard let values = try values(of: segment) else { continue }
                switch try builder.outcome(of: values) {
                case .dropped(let reason): tally.drop(reason)
                case .parts(let parts, let label):
                    return Document(
                        parts: parts, label: label, address: builder.address(values),
                        number: tally.take())
                }
            } catch {
                guard options.malformed == .drop else { throw malformed(segment, error) }
                tally.drop(.malformed)
            }
        }
        return nil
    }

    private func malformed(_ segment: Segment, _ fault: RecordFault) -> DatasetError {
        let byte = fault.position.map { ", byte \($0 - segment.range.lowerBound + 1)" } ?? ""
        var hint = ""
        if fault.position == nil, let keys = keys(of: segment), !keys.isEmpty {
            hint = "; the object has \(keys.joined(separator: ", "))"
        } else if segment.line == 1 {
            hint = "; each line must hold a whole object, as jq -c '.[]' writes those of an array"
        }
        return DatasetError(
            .invalidText,
            "\(reader.path.printablePath): line \(segment.line)\(byte): \(fault.problem)\(hint)")
    }

    /// The object's keys, the first of them, for a message.
    private func keys(of segment: Segment) -> [String]? {
        var (scanner, keys) = (JSONScanner(segment.bytes, segment.content), [String]())
        let all: Void? = try? scanner.members(depth: 1) { scanner, key throws(RecordFault) in
            if keys.count < 10 {
                keys.append(String(decoding: key, as: UTF8.self).printable.debugDescription)
            }
            try scanner.skip(depth: 2)
        }
        return all.map { keys }
    }

    /// What the object on a line holds for us; nil where the line is blank.
    private func values(of segment: Segment) throws(RecordFault) -> [FieldValue]? {
        var scanner = JSONScanner(segment.bytes, segment.content)
        guard scanner.peek() != nil else { return nil }
        guard scanner.peek() == 0x7B else { throw scanner.fault("an object") }
        var values = [FieldValue](repeating: .absent, count: FieldSlot.allCases.count)
        try scanner.members(depth: 1) { scanner, key throws(RecordFault) in
            if let slot = slot(of: key) {
                // Of two members of one name the last counts, as in most readers.
                values[slot.rawValue] = try value(&scanner, slot)
            } else {
                try scanner.skip(depth: 2)
            }
        }
        guard scanner.peek() == nil else { throw scanner.fault("the end of the line") }
        return values
    }

    private func slot(of key: ArraySlice<UInt8>) -> FieldSlot? {
        for (name, slot) in wanted where name.count == key.count && name.elementsEqual(key) {
            return slot
        }
        return nil
    }

    private func value(
        _ scanner: inout JSONScanner, _ slot: FieldSlot
    ) throws(RecordFault) -> FieldValue {
        switch scanner.peek() {
        case 0x22: return .text(try scanner.string())
        case .some(0x2D), .some(0x30...0x39):
            return try scanner.number().map(FieldValue.integer) ?? .other("a number")
        case 0x6E:
            try scanner.word("null")
            return .null
        case 0x5B where slot.mayBeTurns: return .turns(try turns(&scanner))
        case let byte:
            try scanner.skip(depth: 2)
            return .other(byte == 0x5B ? "an array" : byte == 0x7B ? "an object" : "true or false")
        }
    }

    private func turns(_ scanner: inout JSONScanner) throws(RecordFault) -> [Turn] {
        var turns: [Turn] = []
        try scanner.elements(depth: 2) { scanner throws(RecordFault) in
            guard scanner.peek() == 0x7B else { throw scanner.fault("an object, a message") }
            let start = scanner.position
            var (role, content): ([UInt8]?, [UInt8]?) = (nil, nil)
            try scanner.members(depth: 3) { scanner, key throws(RecordFault) in
                let isText = scanner.peek() == 0x22
                if isText, self.role.elementsEqual(key) {
                    role = try scanner.string()
                } else if isText, self.content.elementsEqual(key) {
                    content = try scanner.string()
                } else {
                    try scanner.skip(depth: 4)
                }
            }
            guard let role, let content else {
                throw RecordFault(
                    problem:
                        "expected a message with \(options.fields.role.printable.debugDescription) "
                        + "and \(options.fields.content.printable.debugDescription), both texts, found "
                        + "another", position: start)
            }
            turns.append(Turn(role: role, content: content))
        }
        return turns
    }
}

extension FieldSlot {
    /// Whether a list under this key is one of messages.
    var mayBeTurns: Bool {
        switch self {
        case .messages, .prompt, .chosen, .rejected: true
        default: false
        }
    }
}
