// Texts as Python sees them, since the reference programs are written in it: code points, its own
// set of white space, its lower case. Swift's characters (grapheme clusters) and its equality of
// strings (canonical equivalence) would count other units and find other matches, so texts are
// taken apart as UTF-8.

/// A word: UTF-8 within a text.
typealias Word = ArraySlice<UInt8>

/// How many bytes of white space begin here; 0 where none does.
///
/// The set is that of Python's `str.split()`: White_Space of Unicode and the separators U+001C to
/// U+001F.
func whiteSpaceLength(_ text: [UInt8], at index: Int) -> Int {
    let byte = text[index]
    if byte < 0x80 { return isASCIISpace(byte) ? 1 : 0 }
    guard byte == 0xC2 || 0xE1...0xE3 ~= byte else { return 0 }
    let second = text[index + 1]
    if byte == 0xC2 { return second == 0x85 || second == 0xA0 ? 2 : 0 }
    let third = text[index + 2]
    let isSpace =
        switch (byte, second) {
        case (0xE1, 0x9A): third == 0x80  // U+1680
        case (0xE2, 0x80):  // U+2000 to U+200A, U+2028, U+2029, U+202F
            0x80...0x8A ~= third || third == 0xA8 || third == 0xA9 || third == 0xAF
        case (0xE2, 0x81): third == 0x9F  // U+205F
        case (0xE3, 0x80): third == 0x80  // U+3000
        default: false
        }
    return isSpace ? 3 : 0
}

private func isASCIISpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || 0x09...0x0D ~= byte || 0x1C...0x1F ~= byte
}

/// The words between white space; none is empty.
func words(of text: [UInt8]) -> [Word] {
    var words: [Word] = []
    var start = 0
    var index = 0
    while index < text.count {
        let length = whiteSpaceLength(text, at: index)
        if length == 0 {
            index += 1
            continue
        }
        if index > start { words.append(text[start..<index]) }
        index += length
        start = index
    }
    if index > start { words.append(text[start..<index]) }
    return words
}

/// A text without white space at its end.
func withoutTrailingSpace(_ text: [UInt8]) -> [UInt8] {
    guard let last = text.last, last >= 0x80 || isASCIISpace(last) else { return text }
    return Array(text[..<(words(of: text).last?.endIndex ?? 0)])
}

/// The code points of a text.
func codePoints(of text: [UInt8]) -> [UInt32] {
    if text.allSatisfy({ $0 < 0x80 }) { return text.map { UInt32($0) } }
    return String(decoding: text, as: UTF8.self).unicodeScalars.map(\.value)
}

/// A text in lower case, as Python's `str.lower()` has it.
///
/// Each code point by the full mapping of Unicode (İ becomes i and a dot above), as
/// `String.lowercased()` does too; but a capital sigma at the end of a word becomes ς (Unicode,
/// section 3.13, Final_Sigma), which Swift leaves out. What still differs is the version of
/// Unicode, as it does between versions of Python: 3.11 has 14, and leaves the 55 capitals alone
/// that were assigned since (U+A7CB or those of Garay from U+10D50, for example); and next to a
/// sigma, U+0295 was a letter with case then, and U+1171E was passed over.
package func lowercase(_ text: String) -> [UInt8] {
    let bytes = Array(text.utf8)
    if bytes.allSatisfy({ $0 < 0x80 }) {
        return bytes.map { 0x41...0x5A ~= $0 ? $0 | 0x20 : $0 }
    }
    let scalars = Array(text.unicodeScalars)
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count + 8)
    for (index, scalar) in scalars.enumerated() {
        if scalar == "Σ" {
            result += (isFinal(index, scalars) ? "ς" : "σ").utf8
        } else {
            result += scalar.properties.lowercaseMapping.utf8
        }
    }
    return result
}

/// Whether a letter stands before this one, and none after, but for what case ignores.
private func isFinal(_ index: Int, _ scalars: [Unicode.Scalar]) -> Bool {
    let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
    let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
    return before?.properties.isCased == true && after?.properties.isCased != true
}
