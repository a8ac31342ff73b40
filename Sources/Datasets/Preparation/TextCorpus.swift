import Files
import Foundation
import Tokenizers

/// Text files read once: their digests, their tokenizer, and how many tokens they become.
struct TextCorpus: Sendable {
    /// A text file as it was read.
    struct Source: Sendable, Equatable, Codable {
        /// As the configuration names it.
        let path: String
        let bytes: Int
        let sha256: String
    }

    let sources: [Source]
    let tokenizer: Tokenizer
    let tokenCount: Int

    /// Reads the files that `patterns` name, sorted by path. Every problem of every file is reported.
    init(patterns: [String], tokenizer choice: TokenizerChoice) throws(DatasetError) {
        let kind = choice.kind
        let given = try choice.load()
        var counter = given.map { PipelineCounter($0) }
        var (sources, errors): ([Source], [DatasetError]) = ([], [])
        var survey = CharacterSurvey()
        let paths = try FilePattern.expand(patterns)
        try DatasetIndex.requireRoom(paths: paths, shards: 2)
        for path in paths {
            do throws(DatasetError) {
                if kind == .character { survey.begin(path) }
                counter?.begin(path)
                let source = try TextCorpus.read(path) { chunk throws(DatasetError) in
                    if kind == .character { try survey.add(chunk) }
                    try counter?.add(chunk)
                }
                try counter?.end()
                if kind == .character { try survey.end() }
                guard source.bytes > 0 else {
                    throw DatasetError(.invalidText, "\(path): expected text, found an empty file")
                }
                sources.append(source)
            } catch {
                errors.append(error)
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        self.sources = sources
        switch kind {
        case .byte:
            tokenizer = .byte(ByteTokenizer())
            tokenCount = sources.reduce(0) { $0 + $1.bytes + 1 }
        case .character:
            tokenizer = .character(
                try CharacterTokenizer(characters: survey.characters, name: "text"))
            tokenCount = survey.scalarCount
        case .pipeline:
            guard let given, let counter else { preconditionFailure("TextCorpus: no tokenizer") }
            tokenizer = .pipeline(given)
            tokenCount = counter.tokenCount
        }
    }

    /// Hands the tokens of all files, in order, to `consume`, with whether a document starts there.
    ///
    /// Each document is preceded by the tokenizer's `documentStart`.
    func forEachChunk(
        _ consume: (ArraySlice<Int32>, Bool) throws(DatasetError) -> Void
    ) throws(DatasetError) {
        var tokens: [Int32] = []
        var pipelineEncoder: TextEncoder?
        if case .pipeline(let own) = tokenizer { pipelineEncoder = TextEncoder(own.pipeline) }
        for source in sources {
            try consume(tokenizer.documentStart[...], true)
            var documents = pipelineEncoder.map { PipelineDocuments($0, path: source.path) }
            var decoder = UTF8StreamDecoder()
            var isFirst = true
            let found = try TextCorpus.read(source.path) { chunk throws(DatasetError) in
                tokens.removeAll(keepingCapacity: true)
                switch tokenizer {
                case .byte: tokens.append(contentsOf: chunk.lazy.map { Int32($0) })
                case .character(let tokenizer):
                    for byte in isFirst ? chunk.withoutByteOrderMark : chunk {
                        if case .scalar(let value) = decoder.next(byte) {
                            tokens.append(tokenizer.rawIdentifier(of: value))
                        }
                    }
                case .pipeline: try documents?.add(chunk, into: &tokens)
                }
                isFirst = false
                // A file that changed since it was surveyed: refused here, where the writer would trap.
                if tokens.contains(where: { $0 < 0 }) { throw TextCorpus.changed(source) }
                try consume(tokens[...], false)
            }
            tokens.removeAll(keepingCapacity: true)
            try documents?.end(into: &tokens)
            try consume(tokens[...], false)
            if found != source { throw TextCorpus.changed(source) }
        }
    }

    private static func changed(_ source: Source) -> DatasetError {
        DatasetError(
            .inputOutput,
            "\(source.path): expected the same text at its second reading, found it changed; "
                + "start again when nothing writes to it")
    }

    private static func read(
        _ path: String, _ consume: (ArraySlice<UInt8>) throws(DatasetError) -> Void
    ) throws(DatasetError) -> Source {
        let file = try FileDescriptor(reading: path)
        let chunkByteCount = 1 << 20
        var hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: chunkByteCount)
        var offset = 0
        while true {
            let count = try file.read(chunkByteCount, at: offset, into: &buffer)
            if count == 0 { break }
            buffer.withUnsafeBytes { hash.update(.init(rebasing: $0[..<count])) }
            try consume(buffer[..<count])
            offset += count
        }
        return Source(path: path, bytes: offset, sha256: hash.digest().hexadecimal)
    }
}

/// Collects the distinct Unicode scalars of files and counts them all.
private struct CharacterSurvey {
    private var isPresent = [Bool](repeating: false, count: 0x11_0000)
    private(set) var scalarCount = 0
    private var decoder = UTF8StreamDecoder()
    private var path = ""
    private var head: ArraySlice<UInt8> = []
    /// Of the next byte, and of the byte that its character begins with.
    private var (offset, start) = (0, 0)
    private var first: UInt8 = 0
    /// Whether the file has had a character of several bytes.
    private var hasWide = false

    var characters: [Unicode.Scalar] {
        isPresent.indices.filter { isPresent[$0] }.compactMap { Unicode.Scalar(UInt32($0)) }
    }

    mutating func begin(_ path: String) {
        (decoder, self.path, offset, head) = (UTF8StreamDecoder(), path, 0, [])
        hasWide = false
    }

    mutating func add(_ chunk: ArraySlice<UInt8>) throws(DatasetError) {
        var text = chunk
        if offset == 0 {
            head = chunk.prefix(TextEncoding.headByteCount)
            if let found = TextEncoding.unlikeUTF8(head: head) {
                throw DatasetError(.invalidText, "\(path): expected UTF-8 text, found \(found)")
            }
            text = chunk.withoutByteOrderMark
            offset = chunk.count - text.count
            hasWide = offset > 0
        }
        for byte in text {
            if decoder.isComplete { (start, first) = (offset, byte) }
            switch decoder.next(byte) {
            case .scalar(let value):
                isPresent[Int(value)] = true
                scalarCount += 1
                if value > 0x7F { hasWide = true }
            case .incomplete: break
            case .invalid:
                throw invalid("byte 0x\([first].hexadecimal)", isUTF8Before: hasWide)
            }
            offset += 1
        }
    }

    func end() throws(DatasetError) {
        if !decoder.isComplete {
            throw invalid("the end of the file within a character", isUTF8Before: true)
        }
    }

    private func invalid(_ found: String, isUTF8Before: Bool) -> DatasetError {
        DatasetError(
            .invalidText,
            "\(path): byte offset \(start): expected UTF-8 text, found \(found); "
                + TextEncoding.advice(invalid: head, isUTF8Before: isUTF8Before)
                + ", or use the byte tokenizer")
    }
}

extension ArraySlice<UInt8> {
    /// The first bytes of a text without the mark that some programs put before it.
    fileprivate var withoutByteOrderMark: ArraySlice<UInt8> {
        starts(with: TextEncoding.byteOrderMark) ? dropFirst(3) : self
    }
}
