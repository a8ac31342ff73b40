import Datasets

/// Documents that are files, lines or paragraphs.
final class TextReader: FormatReading {
    private let reader: SegmentReader
    private let documents: TextDocuments

    init(_ reader: SegmentReader, _ documents: TextDocuments) {
        (self.reader, self.documents) = (reader, documents)
    }

    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        while let step = try reader.next() {
            switch step {
            case .dropped(let reason): tally.drop(reason)
            case .segment(let segment):
                let text = text(of: segment)
                if !text.isEmpty {
                    return Document(text: Array(segment.bytes[text]), number: tally.take())
                }
                // Lines between paragraphs are none, nor is the line end that a cut has left.
                if documents != .paragraph, !segment.isContinued { tally.drop(.empty) }
            }
        }
        return nil
    }

    private func text(of segment: Segment) -> Range<Int> {
        switch documents {
        case .file: return segment.range
        case .line: return segment.content
        case .paragraph:
            var end = segment.range.upperBound
            while end > segment.range.lowerBound, isBlank(segment.bytes[end - 1]) { end -= 1 }
            return segment.range.lowerBound..<end
        }
    }

    private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}
