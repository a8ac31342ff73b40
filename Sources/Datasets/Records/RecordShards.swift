/// Records in token shards, a document each: read when they are needed, by their numbers.
public struct RecordShards: RecordSource {
    public let count: Int
    private let stream: TokenStream

    public var vocabularySize: Int { stream.vocabularySize }
    public var kind: SampleKind { stream.kind }

    /// Expects shards of this kind.
    public init(_ stream: TokenStream, kind: SampleKind) throws(DatasetError) {
        guard stream.kind == kind, let count = stream.documentCount else {
            throw DatasetError(
                .mismatch,
                "\(stream.paths[0]): expected \(kind.name), found \(stream.kind.name); prepare them with "
                    + "input.kind: \(kind)")
        }
        guard count > 0 else {
            throw DatasetError(
                .tooSmall, "\(stream.paths[0]): expected at least 1 record, found none")
        }
        (self.stream, self.count) = (stream, count)
    }

    public func record(_ index: Int) throws(DatasetError) -> Record {
        let bounds = try stream.documentBounds(of: index..<index + 1)
        var ids = [Int32](repeating: 0, count: bounds[1] - bounds[0])
        try stream.copy(bounds[0]..<bounds[1], into: &ids)
        guard let record = Record(ids: ids[...], vocabularySize: vocabularySize) else {
            throw DatasetError(
                .corrupt,
                "\(stream.paths[0]): record \(index): expected parts that each begin with a mark, found "
                    + "tokens without; prepare the shards again")
        }
        return record
    }

    /// As far as the table of documents tells: with a mark for each part.
    public func lengths(of range: Range<Int>) throws(DatasetError) -> [Int] {
        let bounds = try stream.documentBounds(of: range)
        return zip(bounds.dropFirst(), bounds).map { $0 - $1 }
    }
}
