import Tokenizers

/// Encodes a document that comes in chunks: where the tokenizer allows it in parts that begin with a line, so that no
/// file is too long; else as a whole.
struct PipelineDocuments {
    private let encoder: TextEncoder
    private let path: String
    private var pending: [UInt8] = []
    private var isFirst = true
    /// Bytes of `pending` in which there is no place to cut.
    private var searched = 0

    /// Bytes that are encoded together where parts may be.
    private static let partByteCount = 1 << 20
    /// Longest document that is encoded as a whole.
    private static let longest = 1 << 30

    init(_ encoder: TextEncoder, path: String) { (self.encoder, self.path) = (encoder, path) }

    mutating func add(_ chunk: ArraySlice<UInt8>, into tokens: inout [Int32]) throws(DatasetError) {
        if isFirst {
            isFirst = false
            if let found = TextEncoding.unlikeUTF8(head: chunk.prefix(TextEncoding.headByteCount)) {
                throw DatasetError(.invalidText, "\(path): expected UTF-8 text, found \(found)")
            }
            pending += chunk.starts(with: TextEncoding.byteOrderMark) ? chunk.dropFirst(3) : chunk
        } else {
            pending += chunk
        }
        guard pending.count >= PipelineDocuments.partByteCount else { return }
        if let end = encoder.lastCut(of: pending, after: searched) {
            try encode(Array(pending[..<end]), &tokens)
            pending.removeFirst(end)
            searched = 0
        } else {
            searched = pending.count - 8
        }
        guard pending.count <= PipelineDocuments.longest else {
            throw DatasetError(
                .tooLarge,
                "\(path): expected at most \(PipelineDocuments.longest) bytes without a line end that this "
                    + "tokenizer may be cut at, found more; split the file")
        }
    }

    mutating func end(into tokens: inout [Int32]) throws(DatasetError) {
        try encode(pending, &tokens)
        pending = []
    }

    private func encode(_ text: [UInt8], _ tokens: inout [Int32]) throws(DatasetError) {
        do throws(TokenizerError) {
            try encoder.encode(text, into: &tokens)
        } catch {
            throw DatasetError(.invalidText, "\(path): \(error.message)")
        }
    }
}

/// Counts the tokens of documents.
struct PipelineCounter {
    private let encoder: TextEncoder
    private let startCount: Int
    private var document: PipelineDocuments?
    private var tokens: [Int32] = []
    private(set) var tokenCount = 0

    init(_ tokenizer: PipelineTokenizer) {
        encoder = TextEncoder(tokenizer.pipeline)
        startCount = tokenizer.documentStart.count
    }

    mutating func begin(_ path: String) {
        document = PipelineDocuments(encoder, path: path)
        tokenCount += startCount
    }

    mutating func add(_ chunk: ArraySlice<UInt8>) throws(DatasetError) {
        tokens.removeAll(keepingCapacity: true)
        try document?.add(chunk, into: &tokens)
        tokenCount += tokens.count
    }

    mutating func end() throws(DatasetError) {
        tokens.removeAll(keepingCapacity: true)
        try document?.end(into: &tokens)
        tokenCount += tokens.count
    }
}

extension TokenizerChoice {
    var kind: Tokenizer.Kind {
        switch self {
        case .byte: .byte
        case .character: .character
        case .file: .pipeline
        }
    }

    /// The tokenizer that is there; nil where the corpus gives it.
    package func load() throws(DatasetError) -> PipelineTokenizer? {
        guard case .file(let path) = self else { return nil }
        let pipeline: TokenizerPipeline
        do throws(TokenizerError) {
            pipeline = try TokenizerPipeline.load(path)
        } catch {
            throw DatasetError(error)
        }
        guard pipeline.canonicalJSON.count <= TokenizerChoice.longest else {
            throw DatasetError(
                .tooLarge,
                "\(path): expected a tokenizer of at most \(TokenizerChoice.longest) bytes in its canonical "
                    + "spelling, which a checkpoint keeps, found \(pipeline.canonicalJSON.count)")
        }
        return PipelineTokenizer(pipeline)
    }

    /// As much as a text beside a checkpoint's manifest may have.
    private static let longest = 1 << 24
}
