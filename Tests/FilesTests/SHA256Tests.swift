import Files
import Testing

@Suite struct SHA256Tests {
    /// The examples of FIPS 180-4, and the empty message.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func examples(text: String, digest: String) {
        #expect(SHA256.digest(of: Array(text.utf8)).hexadecimal == digest)
        #expect(SHA256.digest(of: Array((text + "\u{0}").utf8)).hexadecimal != digest)
    }

    @Test func piecesGiveTheDigestOfTheWhole() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        for cut in [0, 1, 63, 64, 65, 999, 1000] {
            var function = SHA256()
            function.update(Array(bytes[..<cut]))
            function.update(Array(bytes[cut...]))
            #expect(function.digest() == SHA256.digest(of: bytes), "cut at \(cut)")
        }
    }

    /// A copy, and a digest taken on the way, leave the original as it is.
    @Test func copiesGoOnByThemselves() {
        var first = SHA256()
        first.update(Array("ab".utf8))
        var second = first
        _ = first.digest()
        second.update(Array("x".utf8))
        first.update(Array("c".utf8))
        #expect(first.digest() == SHA256.digest(of: Array("abc".utf8)))
        #expect(second.digest() == SHA256.digest(of: Array("abx".utf8)))
    }
}
