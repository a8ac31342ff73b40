/// What bytes that are not UTF-8 seem to be, and what a person does about it.
package enum TextEncoding {
    /// The mark that some programs put before UTF-8; it is no text.
    package static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
    /// Bytes that are looked at.
    package static let headByteCount = 4096

    /// Where bytes stop being UTF-8.
    package struct Fault {
        /// Of the first byte of the sequence that is none.
        package let offset: Int
        /// Whether the bytes before it are UTF-8 and no other encoding, or the fault is a character that the end of the
        /// file cuts off.
        package let isUTF8Before: Bool
    }

    /// What the `head` of a file is, and what to do about it: completes "found …"; nil where it looks like text of
    /// single bytes or of UTF-8.
    ///
    /// Text of 16 or 32 bits is told by its byte-order mark, or by zeros, of which ASCII has one in two
    /// bytes or more, all in the same places.
    package static func unlikeUTF8(head: ArraySlice<UInt8>) -> String? {
        if let encoding = encoding(head: head) {
            return "other bytes; it looks like \(encoding); \(conversion(from: encoding))"
        }
        if head.starts(with: [0x1F, 0x8B]) { return "other bytes; it looks like gzip; unpack it" }
        let zeros = head.count { $0 == 0 }
        guard zeros > 1, zeros >= head.count / 4 else { return nil }
        return
            "\(zeros) zero bytes among the first \(head.count); remove them, or name another file"
    }

    private static func encoding(head: ArraySlice<UInt8>) -> String? {
        if head.starts(with: [0xFF, 0xFE, 0, 0]) || head.starts(with: [0, 0, 0xFE, 0xFF]) {
            return "UTF-32"
        }
        if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) { return "UTF-16" }
        // Zeros by their place in a group of four bytes.
        var zeros = [0, 0, 0, 0]
        for (index, byte) in head.enumerated() where byte == 0 { zeros[index % 4] += 1 }
        let (count, group) = (zeros.reduce(0, +), max(1, head.count / 4))
        guard count > 1, count >= head.count / 4 else { return nil }
        let (even, odd) = (zeros[0] + zeros[2], zeros[1] + zeros[3])
        // Of 32 bits, one place in four is never zero and two or more always are.
        let full = zeros.count { $0 >= group }
        if full >= 2, zeros.contains(0), even > 0, odd > 0 { return "UTF-32" }
        if even * 10 <= odd { return "UTF-16LE" }
        return odd * 10 <= even ? "UTF-16BE" : nil
    }

    /// Advice for a file with a byte that is not UTF-8.
    package static func advice(invalid head: ArraySlice<UInt8>, isUTF8Before: Bool) -> String {
        if isUTF8Before {
            return "the text is UTF-8 up to that byte: mend or remove it"
        }
        let isText = head.allSatisfy { $0 >= 0x20 || (0x09...0x0D).contains($0) }
        return isText
            ? "perhaps it is Windows-1252: \(conversion(from: "WINDOWS-1252"))"
            : "it does not look like text; name another file"
    }

    /// The first sequence that is not UTF-8; nil where all is.
    package static func firstFault(in bytes: [UInt8]) -> Fault? {
        var decoder = UTF8StreamDecoder()
        var (start, hasWide) = (0, false)
        for (offset, byte) in bytes.enumerated() {
            if decoder.isComplete { start = offset }
            switch decoder.next(byte) {
            case .scalar(let value): hasWide = hasWide || value > 0x7F
            case .incomplete: break
            case .invalid: return Fault(offset: start, isUTF8Before: hasWide)
            }
        }
        return decoder.isComplete ? nil : Fault(offset: start, isUTF8Before: true)
    }

    private static func conversion(from encoding: String) -> String {
        "convert it with iconv -f \(encoding) -t UTF-8"
    }
}
