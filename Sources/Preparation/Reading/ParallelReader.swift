import Datasets
import Files

/// Pairs of lines with the same number in two files.
final class ParallelReader: FormatReading {
    let (source, target): (SegmentReader, SegmentReader)
    private var (sourceCount, targetCount) = (0, 0)

    init(_ source: SegmentReader, _ target: SegmentReader) {
        (self.source, self.target) = (source, target)
    }

    /// A line, or why there is none in its place.
    private enum Line {
        case text([UInt8])
        case dropped(UnreadReason)
    }

    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        while true {
            let lines = (
                try line(of: source, counting: &sourceCount),
                try line(of: target, counting: &targetCount)
            )
            switch lines {
            case (nil, nil): return nil
            case (nil, _), (_, nil): throw try unequal()
            case (.dropped(let reason), _), (_, .dropped(let reason)): tally.drop(reason)
            case (.text(let text), .text(let translation)):
                guard !text.isEmpty, !translation.isEmpty else {
                    tally.drop(.empty)
                    continue
                }
                return Document(
                    parts: [.init(.source, text), .init(.target, translation)],
                    number: tally.take())
            }
        }
    }

    private func line(
        of reader: SegmentReader, counting count: inout Int
    ) throws(DatasetError) -> Line? {
        guard let step = try reader.next() else { return nil }
        count += 1
        switch step {
        case .dropped(let reason): return .dropped(reason)
        case .segment(let segment): return .text(Array(segment.bytes[segment.content]))
        }
    }

    private func unequal() throws(DatasetError) -> DatasetError {
        while try line(of: source, counting: &sourceCount) != nil {}
        while try line(of: target, counting: &targetCount) != nil {}
        return DatasetError(
            .mismatch,
            "\(target.path.printablePath): expected as many lines as \(source.path.printablePath) has, "
                + "\(sourceCount), found \(targetCount); name two files whose lines belong together"
        )
    }
}
