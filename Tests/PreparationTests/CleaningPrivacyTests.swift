// Private data: what is found, and what looks like it and is not.

import Preparation
import Testing

@Suite struct CleaningPrivacyTests {
    private func redacted(_ text: String, reserved: Bool = false) throws -> String {
        try Cleaned(text) {
            $0.emailAddresses = .redact
            $0.ipAddresses = .redact
            $0.includesReservedAddresses = reserved
            $0.paymentCards = .redact
            $0.secrets = .redact
            $0.phoneNumbers = .redact
        }.text
    }

    @Test(arguments: [
        ("write to anna.b+c@mail.example.org.", "write to <email>."),
        ("<anna@example.org>, bob_1@a-b.co", "<<email>>, <email>"),
        ("mailto:anna@example.org?subject", "mailto:<email>?subject"),
        ("...anna@example.org", "...<email>"), ("联系anna@example.org。", "联系<email>。"),
        ("a@b.xn--p1ai x", "<email> x"), ("a@b.de@c.de", "<email>@c.de"),
    ])
    func emailAddresses(_ text: String, _ expected: String) throws {
        #expect(try redacted(text) == expected)
    }

    @Test(arguments: [
        "a @b.org", "anna@localhost", "logo@2x.png", "anna@example.1", "a@b..org", "a.@b.org",
        "@anna.org", "a@-b.org", "a..b@c.org", "package@1.2.3",
    ])
    func noEmailAddresses(_ text: String) throws { #expect(try redacted(text) == text) }

    @Test(arguments: [
        ("at 8.8.8.8.", "at <ip>."), ("8.8.8.8:53, 8.8.4.4/24", "<ip>:53, <ip>/24"),
        ("[2606:4700:4700::1111]:443", "[<ip>]:443"), ("2606:4700::1.", "<ip>."),
        ("see 2a00:1450:4001:82b:0:0:0:200e: there", "see <ip>: there"),
        ("2606:4700::8.8.8.8", "<ip>"), ("::ffff:8.8.8.8", "<ip>"), ("64:ff9b::808:808", "<ip>"),
    ])
    func ipAddresses(_ text: String, _ expected: String) throws {
        #expect(try redacted(text) == expected)
    }

    @Test(arguments: [
        "1.2.3", "1.2.3.4.5", "256.8.8.8", "8.8.8.08", "v8.8.8.8", "8.8.8.8a", "x.8.8.8.8",
        "12:30:45", "std::vector", "dead::beef", "a::b", "::", "2606:4700", "2606:47000::1",
        "2606:4700:1:2:3:4:5:6:7", "2606::1::2",
    ])
    func noIPAddresses(_ text: String) throws {
        #expect(try redacted(text) == text)
        #expect(try redacted(text, reserved: true) == text)
    }

    @Test(arguments: [
        "10.1.2.3", "127.0.0.1", "192.168.1.1", "172.16.0.1", "172.31.255.255", "192.0.2.7",
        "100.64.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "::1", "fe80::1", "fd00::1",
        "2001:db8::1", "::ffff:10.1.2.3", "ff02::1",
    ])
    func reservedAddresses(_ text: String) throws {
        #expect(try redacted(text) == text)
        #expect(try redacted(text, reserved: true) == "<ip>")
    }

    @Test func besideReservedAddresses() throws {
        for text in ["11.1.2.3", "172.32.0.1", "172.15.0.1", "100.128.0.1", "2001:db9::1"] {
            #expect(try redacted(text) == "<ip>")
        }
    }

    // Numbers that issuers publish for tests.
    @Test(arguments: [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "4222222222222",
        "5555555555554444", "2223003122003222", "378282246310005", "3782 822463 10005",
        "30569309025904", "3056 930902 5904", "6011111111111117", "3530111333300000",
        "6200000000000005",
    ])
    func paymentCards(_ number: String) throws {
        #expect(try redacted("card: \(number), paid") == "card: <card>, paid")
        // Another last digit: the checksum is wrong.
        let last = number.last == "9" ? "0" : String(Int(String(number.last ?? "0"))! + 1)
        let other = "id \(number.dropLast())\(last) x"
        #expect(try redacted(other) == other)
    }

    @Test(arguments: [
        // No issuer; too short; parts of numbers and words; uneven groups.
        "9111111111111111", "411111111111", "x4111111111111111", "4111111111111111x",
        "0.4111111111111111", "4111111111111111.5", "41 1111 1111 1111 11", "4111 1111-1111 1111",
        "12-4111111111111111", "41111111111111111111",
    ])
    func noPaymentCards(_ text: String) throws { #expect(try redacted(text) == text) }

    @Test(arguments: [
        "AKIA" + "IOSFODNN7EXAMPLE", "ghp_" + String(repeating: "a1B2", count: 9),
        "github_pat_" + String(repeating: "a1", count: 11) + "_"
            + String(repeating: "b", count: 59),
        "xoxb-" + "1234567890-abcdef", "AIza" + String(repeating: "x9_-a", count: 7),
        "sk-" + "proj-Ab12Ab12Ab12Ab12Ab12", "sk_live_" + String(repeating: "a1", count: 12),
        "hf_" + String(repeating: "aB", count: 17), "npm_" + String(repeating: "aB", count: 18),
        "glpat-" + String(repeating: "aB", count: 10),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w",
    ])
    func secrets(_ secret: String) throws {
        #expect(try redacted("key=\"\(secret)\";") == "key=\"<secret>\";")
        // In the middle of a word, and cut off, it is none.
        let inner = "x\(secret) y"
        #expect(try redacted(inner) == inner)
        let short = String(secret.prefix(14)) + "."
        #expect(try redacted(short) == short)
    }

    @Test func wordsThatBeginAsSecrets() throws {
        for text in [
            "sk-estimator-checks-of-something-long", "AKIA in capitals", "eyJ. eyJ.",
            "ghp_" + String(repeating: "a", count: 35),
        ] {
            #expect(try redacted(text) == text)
        }
    }

    @Test func privateKeys() throws {
        let dashes = "-----"
        let body = "MIIBVgIBADANBgkq\nhkiG9w0BAQEFAASC\n"
        for kind in ["", "RSA ", "OPENSSH ", "ENCRYPTED "] {
            let key =
                "\(dashes)BEGIN \(kind)PRIVATE KEY\(dashes)\n\(body)\(dashes)END \(kind)PRIVATE KEY\(dashes)"
            #expect(try redacted("a\n\(key)\nb") == "a\n<secret>\nb")
            // Its end cut off.
            #expect(try redacted("a\n" + key.prefix(60)) == "a\n<secret>")
        }
        let certificate =
            "\(dashes)BEGIN CERTIFICATE\(dashes)\n\(body)\(dashes)END CERTIFICATE\(dashes)"
        #expect(try redacted(certificate) == certificate)
        let word = "-----BEGIN a PRIVATE KEY-----"
        #expect(try redacted(word) == word)
    }

    @Test(arguments: [
        ("call +44 20 7946 0958 now", "call <phone> now"), ("+4917612345678", "<phone>"),
        ("+1 (212) 555-0123.", "<phone>."), ("+49 (0)30 1234567", "<phone>"),
        ("212-555-0123, 212.555.0123", "<phone>, <phone>"), ("(212) 555-0123", "<phone>"),
        ("1-212-555-0123", "<phone>"), ("01 42 68 53 00", "<phone>"),
        ("01.42.68.53.00.", "<phone>."), ("020 7946 0958", "<phone>"), ("07700 900123", "<phone>"),
        ("030/1234567", "<phone>"), ("(030) 1234567", "<phone>"),
        ("Tel.: 555 0123", "Tel.: <phone>"), ("Phone: 12345678", "Phone: <phone>"),
    ])
    func phoneNumbers(_ text: String, _ expected: String) throws {
        #expect(try redacted(text) == expected)
    }

    @Test(arguments: [
        "555 0123", "12345678", "hotel 12345678", "2024-01-15", "01.02.2024", "1 234 567 890",
        "212 555 0123", "112-555-0123", "212-155-0123", "+1234567", "x+4917612345678",
        "01 42 68 53", "ISBN 978-3-16-148410-0", "3.14159265358979", "+0 123 456 789",
        "192.168.100.100", "0x1234567890", "1,234,567,890",
    ])
    func noPhoneNumbers(_ text: String) throws { #expect(try redacted(text) == text) }

    @Test func keepRedactAndDrop() throws {
        let text = "a@b.org and 8.8.8.8"
        #expect(try Cleaned(text) { _ in }.text == text)
        let redacted = try Cleaned(text) { $0.emailAddresses = .redact }
        #expect(redacted.text == "<email> and 8.8.8.8")
        #expect(redacted.counts.redactions[.emailAddress] == 1)
        #expect(redacted.counts.redactions.total == 1)
        let dropped = try Cleaned(text) {
            $0.emailAddresses = .redact
            $0.ipAddresses = .drop
        }
        #expect(dropped.verdict == .drop(.ipAddress))
        #expect(dropped.counts.dropped[.ipAddress] == 1)
        #expect(dropped.counts.redactions.total == 0)
    }

    @Test func findsThatMeet() throws {
        // A number in an address of e-mail belongs to it, a key in one not.
        #expect(try redacted("4111111111111111@example.org") == "<email>")
        #expect(try redacted("+4917612345678@example.org") == "+<email>")
        let key = "ghp_" + String(repeating: "a1B2", count: 9)
        #expect(try redacted("\(key) a@b.org \(key)") == "<secret> <email> <secret>")
    }

    @Test func allPartsOfRecords() throws {
        let document = Document(
            parts: [.init(.source, Array("a@b.org".utf8)), .init(.target, Array("c@d.org".utf8))],
            number: 0)
        let result = try Cleaned(document) {
            $0.emailAddresses = .redact
            $0.rules = [.gopherQuality, .gopherRepetition, .c4]
        }
        #expect(result.verdict == .keep)
        #expect(result.text == "<email>|<email>")
        #expect(result.counts.redactions[.emailAddress] == 2)
    }
}
