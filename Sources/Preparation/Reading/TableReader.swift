// Tables: CSV as RFC 4180 has it, and TSV without any quoting, as its registration (IANA, text/tab-separated-values) has it.

import Datasets
import Files

/// Rows below a line that names the columns.
final class TableReader: FormatReading {
    private let reader: SegmentReader
    private let options: ReadingOptions
    private let builder: RecordBuilder
    private let separator: UInt8
    /// What each column is for; nil before the first row.
    private var columns: [FieldSlot?]?

    init(_ reader: SegmentReader, _ options: ReadingOptions, separator: UInt8) {
        (self.reader, self.options, self.separator) = (reader, options, separator)
        builder = RecordBuilder(options)
    }

    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        while let step = try reader.next() {
            guard case .segment(let segment) = step else {
                if case .dropped(let reason) = step { tally.drop(reason) }
                if columns == nil { throw headerless() }
                continue
            }
            // A blank line is no row, and ends many files.
            if segment.content.isEmpty { continue }
            guard let columns else {
                columns = try header(segment)
                continue
            }
            do throws(RecordFault) {
                let values = try values(segment, columns)
                switch try builder.outcome(of: values) {
                case .dropped(let reason): tally.drop(reason)
                case .parts(let parts, let label):
                    return Document(
                        parts: parts, label: label, address: builder.address(values),
                        number: tally.take())
                }
            } catch {
                guard options.malformed == .drop else {
                    throw self.error(segment.line, error.problem)
                }
                tally.drop(.malformed)
            }
        }
        return nil
    }

    private func error(_ line: Int, _ problem: String) -> DatasetError {
        DatasetError(.invalidText, "\(reader.path.printablePath): line \(line): \(problem)")
    }

    private func headerless() -> DatasetError {
        error(1, "expected a row that names the columns, found one that had to be left out")
    }

    private func header(_ segment: Segment) throws(DatasetError) -> [FieldSlot?] {
        var (names, wanted) = ([[UInt8]](), options.fields.wanted)
        do throws(RecordFault) {
            try forEachField(segment) { field throws(RecordFault) in names.append(field) }
        } catch {
            throw self.error(segment.line, error.problem)
        }
        // A table's values are texts: a conversation is a prompt and a response.
        wanted.removeAll { $0.slot == .messages }
        let columns = names.map { name in wanted.first { $0.key == name }?.slot }
        let missing = wanted.filter { $0.slot != .address && !columns.contains($0.slot) }
        guard missing.isEmpty else {
            func list(_ names: [[UInt8]]) -> String {
                names.prefix(10).map {
                    String(decoding: $0, as: UTF8.self).printable.debugDescription
                }
                .joined(separator: ", ")
            }
            throw error(
                segment.line,
                "expected columns named \(list(missing.map(\.key))), found \(list(names)); the first "
                    + "row names the columns")
        }
        return columns
    }

    private func values(
        _ segment: Segment, _ columns: [FieldSlot?]
    ) throws(RecordFault) -> [FieldValue] {
        var values = [FieldValue](repeating: .absent, count: FieldSlot.allCases.count)
        var count = 0
        try forEachField(segment) { field throws(RecordFault) in
            if count < columns.count, let slot = columns[count] {
                values[slot.rawValue] = .text(field)
            }
            count += 1
        }
        guard count == columns.count else {
            throw RecordFault(
                problem: "expected \(columns.count) columns as in the first row, found \(count)")
        }
        return values
    }

    private func forEachField(
        _ segment: Segment, _ body: ([UInt8]) throws(RecordFault) -> Void
    ) throws(RecordFault) {
        let (bytes, content) = (segment.bytes, segment.content)
        var index = content.lowerBound
        while true {
            var field: [UInt8]
            if separator == 0x2C, index < content.upperBound, bytes[index] == 0x22 {
                field = try quoted(bytes, &index, content.upperBound)
            } else {
                let stop =
                    bytes[index..<content.upperBound].firstIndex(of: separator)
                    ?? content.upperBound
                field = Array(bytes[index..<stop])
                index = stop
            }
            try body(field)
            guard index < content.upperBound else { return }
            index += 1
        }
    }

    /// The field whose quotation mark is at `index`, which goes to the separator behind it.
    private func quoted(
        _ bytes: [UInt8], _ index: inout Int, _ end: Int
    ) throws(RecordFault) -> [UInt8] {
        var field: [UInt8] = []
        index += 1
        while true {
            guard let mark = bytes[index..<end].firstIndex(of: 0x22) else {
                throw RecordFault(
                    problem: "expected a quotation mark that ends a field, found none")
            }
            field += bytes[index..<mark]
            index = mark + 1
            guard index < end else { return field }
            guard bytes[index] == 0x22 else { break }
            field.append(0x22)
            index += 1
        }
        guard bytes[index] == separator else {
            throw RecordFault(
                problem:
                    "expected ',' behind the quotation mark that ends a field, found other bytes; "
                    + "a quotation mark within a field is doubled")
        }
        return field
    }
}
