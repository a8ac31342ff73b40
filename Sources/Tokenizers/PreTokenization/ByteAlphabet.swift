/// The character that stands for each byte in vocabularies of byte-level tokenizers, as GPT-2's encoder.py has it: itself
/// where it is printable, else U+0100 and up in order.
package enum ByteAlphabet {
    /// Of each byte.
    package static let scalars: [UInt32] = {
        var next: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            if 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || 0xAE...0xFF ~= byte { return byte }
            defer { next += 1 }
            return next
        }
    }()

    /// The byte that a character stands for.
    static func byte(of scalar: UInt32) -> UInt8? {
        guard scalar < 0x180 else { return nil }
        let byte = bytes[Int(scalar)]
        return byte < 0 ? nil : UInt8(byte)
    }

    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x180)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
        return bytes
    }()

    /// The bytes that `text` stands for; nil where a character of it stands for none.
    static func bytes(of text: some Collection<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        for scalar in UTF8Text.scalars(of: Array(text)) {
            guard let byte = byte(of: scalar) else { return nil }
            bytes.append(byte)
        }
        return bytes
    }

    /// How vocabularies with byte fall-back write a byte: `<0x0A>`.
    static func fallbackToken(of byte: UInt8) -> [UInt8] {
        let digits = String(byte, radix: 16, uppercase: true)
        return Array("<0x\(digits.utf8.count == 1 ? "0" : "")\(digits)>".utf8)
    }

    /// `bytes` as characters.
    static func text(of bytes: some Collection<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        for byte in bytes { UTF8Text.append(scalars[Int(byte)], to: &text) }
        return text
    }
}
