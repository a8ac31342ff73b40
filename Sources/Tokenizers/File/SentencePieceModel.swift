// A model of SentencePiece (Kudo & Richardson 2018), as its library writes it: `sentencepiece_model.proto` in Protocol Buffers.
// What the library refuses to load is refused here too.

/// The parts of a `*.model` file that decide about tokens.
struct SentencePieceModel: Sendable {
    struct Piece: Sendable {
        /// The numbers are those of the file.
        enum Kind: Int, Sendable {
            case normal = 1
            case unknown
            /// No text gives it: `<s>`
            case control
            /// Found before all others, and never cut.
            case userDefined
            case unused
            case byte
        }

        let text: [UInt8]
        let score: Float
        let kind: Kind
    }

    enum Algorithm: Int, Sendable {
        case unigram = 1
        case bytePairs
    }

    private(set) var pieces: [Piece] = []
    private(set) var algorithm = Algorithm.unigram
    private(set) var fallsBackToBytes = false
    private(set) var beginPiece = Array("<s>".utf8)
    private(set) var endPiece = Array("</s>".utf8)
    /// Rules of normalization (`CharacterMap`); empty where there are none.
    private(set) var characterMap: [UInt8] = []
    /// A space goes before the text.
    var addsDummyPrefix = true
    /// No spaces at the ends, and one for many.
    private(set) var removesExtraSpaces = true
    /// Spaces become `SpaceMark`.
    private(set) var marksSpaces = true
    /// The piece for what the vocabulary lacks.
    private(set) var unknown = 0

    /// Longest file, most pieces and longest piece: larger than any published ones, and what a hostile file may take.
    static let byteLimit = 32 << 20
    static let mostPieces = 1 << 21
    static let longestPiece = 2048

    /// Reads a file; `name` is its name in errors.
    init(_ source: [UInt8], name: String) throws(TokenizerError) {
        guard !SentencePieceModel.isRankedList(source) else {
            throw TokenizerError(
                .unsupported,
                "\(name): expected a model of SentencePiece, found tiktoken's list of tokens; read the "
                    + "tokenizer.json of the same model")
        }
        var message = WireMessage(source[...], file: name, name: "")
        var usedBytes = Set<[UInt8]>()
        while let (number, value) = try message.next() {
            switch number {
            case 1:
                guard pieces.count < SentencePieceModel.mostPieces else {
                    throw message.failure(
                        "at most \(SentencePieceModel.mostPieces) pieces", found: "more")
                }
                let piece = try Piece(message.message(value, "pieces", index: pieces.count))
                if piece.kind == .byte { usedBytes.insert(piece.text) }
                pieces.append(piece)
            case 2: try readTrainer(message.message(value, "trainer_spec"))
            case 3: try readNormalizer(message.message(value, "normalizer_spec"))
            default: break
            }
        }
        try check(message, byteTexts: usedBytes)
    }

    private mutating func readTrainer(_ message: WireMessage) throws(TokenizerError) {
        var message = message
        while let (number, value) = try message.next() {
            switch number {
            case 3:
                let type = try message.integer(value, "model_type")
                guard let algorithm = Algorithm(rawValue: type) else {
                    let names = [3: "WORD", 4: "CHAR"]
                    throw message.failure(
                        "model_type UNIGRAM or BPE", found: names[type] ?? "\(type)",
                        kind: .unsupported)
                }
                self.algorithm = algorithm
            case 24:
                guard try !message.bool(value, "treat_whitespace_as_suffix") else {
                    throw message.failure(
                        "treat_whitespace_as_suffix false", found: "true", kind: .unsupported)
                }
            case 35: fallsBackToBytes = try message.bool(value, "byte_fallback")
            case 46: beginPiece = try message.text(value, "bos_piece")
            case 47: endPiece = try message.text(value, "eos_piece")
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ message: WireMessage) throws(TokenizerError) {
        var message = message
        while let (number, value) = try message.next() {
            switch number {
            case 2: characterMap = Array(try message.data(value, "precompiled_charsmap"))
            case 3: addsDummyPrefix = try message.bool(value, "add_dummy_prefix")
            case 4: removesExtraSpaces = try message.bool(value, "remove_extra_whitespaces")
            case 5: marksSpaces = try message.bool(value, "escape_whitespaces")
            default: break
            }
        }
    }

    private mutating func check(
        _ message: WireMessage, byteTexts: Set<[UInt8]>
    ) throws(TokenizerError) {
        guard !pieces.isEmpty else { throw message.failure("pieces", found: "none") }
        var table = ByteTable(minimumCapacity: pieces.count)
        for (index, piece) in pieces.enumerated() {
            if let first = table[piece.text] {
                throw message.failure(
                    "pieces that differ",
                    found: "\(JSONNode.string(piece.text).summary) as pieces[\(first)] and "
                        + "pieces[\(index)]")
            }
            table.set(piece.text, to: Int32(index))
        }
        let unknowns = pieces.indices.filter { pieces[$0].kind == .unknown }
        guard unknowns.count == 1 else {
            throw message.failure("one piece of type UNKNOWN", found: "\(unknowns.count)")
        }
        unknown = unknowns[0]
        let expected = fallsBackToBytes ? 256 : 0
        guard byteTexts.count == expected else {
            throw message.failure(
                "\(expected) pieces of type BYTE with byte_fallback \(fallsBackToBytes)",
                found: "\(byteTexts.count)")
        }
        let alphabet = Set((UInt8.min...UInt8.max).map { ByteAlphabet.fallbackToken(of: $0) })
        if let other = byteTexts.subtracting(alphabet).first {
            throw message.failure(
                "pieces of type BYTE from <0x00> to <0xFF>",
                found: JSONNode.string(other).summary)
        }
    }

    /// The number of the control piece that begins a text; nil where the model has none.
    var begin: Int? { control(beginPiece) }

    /// The one that ends it.
    var end: Int? { control(endPiece) }

    private func control(_ text: [UInt8]) -> Int? {
        pieces.firstIndex { $0.kind == .control && $0.text == text }
    }

    /// Whether a file of the same name is another's: lines of a token in base 64 and its rank.
    private static func isRankedList(_ source: [UInt8]) -> Bool {
        let line = source.prefix(256).prefix { $0 != 0x0A }
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return false }
        let base64 = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=".utf8)
        return parts[0].allSatisfy(base64.contains) && parts[1].allSatisfy { 0x30...0x39 ~= $0 }
    }
}

extension SentencePieceModel.Piece {
    fileprivate init(_ message: WireMessage) throws(TokenizerError) {
        var message = message
        var (text, score, kind) = ([UInt8](), Float(0), Kind.normal)
        while let (number, value) = try message.next() {
            switch number {
            case 1: text = try message.text(value, "piece")
            case 2: score = try message.float(value, "score")
            case 3:
                let type = try message.integer(value, "type")
                guard let known = Kind(rawValue: type) else {
                    throw message.failure("a type from 1 to 6", found: "\(type)")
                }
                kind = known
            default: break
            }
        }
        guard 1...SentencePieceModel.longestPiece ~= text.count else {
            throw message.failure(
                "a text of 1 to \(SentencePieceModel.longestPiece) bytes",
                found: "\(text.count)")
        }
        self.init(text: text, score: score, kind: kind)
    }
}
