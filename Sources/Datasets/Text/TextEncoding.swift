/// What bytes that are not UTF-8 seem to be, and what a person does about it.
package enum TextEncoding {
    /// The mark that some programs put before UTF-8; it is no text.
    package static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
    /// Bytes that are looked at.
    package static let headByteCount = 4096

    /// Advice from the `head` of a file; nil where it looks like text of single bytes or of UTF-8.
    ///
    /// Text of 16 or 32 bits is told by its byte-order mark, or by zeros, of which ASCII has one in two
    /// bytes or more.
    package static func advice(head: ArraySlice<UInt8>) -> String? {
        if head.starts(with: [0xFF, 0xFE, 0, 0]) || head.starts(with: [0, 0, 0xFE, 0xFF]) {
            return conversion(from: "UTF-32")
        }
        if head.starts(with: [0xFF, 0xFE]) || head.starts(with: [0xFE, 0xFF]) {
            return conversion(from: "UTF-16")
        }
        if head.starts(with: [0x1F, 0x8B]) { return "it looks like gzip; unpack it" }
        let zeros = head.indices.filter { head[$0] == 0 }
        guard zeros.count > 1, zeros.count >= head.count / 4 else { return nil }
        if zeros.count > head.count * 5 / 8 { return conversion(from: "UTF-32") }
        let odd = zeros.count { !($0 - head.startIndex).isMultiple(of: 2) }
        return conversion(from: odd > zeros.count / 2 ? "UTF-16LE" : "UTF-16BE")
    }

    /// Advice for a file with a byte that is not UTF-8.
    package static func advice(invalid head: ArraySlice<UInt8>) -> String {
        if let advice = advice(head: head) { return advice }
        let isText = head.allSatisfy { $0 >= 0x20 || (0x09...0x0D).contains($0) }
        return isText
            ? conversion(from: "WINDOWS-1252") : "it does not look like text; name another file"
    }

    /// The offset of the first sequence that is not UTF-8; nil where all is.
    package static func firstInvalidOffset(in bytes: [UInt8]) -> Int? {
        var decoder = UTF8StreamDecoder()
        var start = 0
        for (offset, byte) in bytes.enumerated() {
            if decoder.isComplete { start = offset }
            if decoder.next(byte) == .invalid { return start }
        }
        return decoder.isComplete ? nil : start
    }

    private static func conversion(from encoding: String) -> String {
        "it looks like \(encoding); convert it with iconv -f \(encoding) -t UTF-8"
    }
}
