// Words of a text for BLEU. The rules of mteval-v13a, NIST's scoring script, as sacrebleu has them:
// they are patterns over ASCII, so bytes of UTF-8 do as well as code points, of which a byte above
// 127 is just "no digit".

/// What makes words of a text.
public enum WordTokenizer: String, Hashable, Sendable, CaseIterable {
    /// Apart from white space also at punctuation, by the rules of NIST's mteval-v13a.
    case mteval13a = "13a"
    /// At white space only: the text is in words already.
    case none

    /// - Parameter text: UTF-8.
    func words(of text: [UInt8]) -> [Word] {
        switch self {
        case .mteval13a: Metrics.words(of: separated(text))
        case .none: Metrics.words(of: text)
        }
    }

    /// The words joined by spaces.
    package func tokenized(_ text: String) -> String {
        String(
            decoding: Array(words(of: Array(text.utf8)).joined(separator: [0x20])), as: UTF8.self)
    }
}

/// The pieces of mark-up that are taken out or resolved, in this order: what an earlier one leaves
/// is seen by a later one, so that `&amp;lt;` becomes `<` but `&amp;quot;` becomes `&quot;`.
private let markup: [(found: [UInt8], replacement: [UInt8])] = [
    ("<skipped>", ""), ("-\n", ""), ("\n", " "), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"),
    ("&gt;", ">"),
].map { (Array($0.0.utf8), Array($0.1.utf8)) }

private func isDigit(_ byte: UInt8) -> Bool { 0x30...0x39 ~= byte }
private func isPeriodOrComma(_ byte: UInt8) -> Bool { byte == 0x2E || byte == 0x2C }

/// ASCII's punctuation and space without the apostrophe, comma, hyphen and period.
private func standsAlone(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x20...0x26, 0x28...0x2B, 0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
    default: false
    }
}

/// A text with spaces around all that is a word by itself.
private func separated(_ text: [UInt8]) -> [UInt8] {
    let clean = markup.reduce(withoutTrailingSpace(text)) { text, rule in
        replacing(rule.found, by: rule.replacement, in: text)
    }
    var spaced: [UInt8] = [0x20]
    spaced.reserveCapacity(2 * clean.count)
    for byte in clean {
        let isAlone = standsAlone(byte)
        if isAlone { spaced.append(0x20) }
        spaced.append(byte)
        if isAlone { spaced.append(0x20) }
    }
    spaced.append(0x20)
    // Periods and commas are split off unless a digit stands before them; then, unless one stands
    // after them.
    let before = spacingPairs(of: spaced, atEnd: true) { !isDigit($0) && isPeriodOrComma($1) }
    let after = spacingPairs(of: before, atEnd: false) { isPeriodOrComma($0) && !isDigit($1) }
    return spacingPairs(of: after, atEnd: true) { isDigit($0) && $1 == 0x2D }
}

/// Sets the bytes of each such pair apart, and from what follows (`atEnd`) or comes before.
///
/// Pairs do not overlap: the first in a text wins, and the search goes on behind it.
private func spacingPairs(
    of text: [UInt8], atEnd: Bool, where isPair: (UInt8, UInt8) -> Bool
) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + 16)
    var index = 0
    while index < text.count {
        let first = text[index]
        guard index + 1 < text.count, isPair(first, text[index + 1]) else {
            result.append(first)
            index += 1
            continue
        }
        let second = text[index + 1]
        if !atEnd { result.append(0x20) }
        result.append(first)
        result.append(0x20)
        result.append(second)
        if atEnd { result.append(0x20) }
        index += 2
    }
    return result
}

private func replacing(_ found: [UInt8], by replacement: [UInt8], in text: [UInt8]) -> [UInt8] {
    guard text.contains(found[0]) else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
        if text[index] == found[0], text[index...].starts(with: found) {
            result += replacement
            index += found.count
        } else {
            result.append(text[index])
            index += 1
        }
    }
    return result
}
