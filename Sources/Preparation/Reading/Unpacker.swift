// The three compressions behind one face. Each goes on from call to call and keeps no more than its window.

import CCompression

/// What a call of an unpacker has done.
struct UnpackingStep {
    /// Bytes taken from the input.
    var consumed: Int
    /// Bytes put into the output.
    var produced: Int
    var outcome: Outcome

    enum Outcome: Equatable {
        /// More is to come; where nothing was taken and nothing given, it waits for more input.
        case more
        /// A member (a frame, a stream) is whole, its checksum right.
        case memberEnd
        /// What is wrong, completing "found …".
        case fault(String)
    }
}

/// Unpacks members of one compression, one after the other.
protocol Unpacker: AnyObject {
    /// Unpacks from `input[range]`, which may be empty, into `output[place]`, which is not.
    func unpack(
        _ input: [UInt8], _ range: Range<Int>, into output: inout [UInt8], at place: Range<Int>
    ) -> UnpackingStep
}

extension Packing {
    func unpacker(memory: Int) -> any Unpacker {
        switch self {
        case .gzip: GzipUnpacker()
        case .zstd: ZstandardUnpacker(memory: memory)
        case .xz: XZUnpacker(memory: memory)
        }
    }
}

private let damaged = "damaged data; fetch or pack it again"
private let outOfMemory = "no memory to unpack it"

/// RFC 1952, by zlib.
private final class GzipUnpacker: Unpacker {
    // zlib refuses a state that has moved.
    private let stream: UnsafeMutablePointer<z_stream>
    private let isReady: Bool

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        isReady = murmuration_inflate_init(stream) == Z_OK
    }

    deinit {
        if isReady { inflateEnd(stream) }
        stream.deallocate()
    }

    func unpack(
        _ input: [UInt8], _ range: Range<Int>, into output: inout [UInt8], at place: Range<Int>
    ) -> UnpackingStep {
        guard isReady else {
            return UnpackingStep(consumed: 0, produced: 0, outcome: .fault(outOfMemory))
        }
        let result = input.withUnsafeBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                stream.pointee.next_in = UnsafeMutablePointer(
                    mutating: source.baseAddress.map { $0 + range.lowerBound })
                stream.pointee.avail_in = UInt32(range.count)
                stream.pointee.next_out = target.baseAddress.map { $0 + place.lowerBound }
                stream.pointee.avail_out = UInt32(place.count)
                return inflate(stream, Z_NO_FLUSH)
            }
        }
        let outcome: UnpackingStep.Outcome
        switch result {
        case Z_OK, Z_BUF_ERROR: outcome = .more
        case Z_STREAM_END:
            outcome = inflateReset(stream) == Z_OK ? .memberEnd : .fault(damaged)
        case Z_MEM_ERROR: outcome = .fault(outOfMemory)
        default:
            let reason = stream.pointee.msg.map { " (\(String(cString: $0)))" } ?? ""
            outcome = .fault("damaged data\(reason); fetch or pack it again")
        }
        return UnpackingStep(
            consumed: range.count - Int(stream.pointee.avail_in),
            produced: place.count - Int(stream.pointee.avail_out), outcome: outcome)
    }
}

/// RFC 8878, by libzstd.
private final class ZstandardUnpacker: Unpacker {
    private let stream: OpaquePointer?
    private let memory: Int

    init(memory: Int) {
        self.memory = memory
        stream = ZSTD_createDStream()
        // Windows are powers of two; the library takes 2¹⁰ to 2³¹.
        let bits = Int.bitWidth - 1 - max(1 << 10, min(memory, 1 << 31)).leadingZeroBitCount
        if let stream {
            _ = ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, Int32(bits))
        }
    }

    deinit { ZSTD_freeDStream(stream) }

    func unpack(
        _ input: [UInt8], _ range: Range<Int>, into output: inout [UInt8], at place: Range<Int>
    ) -> UnpackingStep {
        guard let stream else {
            return UnpackingStep(consumed: 0, produced: 0, outcome: .fault(outOfMemory))
        }
        return input.withUnsafeBytes { source in
            output.withUnsafeMutableBytes { target in
                var from = ZSTD_inBuffer(
                    src: source.baseAddress.map { $0 + range.lowerBound }, size: range.count, pos: 0
                )
                var to = ZSTD_outBuffer(
                    dst: target.baseAddress.map { $0 + place.lowerBound }, size: place.count, pos: 0
                )
                let result = ZSTD_decompressStream(stream, &to, &from)
                var outcome = UnpackingStep.Outcome.more
                if ZSTD_isError(result) != 0 {
                    outcome = .fault(reason(result))
                } else if result == 0 {
                    outcome = .memberEnd
                }
                return UnpackingStep(consumed: from.pos, produced: to.pos, outcome: outcome)
            }
        }
    }

    private func reason(_ result: Int) -> String {
        switch ZSTD_getErrorCode(result) {
        case ZSTD_error_frameParameter_windowTooLarge:
            return "a window that takes more than \(memory) bytes of memory; pack it again without "
                + "--long and --ultra, or allow more"
        case ZSTD_error_memory_allocation: return outOfMemory
        case ZSTD_error_dictionary_wrong:
            return "data that a dictionary is needed for; pack it again without one"
        default:
            let name = String(cString: ZSTD_getErrorName(result))
            return "damaged data (\(name)); fetch or pack it again"
        }
    }
}

/// The .xz format, by liblzma.
private final class XZUnpacker: Unpacker {
    private let stream: UnsafeMutablePointer<lzma_stream>
    private let memory: Int
    private var isReady: Bool

    init(memory: Int) {
        self.memory = memory
        stream = .allocate(capacity: 1)
        stream.initialize(to: murmuration_lzma_stream())
        isReady = lzma_stream_decoder(stream, UInt64(max(memory, 1)), 0) == LZMA_OK
    }

    deinit {
        lzma_end(stream)
        stream.deallocate()
    }

    func unpack(
        _ input: [UInt8], _ range: Range<Int>, into output: inout [UInt8], at place: Range<Int>
    ) -> UnpackingStep {
        guard isReady else {
            return UnpackingStep(consumed: 0, produced: 0, outcome: .fault(outOfMemory))
        }
        let result = input.withUnsafeBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                stream.pointee.next_in = source.baseAddress.map { $0 + range.lowerBound }
                stream.pointee.avail_in = range.count
                stream.pointee.next_out = target.baseAddress.map { $0 + place.lowerBound }
                stream.pointee.avail_out = place.count
                return lzma_code(stream, LZMA_RUN)
            }
        }
        let (left, room) = (stream.pointee.avail_in, stream.pointee.avail_out)
        let outcome: UnpackingStep.Outcome
        switch result {
        case LZMA_OK, LZMA_BUF_ERROR: outcome = .more
        case LZMA_STREAM_END:
            outcome = .memberEnd
            isReady = lzma_stream_decoder(stream, UInt64(max(memory, 1)), 0) == LZMA_OK
        case LZMA_MEM_ERROR: outcome = .fault(outOfMemory)
        case LZMA_MEMLIMIT_ERROR:
            outcome = .fault(
                "a dictionary that takes more than \(memory) bytes of memory; pack it again with a "
                    + "smaller preset, or allow more")
        case LZMA_OPTIONS_ERROR:
            outcome = .fault("filters that liblzma does not know; pack it again without them")
        default: outcome = .fault(damaged)
        }
        return UnpackingStep(
            consumed: range.count - left, produced: place.count - room, outcome: outcome)
    }
}
