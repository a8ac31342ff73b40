import Tensors

/// The digest of a file or of a part of a tensor, as a manifest of some version has it.
struct PartDigest: Sendable {
    /// What a digest is made by; its text names it.
    enum Algorithm: String, Sendable, CaseIterable {
        /// Of version 1.
        case sha256 = "sha256:"
        /// Of version 2: as fast as memory.
        case xxh64 = "xxh64:"

        var digitCount: Int { self == .sha256 ? 64 : 16 }

        /// Whether `text` is a digest as `labelled()` makes them.
        func isDigest(_ text: String) -> Bool {
            let digits = text.utf8.dropFirst(rawValue.utf8.count)
            return text.hasPrefix(rawValue) && digits.count == digitCount
                && digits.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
        }

        init(ofVersion version: Int) { self = version == 1 ? .sha256 : .xxh64 }

        /// What made a digest that is one.
        init(of digest: String) {
            self = digest.hasPrefix(Algorithm.sha256.rawValue) ? .sha256 : .xxh64
        }
    }

    private enum Function: Sendable {
        case sha256(ContentDigest)
        case xxh64(XXHash64)
    }

    private var function: Function

    init(_ algorithm: Algorithm = .xxh64) {
        switch algorithm {
        case .sha256: function = .sha256(ContentDigest())
        case .xxh64: function = .xxh64(XXHash64())
        }
    }

    mutating func update(_ bytes: RawSpan) {
        switch function {
        case .sha256(var digest):
            digest.update(bytes)
            function = .sha256(digest)
        case .xxh64(var hash):
            hash.update(bytes)
            function = .xxh64(hash)
        }
    }

    mutating func update(_ bytes: [UInt8]) {
        let span = bytes.span
        update(span.bytes)
    }

    mutating func update(_ buffer: Buffer) { buffer.withRawSpan { update($0) } }

    /// The algorithm's label and lower-case hexadecimal digits.
    func labelled() -> String {
        switch function {
        case .sha256(let digest): return digest.labelled()
        case .xxh64(let hash):
            let digits = String(hash.value(), radix: 16)
            let zeros = String(repeating: "0", count: 16 - digits.count)
            return Algorithm.xxh64.rawValue + zeros + digits
        }
    }

    /// The XXH64 digest of `bytes`.
    static func labelled(_ bytes: [UInt8]) -> String {
        var digest = PartDigest()
        digest.update(bytes)
        return digest.labelled()
    }
}
