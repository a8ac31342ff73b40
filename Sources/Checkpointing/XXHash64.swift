/// XXH64 taken while bytes go by (Yann Collet, "XXH64 algorithm description", with seed 0).
///
/// Four lanes each take eight bytes of a block of 32, independently of one another, which a processor does
/// at the speed of memory. It finds damage; it is no protection against someone who makes it on purpose.
package struct XXHash64: Sendable {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    private var lanes = (prime1 &+ prime2, prime2, 0 as UInt64, 0 &- prime1)
    private var byteCount = 0
    /// Bytes that do not fill a block yet: fewer than 32.
    private var rest: [UInt8] = []

    package init() {}

    package mutating func update(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { bytes in
            byteCount += bytes.count
            var start = 0
            if !rest.isEmpty {
                start = min(32 - rest.count, bytes.count)
                rest.append(contentsOf: bytes[..<start])
                guard rest.count == 32 else { return }
                rest.withUnsafeBytes { takeBlocks($0) }
                rest.removeAll(keepingCapacity: true)
            }
            let end = bytes.count - (bytes.count - start) % 32
            takeBlocks(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            rest.append(contentsOf: bytes[end...])
        }
    }

    /// The digest of all bytes so far.
    package func value() -> UInt64 {
        var hash: UInt64
        if byteCount >= 32 {
            hash = rotated(lanes.0, 1) &+ rotated(lanes.1, 7) &+ rotated(lanes.2, 12)
            hash &+= rotated(lanes.3, 18)
            for lane in [lanes.0, lanes.1, lanes.2, lanes.3] {
                hash = (hash ^ round(0, lane)) &* XXHash64.prime1 &+ XXHash64.prime4
            }
        } else {
            hash = XXHash64.prime5
        }
        hash &+= UInt64(byteCount)
        return avalanche(withRest(hash))
    }

    private func withRest(_ start: UInt64) -> UInt64 {
        var (hash, position) = (start, 0)
        func word(_ size: Int) -> UInt64 {
            defer { position += size }
            return rest[position..<position + size].reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }
        while position + 8 <= rest.count {
            hash = rotated(hash ^ round(0, word(8)), 27) &* XXHash64.prime1 &+ XXHash64.prime4
        }
        if position + 4 <= rest.count {
            hash = rotated(hash ^ word(4) &* XXHash64.prime1, 23) &* XXHash64.prime2
            hash &+= XXHash64.prime3
        }
        while position < rest.count {
            hash = rotated(hash ^ word(1) &* XXHash64.prime5, 11) &* XXHash64.prime1
        }
        return hash
    }

    private func avalanche(_ value: UInt64) -> UInt64 {
        var hash = (value ^ value >> 33) &* XXHash64.prime2
        hash = (hash ^ hash >> 29) &* XXHash64.prime3
        return hash ^ hash >> 32
    }

    private mutating func takeBlocks(_ bytes: UnsafeRawBufferPointer) {
        var (a, b, c, d) = lanes
        var position = 0
        while position < bytes.count {
            func word(_ index: Int) -> UInt64 {
                UInt64(
                    littleEndian: bytes.loadUnaligned(
                        fromByteOffset: position + index * 8, as: UInt64.self))
            }
            a = round(a, word(0))
            b = round(b, word(1))
            c = round(c, word(2))
            d = round(d, word(3))
            position += 32
        }
        lanes = (a, b, c, d)
    }

    @inline(__always)
    private func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        rotated(lane &+ word &* XXHash64.prime2, 31) &* XXHash64.prime1
    }

    @inline(__always)
    private func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 {
        value << count | value >> (64 - count)
    }
}
