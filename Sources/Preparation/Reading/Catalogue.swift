// Translations of messages, as GNU gettext keeps them: text (.po) and binary (.mo).

import Datasets
import Files
import Tokenizers

enum Catalogue {
    /// Opens a catalogue of either form, whatever its name.
    static func open(
        _ path: String, _ options: ReadingOptions
    ) throws(DatasetError) -> (reader: SegmentReader, format: any FormatReading) {
        let reader = try SegmentReader(path: path, boundary: .line, options: options)
        guard MessageFile.isOne(reader.head) else {
            return (reader, MessageTextReader(reader, options))
        }
        var own = options
        own.long = .error
        let whole = try SegmentReader(path: path, boundary: .none, options: own, isText: false)
        return (whole, try MessageFileReader(whole, options))
    }

    /// A message and its translation as a document; nil where it is none, and why is counted.
    static func document(
        _ message: [UInt8], _ translation: [UInt8], _ options: ReadingOptions, path: String,
        _ tally: inout ReadingTally
    ) throws(DatasetError) -> Document? {
        guard !message.isEmpty, !translation.isEmpty else {
            tally.drop(.untranslated)
            return nil
        }
        var texts = [message, translation]
        if !texts.allSatisfy(UTF8Text.isValid) {
            switch options.invalid {
            case .drop:
                tally.drop(.invalidText)
                return nil
            case .replace: texts = texts.map(UTF8Text.repaired)
            case .error:
                let text = String(decoding: message, as: UTF8.self)
                throw DatasetError(
                    .invalidText,
                    "\(path.printablePath): message \(text.printable.debugDescription): expected UTF-8 "
                        + "text, found other bytes; convert the catalogue with msgconv -t UTF-8")
            }
        }
        return Document(
            parts: [.init(.source, texts[0]), .init(.target, texts[1])], number: tally.take())
    }
}

/// A catalogue as binary, byte by byte (GNU gettext's manual, "The Format of GNU MO Files").
struct MessageFile {
    private let bytes: [UInt8]
    private let isLittleEndian: Bool
    private let (originals, translations): (Int, Int)
    let count: Int

    /// Whether bytes begin as one, of either byte order.
    static func isOne(_ head: ArraySlice<UInt8>) -> Bool {
        head.starts(with: [0xDE, 0x12, 0x04, 0x95]) || head.starts(with: [0x95, 0x04, 0x12, 0xDE])
    }

    /// - Throws: a problem, `expected …, found …`, where the tables do not lie within the file.
    init(_ bytes: [UInt8]) throws(RecordFault) {
        self.bytes = bytes
        isLittleEndian = bytes.first == 0xDE
        guard bytes.count >= 20 else {
            throw RecordFault(problem: "expected a header of 20 bytes, found \(bytes.count)")
        }
        func word(_ offset: Int) -> Int {
            MessageFile.word(bytes, offset, isLittleEndian: bytes.first == 0xDE)
        }
        guard word(4) >> 16 <= 1 else {
            throw RecordFault(problem: "expected revision 0 or 1, found \(word(4) >> 16)")
        }
        (count, originals, translations) = (word(8), word(12), word(16))
        for table in [originals, translations] where table + 8 * count > bytes.count {
            throw RecordFault(
                problem:
                    "expected a table of \(count) messages at offset \(table), found a file of "
                    + "\(bytes.count) bytes")
        }
    }

    /// Message `index` and its translation, in the singular and without its context.
    func message(_ index: Int) throws(RecordFault) -> (message: [UInt8], translation: [UInt8]) {
        var message = try string(originals + 8 * index)
        // A context stands before its message.
        if let mark = message.firstIndex(of: 4) { message = message[(mark + 1)...] }
        let translation = try string(translations + 8 * index)
        return (Array(message.prefix { $0 != 0 }), Array(translation.prefix { $0 != 0 }))
    }

    private func string(_ entry: Int) throws(RecordFault) -> ArraySlice<UInt8> {
        let length = MessageFile.word(bytes, entry, isLittleEndian: isLittleEndian)
        let offset = MessageFile.word(bytes, entry + 4, isLittleEndian: isLittleEndian)
        guard offset + length <= bytes.count else {
            throw RecordFault(
                problem:
                    "expected \(length) bytes of a message at offset \(offset), found a file of "
                    + "\(bytes.count) bytes")
        }
        return bytes[offset..<offset + length]
    }

    private static func word(_ bytes: [UInt8], _ offset: Int, isLittleEndian: Bool) -> Int {
        let four = bytes[offset..<offset + 4]
        let value = four.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return Int(isLittleEndian ? value.byteSwapped : value)
    }
}

/// The messages of a binary catalogue.
private final class MessageFileReader: FormatReading {
    private let path: String
    private let options: ReadingOptions
    private let file: MessageFile
    private var index = 0
    /// Bytes given, to bound what messages that share their bytes come to.
    private var givenBytes = 0

    init(_ reader: SegmentReader, _ options: ReadingOptions) throws(DatasetError) {
        (path, self.options) = (reader.path, options)
        guard case .segment(let segment) = try reader.next() else {
            preconditionFailure(
                "MessageFileReader: expected a segment with a magic number, got none")
        }
        do throws(RecordFault) {
            file = try MessageFile(Array(segment.bytes[segment.range]))
        } catch {
            throw MessageFileReader.damaged(reader.path, error)
        }
    }

    private static func damaged(_ path: String, _ fault: RecordFault) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(path.printablePath): \(fault.problem); the catalogue is damaged: make it again with msgfmt"
        )
    }

    func next(_ tally: inout ReadingTally) throws(DatasetError) -> Document? {
        while index < file.count {
            let pair: (message: [UInt8], translation: [UInt8])
            do throws(RecordFault) {
                pair = try file.message(index)
            } catch {
                throw MessageFileReader.damaged(path, error)
            }
            index += 1
            givenBytes += pair.message.count + pair.translation.count
            guard givenBytes <= options.limits.unpackedBytes else {
                throw DatasetError(
                    .corrupt,
                    "\(path.printablePath): expected messages of at most "
                        + "\(options.limits.unpackedBytes) bytes together, found more")
            }
            if let document = try Catalogue.document(
                pair.message, pair.translation, options, path: path, &tally)
            {
                return document
            }
        }
        return nil
    }
}
