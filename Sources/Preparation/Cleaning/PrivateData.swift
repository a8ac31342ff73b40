// Data that is nobody's business, found by its form: what has a checksum or a fixed beginning surely, the rest with care, as
// a wrong find costs a text its numbers. A pass looks only where an `@`, a digit, a `+` or a secret's first letter stands.
//
// Where two finds overlap the earlier kind of this order wins: secrets, e-mail, payment cards, IP addresses, phone numbers.

/// A find in a text.
struct PrivateDatum: Equatable {
    var kind: PrivateDataKind
    /// Bytes.
    var range: Range<Int>
}

/// Looks for private data, and takes it out.
struct PrivateData: Sendable {
    private let isSought: [Bool]
    private let includesReserved: Bool
    private let isRedacted: [Bool]
    /// What to do where a byte stands; nothing for most.
    private let triggers: [Trigger]
    let looksForAnything: Bool

    private struct Trigger: OptionSet {
        let rawValue: UInt8
        static let at = Trigger(rawValue: 1)
        static let digit = Trigger(rawValue: 2)
        static let plus = Trigger(rawValue: 4)
        /// A letter or colon with which an IPv6 address begins.
        static let hexadecimal = Trigger(rawValue: 8)
        static let secret = Trigger(rawValue: 16)
        static let parenthesis = Trigger(rawValue: 32)
    }

    init(_ options: CleaningOptions) {
        isSought = PrivateDataKind.allCases.map { options.treatment(of: $0) != .keep }
        isRedacted = PrivateDataKind.allCases.map { options.treatment(of: $0) == .redact }
        includesReserved = options.includesReservedAddresses
        looksForAnything = isSought.contains(true)
        let sought = isSought
        func seeks(_ kind: PrivateDataKind) -> Bool { sought[PrivateData.index(kind)] }
        triggers = (0..<256).map { value in
            let byte = UInt8(value)
            var trigger: Trigger = []
            if byte == 0x40, seeks(.emailAddress) { trigger.insert(.at) }
            if TextCharacters.isDigit(byte),
                seeks(.paymentCard) || seeks(.ipAddress) || seeks(.phoneNumber)
            {
                trigger.insert(.digit)
            }
            if seeks(.phoneNumber) {
                if byte == 0x2B { trigger.insert(.plus) }
                if byte == 0x28 { trigger.insert(.parenthesis) }
            }
            if seeks(.ipAddress), byte == 0x3A || 0x61...0x66 ~= byte | 0x20 {
                trigger.insert(.hexadecimal)
            }
            if seeks(.secret), Secrets.begins[value] { trigger.insert(.secret) }
            return trigger
        }
    }

    private static func index(_ kind: PrivateDataKind) -> Int {
        switch kind {
        case .emailAddress: 0
        case .ipAddress: 1
        case .paymentCard: 2
        case .secret: 3
        case .phoneNumber: 4
        }
    }

    private func seeks(_ kind: PrivateDataKind) -> Bool { isSought[PrivateData.index(kind)] }

    /// Everything found in `text`, in order; no two overlap.
    func finds(in text: Span<UInt8>) -> [PrivateDatum] {
        var emails: [Range<Int>] = []
        if seeks(.emailAddress) {
            var last = 0
            for index in text.indices where text[index] == 0x40 {
                guard let range = EmailAddress.range(text, around: index, from: last) else {
                    continue
                }
                emails.append(range)
                last = range.upperBound
            }
        }
        var finds: [PrivateDatum] = []
        var secrets = Secrets()
        var (index, email) = (0, 0)
        let triggers = triggers.span
        while index < text.count {
            if email < emails.count, emails[email].lowerBound <= index {
                // A secret may have gone over it.
                if emails[email].lowerBound == index {
                    finds.append(PrivateDatum(kind: .emailAddress, range: emails[email]))
                    index = emails[email].upperBound
                }
                email += 1
                continue
            }
            let trigger = triggers[Int(text[index])]
            guard !trigger.isEmpty, trigger != .at else {
                index += 1
                continue
            }
            let end = email < emails.count ? emails[email].lowerBound : text.count
            if let find = find(text, at: index, trigger, before: end, &secrets) {
                finds.append(find)
                index = find.range.upperBound
            } else {
                index += 1
            }
        }
        return finds
    }

    /// What begins at `index`. Only a secret may go on behind `end`.
    private func find(
        _ text: Span<UInt8>, at index: Int, _ trigger: Trigger, before end: Int,
        _ secrets: inout Secrets
    ) -> PrivateDatum? {
        if trigger.contains(.secret), let last = secrets.end(text, from: index) {
            return PrivateDatum(kind: .secret, range: index..<last)
        }
        // What is in the middle of a word, a number or a code is none of the others.
        let before = index > 0 ? text[index - 1] : 0x20
        if TextCharacters.isWordByte(before) { return nil }
        var (kind, last) = (PrivateDataKind.paymentCard, Int?.none)
        if trigger.contains(.digit), seeks(.paymentCard) {
            last = PaymentCard.end(text, from: index, after: before)
        }
        if last == nil, !trigger.isDisjoint(with: [.digit, .hexadecimal]), seeks(.ipAddress) {
            kind = .ipAddress
            last = IPAddress.end(
                text, from: index, after: before, includesReserved: includesReserved)
        }
        if last == nil, !trigger.isDisjoint(with: [.digit, .plus, .parenthesis]),
            seeks(.phoneNumber)
        {
            kind = .phoneNumber
            last = PhoneNumber.end(text, from: index, after: before)
        }
        guard let last, last <= end else { return nil }
        return PrivateDatum(kind: kind, range: index..<last)
    }

    /// The first kind in `finds` for which a document goes.
    func fault(_ finds: [PrivateDatum]) -> PrivateDataKind? {
        finds.first { !isRedacted[PrivateData.index($0.kind)] }?.kind
    }

    /// `text` with placeholders in the place of `finds`.
    static func redacted(_ text: [UInt8], _ finds: [PrivateDatum]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var done = 0
        for find in finds {
            result += text[done..<find.range.lowerBound]
            result += find.kind.placeholder.utf8
            done = find.range.upperBound
        }
        result += text[done...]
        return result
    }
}

/// Addresses of e-mail: the dot-atoms of RFC 5322 (section 3.2.3) that people have, and a domain name (RFC 1035, section
/// 2.3.1) of two labels or more, the last of letters. ASCII alone.
enum EmailAddress {
    /// What looks like an address and is a file's name: `logo@2x.png`.
    private static let fileNames = [
        "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "service",
    ].map { Array($0.utf8) }

    /// The address around the `@` at `place`, which begins at `start` or behind.
    static func range(_ text: Span<UInt8>, around place: Int, from start: Int) -> Range<Int>? {
        var first = place
        while first > start, place - first < 64, isLocal(text[first - 1]) { first -= 1 }
        // Points and signs at the beginning belong to the text around.
        while first < place, !TextCharacters.isAlphanumeric(text[first]), text[first] != 0x5F {
            first += 1
        }
        guard first < place, text[place - 1] != 0x2E else { return nil }
        for index in first..<place where text[index] == 0x2E && text[index + 1] == 0x2E {
            return nil
        }
        var (index, label, lastEnd, labels) = (place + 1, place + 1, place + 1, 0)
        /// Where the last label begins.
        var top = place + 1
        while index < text.count, index - place <= 254 {
            while index < text.count,
                TextCharacters.isAlphanumeric(text[index])
                    || text[index] == 0x2D && index > label
            {
                index += 1
            }
            var end = index
            while end > label, text[end - 1] == 0x2D { end -= 1 }
            guard 1...63 ~= end - label else { break }
            (labels, top, lastEnd) = (labels + 1, label, end)
            guard end == index, index < text.count, text[index] == 0x2E else { break }
            index += 1
            label = index
        }
        guard labels >= 2, isTopLevel(text, top..<lastEnd) else { return nil }
        return first..<lastEnd
    }

    private static func isTopLevel(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        if range.count > 4, text[range.lowerBound] | 0x20 == 0x78,
            text[range.lowerBound + 1] | 0x20 == 0x6E, text[range.lowerBound + 2] == 0x2D
        {
            return true
        }
        guard 2...24 ~= range.count else { return false }
        for index in range where !TextCharacters.isLetter(text[index]) { return false }
        return !fileNames.contains {
            $0.count == range.count
                && TextCharacters.hasFolded(
                    text, $0, at: range.lowerBound, before: range.upperBound)
        }
    }

    @inline(__always)
    private static func isLocal(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x2E, 0x5F, 0x25, 0x2B, 0x2D: true
        default: TextCharacters.isAlphanumeric(byte)
        }
    }
}
