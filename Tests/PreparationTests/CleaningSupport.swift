import Foundation
import Preparation

/// A text that a cleaner with some options has looked at.
struct Cleaned {
    var verdict: Verdict
    var text: String
    var counts: CleaningCounts

    init(_ text: String, _ change: (inout CleaningOptions) -> Void) throws {
        try self.init(Document(text: Array(text.utf8), number: 0), change)
    }

    init(_ document: Document, _ change: (inout CleaningOptions) -> Void) throws {
        var options = CleaningOptions()
        change(&options)
        var cleaner = try Cleaner(options)
        var document = document
        verdict = cleaner.clean(&document)
        text = document.parts.map { String(decoding: $0.text, as: UTF8.self) }.joined(
            separator: "|")
        counts = cleaner.counts
    }
}

/// Words of letters that differ from each other and from what tests write.
struct UnusualWords {
    private var number = 0

    /// One of `length` letters, at least 4.
    mutating func next(_ length: Int) -> String {
        number += 1
        var (value, letters) = (number, "")
        for _ in 0..<3 {
            letters.append(Character(Unicode.Scalar(UInt8(97 + value % 26))))
            value /= 26
        }
        return letters + String(repeating: "q", count: length - 3)
    }

    /// `count` words of `length` letters.
    mutating func next(_ count: Int, of length: Int) -> [String] {
        (0..<count).map { _ in next(length) }
    }
}

/// A file of a test's own, removed with the value.
final class TemporaryFile {
    let path: String

    init(_ bytes: [UInt8]) throws {
        path = NSTemporaryDirectory() + "cleaning-\(UUID().uuidString)"
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    convenience init(_ text: String) throws { try self.init(Array(text.utf8)) }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
