import Files
import Tensors

/// A SHA-256 taken while bytes go by (FIPS 180-4).
package struct ContentDigest: Sendable {
    private var function = SHA256()

    package init() {}

    package mutating func update(_ bytes: RawSpan) {
        bytes.withUnsafeBytes { function.update($0) }
    }

    package mutating func update(_ bytes: [UInt8]) { function.update(bytes) }

    package mutating func update(_ buffer: Buffer) { buffer.withRawSpan { update($0) } }

    /// 64 lower-case hexadecimal digits.
    package func hexadecimal() -> String { function.digest().hexadecimal }

    /// The digest of `bytes` with its label: `sha256:` and 64 hexadecimal digits.
    package static func labelled(_ bytes: [UInt8]) -> String {
        var digest = ContentDigest()
        digest.update(bytes)
        return digest.labelled()
    }

    package func labelled() -> String { PartDigest.Algorithm.sha256.rawValue + hexadecimal() }

    /// Of a whole text, 64 digits.
    package static func hexadecimal(_ text: String) -> String {
        var digest = ContentDigest()
        digest.update(Array(text.utf8))
        return digest.hexadecimal()
    }
}

extension Buffer {
    /// Calls `body` with the bytes of the buffer.
    func withRawSpan<Failure: Error>(
        _ body: (RawSpan) throws(Failure) -> Void
    ) throws(Failure) {
        try body(UnsafeRawBufferPointer(start: bytes, count: byteCount).bytes)
    }
}
