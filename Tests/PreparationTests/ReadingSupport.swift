import CCompression
import Datasets
import Preparation
import TestSupport
import Testing

/// What a test packs with: the libraries' one-call interfaces, which the readers do not use.
enum Packed {
    static func gzip(_ bytes: [UInt8], level: Int32 = 6) -> [UInt8] {
        let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        stream.initialize(to: z_stream())
        defer { stream.deallocate() }
        let size = Int32(MemoryLayout<z_stream>.size)
        guard
            deflateInit2_(stream, level, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, size)
                == Z_OK
        else { return [] }
        defer { deflateEnd(stream) }
        var input = bytes
        var output = [UInt8](repeating: 0, count: Int(deflateBound(stream, UInt(bytes.count))) + 64)
        let count = input.withUnsafeMutableBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                stream.pointee.next_in = source.baseAddress
                stream.pointee.avail_in = UInt32(source.count)
                stream.pointee.next_out = target.baseAddress
                stream.pointee.avail_out = UInt32(target.count)
                return deflate(stream, Z_FINISH) == Z_STREAM_END ? Int(stream.pointee.total_out) : 0
            }
        }
        return Array(output[..<count])
    }

    static func zstd(_ bytes: [UInt8]) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        let count = ZSTD_compress(&output, output.count, bytes, bytes.count, 3)
        return Array(output[..<count])
    }

    static func xz(_ bytes: [UInt8], preset: UInt32 = 1) -> [UInt8] {
        var output = [UInt8](repeating: 0, count: lzma_stream_buffer_bound(bytes.count))
        var count = 0
        let size = output.count
        let result = lzma_easy_buffer_encode(
            preset, LZMA_CHECK_CRC64, nil, bytes, bytes.count, &output, &count, size)
        return result == LZMA_OK ? Array(output[..<count]) : []
    }

    static func pack(_ bytes: [UInt8], _ packing: Packing) -> [UInt8] {
        switch packing {
        case .gzip: gzip(bytes)
        case .zstd: zstd(bytes)
        case .xz: xz(bytes)
        }
    }
}

/// What reading a file to its end gave.
struct Reading {
    var documents: [Document] = []
    var counts = ReadingCounts()

    /// Of plain texts.
    var texts: [String] { documents.map { String(decoding: $0.parts[0].text, as: UTF8.self) } }
    /// Of records: role and text of each part.
    var parts: [[String]] {
        documents.map { $0.parts.map { "\($0.role): \(String(decoding: $0.text, as: UTF8.self))" } }
    }

    init(_ path: String, _ options: ReadingOptions) throws(DatasetError) {
        try self.init(DocumentReader(path: path, options: options))
    }

    init(_ reader: consuming DocumentReader) throws(DatasetError) {
        while let document = try reader.next() { documents.append(document) }
        counts = reader.counts
    }

    /// Of a text that is written to a file of this name.
    init(
        _ text: String, as name: String = "file",
        _ change: (inout ReadingOptions) -> Void = { _ in }
    ) throws {
        try self.init(Array(text.utf8), as: name, change)
    }

    init(
        _ bytes: [UInt8], as name: String = "file",
        _ change: (inout ReadingOptions) -> Void = { _ in }
    ) throws {
        let folder = try TemporaryFolder()
        var options = ReadingOptions()
        change(&options)
        try self.init(try folder.write(name, bytes), options)
    }
}

/// The error's message; nil where there is none.
func problem(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch {
        return "\(error)"
    }
}

func expectProblem(
    _ words: String..., sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) {
    let message = problem(body)
    for word in words {
        #expect(
            message?.contains(word) == true, "\(message ?? "no error"): expected \(word)",
            sourceLocation: sourceLocation)
    }
}
