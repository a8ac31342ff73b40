// Keys and tokens that have a beginning of their own, as their makers give it, and private keys in PEM (RFC 7468).

/// Looks for secrets in one text, from its beginning to its end. What was found out about the bytes ahead is kept, so that
/// a text in which one may begin at every third byte is not read through from each of them.
struct Secrets {
    /// Of each part of a web token.
    private var tokenEnds = [RunEnds](repeating: RunEnds(), count: 3)
    /// Bytes at which no private key ends.
    private var endless = 0..<0

    /// The end of the run of letters, digits, `_` and `-` that was looked at last.
    private struct RunEnds {
        private var known = 0..<0

        mutating func end(_ text: Span<UInt8>, from start: Int) -> Int {
            if known.contains(start) { return known.upperBound }
            let end = Secrets.run(text, start, .hyphened, before: text.count)
            known = start..<end
            return end
        }
    }

    /// What follows a prefix.
    private struct Form {
        let prefix: [UInt8]
        let fewest: Int
        let most: Int
        let allows: Alphabet
        /// Whether a capital and a digit must be among it: words with hyphens go on like a key.
        var isMixed = false
    }

    private enum Alphabet {
        /// A–Z, 0–9.
        case capitals
        case alphanumeric
        /// And `_`.
        case word
        /// And `-`.
        case hyphened
    }

    private static func form(
        _ prefix: String, _ count: ClosedRange<Int>, _ allows: Alphabet, isMixed: Bool = false
    ) -> Form {
        Form(
            prefix: Array(prefix.utf8), fewest: count.lowerBound, most: count.upperBound,
            allows: allows, isMixed: isMixed)
    }

    private static let forms: [Form] =
        // Amazon's access keys: 20 characters with the prefix.
        ["AKIA", "ASIA", "ABIA", "ACCA"].map { form($0, 16...16, .capitals) }
        // GitHub, GitLab.
        + ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"].map { form($0, 36...251, .alphanumeric) }
        + [form("github_pat_", 40...255, .word), form("glpat-", 20...255, .hyphened)]
        // Slack.
        + ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxc-", "xoxd-", "xapp-"]
        .map { form($0, 10...255, .hyphened) }
        // Google, Stripe, Hugging Face, npm.
        + [form("AIza", 35...35, .hyphened)]
        + ["sk_live_", "sk_test_", "rk_live_", "rk_test_"].map { form($0, 16...255, .alphanumeric) }
        + [form("hf_", 34...34, .alphanumeric), form("npm_", 36...36, .alphanumeric)]
        // OpenAI, Anthropic and others.
        + [form("sk-", 20...255, .hyphened, isMixed: true)]

    /// Bytes with which a secret begins.
    static let begins: [Bool] = (0..<256).map { byte in
        byte == 0x2D || byte == 0x65 || forms.contains { Int($0.prefix[0]) == byte }
    }

    private static let beginsPair: [Bool] = {
        var result = [Bool](repeating: false, count: 0x10000)
        for form in forms { result[Int(form.prefix[0]) << 8 | Int(form.prefix[1])] = true }
        return result
    }()

    /// Where the secret that begins at `start` ends.
    mutating func end(_ text: Span<UInt8>, from start: Int) -> Int? {
        let byte = text[start]
        if byte == 0x2D { return privateKeyEnd(text, start) }
        if start > 0, TextCharacters.isWordByte(text[start - 1]) { return nil }
        if byte == 0x65 { return webTokenEnd(text, start) }
        // The second byte tells most words apart at once.
        guard start + 1 < text.count, Secrets.beginsPair[Int(byte) << 8 | Int(text[start + 1])]
        else {
            return nil
        }
        for form in Secrets.forms where form.prefix[0] == byte {
            guard Secrets.has(text, form.prefix, at: start) else { continue }
            let first = start + form.prefix.count
            // No further than tells that it is too long.
            let most = min(text.count, first + form.most + 1)
            let end = Secrets.run(text, first, form.allows, before: most)
            guard form.fewest...form.most ~= end - first else { continue }
            if form.isMixed, !Secrets.isMixed(text, first..<end) { continue }
            if end < text.count, TextCharacters.isWordByte(text[end]) { continue }
            return end
        }
        return nil
    }

    @inline(__always)
    private static func has(_ text: Span<UInt8>, _ prefix: [UInt8], at start: Int) -> Bool {
        guard start + prefix.count <= text.count else { return false }
        for index in prefix.indices where text[start + index] != prefix[index] { return false }
        return true
    }

    private static func run(
        _ text: Span<UInt8>, _ start: Int, _ alphabet: Alphabet, before most: Int
    ) -> Int {
        var index = start
        while index < most {
            let byte = text[index]
            let isAllowed =
                switch alphabet {
                case .capitals: TextCharacters.isDigit(byte) || 0x41...0x5A ~= byte
                case .alphanumeric: TextCharacters.isAlphanumeric(byte)
                case .word: TextCharacters.isAlphanumeric(byte) || byte == 0x5F
                case .hyphened:
                    TextCharacters.isAlphanumeric(byte) || byte == 0x5F || byte == 0x2D
                }
            if !isAllowed { break }
            index += 1
        }
        return index
    }

    private static func isMixed(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        var (hasDigit, hasCapital) = (false, false)
        for index in range {
            if TextCharacters.isDigit(text[index]) { hasDigit = true }
            if 0x41...0x5A ~= text[index] { hasCapital = true }
        }
        return hasDigit && hasCapital
    }

    private static let objectStart = Array("eyJ".utf8)

    /// A JSON Web Token (RFC 7519): three parts in base64url, of which two are objects.
    private mutating func webTokenEnd(_ text: Span<UInt8>, _ start: Int) -> Int? {
        var index = start
        for part in 0..<3 {
            if part < 2, !Secrets.has(text, Secrets.objectStart, at: index) { return nil }
            let end = tokenEnds[part].end(text, from: index)
            guard end - index >= 10 else { return nil }
            index = end
            if part < 2 {
                guard index < text.count, text[index] == 0x2E else { return nil }
                index += 1
            }
        }
        return index
    }

    private static let begin = Array("-----BEGIN ".utf8)
    private static let ending = Array("-----END ".utf8)
    private static let privateKey = Array("PRIVATE KEY".utf8)
    private static let dashes = Array("-----".utf8)

    /// From `-----BEGIN … PRIVATE KEY-----` to the end of the line that ends the block; where there is none within 32 KiB, to
    /// the end of what may be base64.
    private mutating func privateKeyEnd(_ text: Span<UInt8>, _ start: Int) -> Int? {
        guard Secrets.has(text, Secrets.begin, at: start),
            let head = Secrets.labelEnd(text, start + Secrets.begin.count)
        else { return nil }
        let most = min(text.count, head + 32_768)
        var index = endless.contains(head) ? min(endless.upperBound, most) : head
        while index < most {
            if text[index] == 0x2D, Secrets.has(text, Secrets.ending, at: index),
                let end = Secrets.labelEnd(text, index + Secrets.ending.count)
            {
                return end
            }
            index += 1
        }
        endless = (endless.contains(head) ? endless.lowerBound : head)..<max(head, most)
        index = head
        while index < most, Secrets.isBlockByte(text[index]) { index += 1 }
        return TextCharacters.endWithoutSpace(text, head..<index)
    }

    private static func isBlockByte(_ byte: UInt8) -> Bool {
        TextCharacters.isAlphanumeric(byte) || TextCharacters.isASCIISpace(byte) || byte == 0x2B
            || byte == 0x2F || byte == 0x3D
    }

    /// Where a label with `PRIVATE KEY` and the dashes behind it end.
    private static func labelEnd(_ text: Span<UInt8>, _ start: Int) -> Int? {
        var (index, isPrivate) = (start, false)
        while index < text.count, index - start < 64 {
            if has(text, privateKey, at: index) { isPrivate = true }
            if text[index] == 0x2D {
                return isPrivate && has(text, dashes, at: index) ? index + dashes.count : nil
            }
            guard
                text[index] == 0x20 || 0x41...0x5A ~= text[index]
                    || TextCharacters.isDigit(text[index])
            else { return nil }
            index += 1
        }
        return nil
    }
}
