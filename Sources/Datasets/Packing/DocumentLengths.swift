/// Where documents begin in an array of tokens, one behind the other without a gap.
public protocol DocumentLengths: Sendable {
    var documentCount: Int { get }

    /// The first token of each document of `range`, and the end of the last: one number more than documents, none
    /// below the one before it. `range` is not empty.
    func starts(of range: Range<Int>) throws(DatasetError) -> [Int]
}

extension DocumentLengths {
    /// Tokens of all documents together.
    func tokenCount() throws(DatasetError) -> Int {
        guard documentCount > 0 else { return 0 }
        let first = try starts(of: 0..<1)
        let last = documentCount == 1 ? first : try starts(of: documentCount - 1..<documentCount)
        return last[1] - first[0]
    }
}

extension TokenStream {
    /// Where the documents of the stream begin; nil where its files do not tell.
    public var documents: (any DocumentLengths)? {
        guard let count = documentCount, count > 0 else { return nil }
        return StreamDocuments(documentCount: count, stream: self)
    }
}

private struct StreamDocuments: DocumentLengths {
    let documentCount: Int
    let stream: TokenStream

    func starts(of range: Range<Int>) throws(DatasetError) -> [Int] {
        try stream.documentBounds(of: range)
    }
}
