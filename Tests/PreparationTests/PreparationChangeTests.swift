import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

/// What is kept of earlier runs, and what is done again because something has changed.
@Suite struct PreparationChangeTests {
    private func prepare(
        _ configuration: PreparationConfiguration, replaces: Bool = false
    ) throws -> (report: PreparationReport, said: [String]) {
        var options = PreparationRun.Options()
        options.replaces = replaces
        var said: [String] = []
        let run = PreparationRun(configuration, options: options, workers: Alone()) {
            said.append($0)
        }
        return (try run.run(), said)
    }

    private func labelled(_ range: Range<Int>, classes: Int) -> String {
        range.map { "{\"text\": \"text \($0)\", \"label\": \($0 % classes)}\n" }.joined()
    }

    /// A greater label in one unit makes ids of all units wider.
    @Test func moreClassesChangeTheShardsOfAllUnits() throws {
        let folder = try TemporaryFolder()
        let first = Corpus.lastOfUnit("a", ending: ".jsonl", in: folder)
        try folder.write(first, labelled(0..<40, classes: 3))
        try folder.write("b.jsonl", labelled(40..<80, classes: 3))
        var configuration = PreparationConfiguration()
        configuration.input.files = [folder.file("*.jsonl")]
        configuration.input.kind = .labelled
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0
        _ = try prepare(configuration)
        try folder.write("b.jsonl", labelled(40..<80, classes: 7))
        _ = try prepare(configuration, replaces: true)
        let dataset = try PreparedDataset(folder: folder.file("out"))
        let records = try RecordShards(dataset.train, kind: .labelled)
        #expect(records.count == 80)
        #expect(try (0..<80).map { try records.record($0).label ?? -1 }.max() == 6)
    }

    /// What a unit that failed had counted is not said of the next.
    @Test func aBrokenUnitLeavesNoCounts() throws {
        let folder = try TemporaryFolder()
        let broken = Corpus.lastOfUnit("a-1", in: folder)
        for name in ["a-0.txt", broken, "b.txt"] {
            try folder.write(name, "write to anna@example.org of \(name)\n")
        }
        try folder.write(broken, [0x41, 0xC3, 0x28])
        var configuration = PreparationConfiguration()
        configuration.input.files = [folder.file("*.txt")]
        configuration.cleaning.emailAddresses = .redact
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0
        #expect(throws: DatasetError.self) { try prepare(configuration) }
        try folder.write(broken, "write to anna@example.org of \(broken)\n")
        let (report, _) = try prepare(configuration)
        #expect(report.summary.contains("redacted    3 email_address"))
        configuration.output.directory = folder.file("other")
        #expect(try prepare(configuration).report == report)
    }

    /// By what is in it: its size and time tell nothing.
    @Test func aBlockListIsKnownByItsContent() throws {
        let folder = try TemporaryFolder()
        for (number, word) in ["alpha", "gamma", "delta"].enumerated() {
            try folder.write("text-\(number).txt", "a text of \(word)\n")
        }
        mkdir(folder.file("lists"), 0o755)
        func block(_ word: String) throws {
            try folder.write("lists/one.list", word + "\n")
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000)],
                ofItemAtPath: folder.file("lists/one.list"))
        }
        try block("alpha")
        var configuration = PreparationConfiguration()
        configuration.input.files = [folder.file("*.txt")]
        // A pattern, as other lists of files are.
        configuration.cleaning.blockedWords = [folder.file("lists/*.list")]
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0
        let (first, _) = try prepare(configuration)
        #expect(first.losses.map(\.name) == ["blocked_word"])
        // Its time alone changes nothing.
        try folder.write("lists/one.list", "alpha\n")
        #expect(try prepare(configuration).said.isEmpty)
        try block("gamma")
        let (_, said) = try prepare(configuration, replaces: true)
        #expect(said.first == "cleaning: 1 of 1 units")
        let stream = try PreparedDataset(folder: folder.file("out")).train
        var tokens = [Int32](repeating: 0, count: stream.count)
        try stream.copy(0..<stream.count, into: &tokens)
        let text = Tokenizer.byte(ByteTokenizer()).decode(tokens)
        #expect(text.contains("alpha") && !text.contains("gamma"))
    }

    @Test func blockedDomainsMayBeAPattern() throws {
        let folder = try TemporaryFolder()
        let lines = ["one.org", "two.org"].map {
            "{\"text\": \"of \($0)\", \"url\": \"http://\($0)/\"}\n"
        }
        try folder.write("a.jsonl", lines.joined())
        try folder.write("one.domains", "one.org\n")
        var configuration = PreparationConfiguration()
        configuration.input.files = [folder.file("a.jsonl")]
        configuration.cleaning.blockedDomains = [folder.file("*.domains")]
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0
        #expect(try prepare(configuration).report.losses.map(\.name) == ["blocked_domain"])
    }

    /// Two that share a work folder would remove each other's results at each run.
    @Test func aWorkFolderHasOneOwner() throws {
        let corpus = try Corpus()
        var other = corpus.configuration
        var own = corpus.configuration
        (own.output.work, other.output.work) = (
            corpus.folder.file("work"), corpus.folder.file("work")
        )
        other.output.directory = corpus.folder.file("other")
        _ = try corpus.prepare(own)
        let kept = try corpus.folder.names(in: "work")
        let error = #expect(throws: DatasetError.self) { try corpus.prepare(other) }
        #expect(error?.message.contains("out; name another output.work") == true)
        #expect(try corpus.folder.names(in: "work") == kept)
        // Another name of the same folder is no other one.
        own.output.directory = corpus.folder.file("./work/../out/")
        #expect(try corpus.prepare(own).said.isEmpty)
        try corpus.remove("out")
        let (_, said) = try corpus.prepare(other)
        #expect(said.first?.hasSuffix("units, the others are there") == true)
        #expect(throws: DatasetError.self) { try corpus.prepare(own) }
    }

    /// A damaged file of cleaned texts ends in an error, whatever number stands in it.
    @Test(arguments: [(16, 8), (12, 3), (12, 4), (8, 4), (28, 4)])
    func damagedTextsAreAnError(offset: Int, count: Int) throws {
        let folder = try TemporaryFolder()
        // More than is made tokens of at once, so that this begins before the checksum is read.
        let long = String(repeating: "a", count: 1 << 20)
        let lines = (0..<6).map { "{\"text\": \"\($0)\(long)\", \"label\": \($0 % 3)}\n" }
        try folder.write("a.jsonl", lines.joined())
        var configuration = PreparationConfiguration()
        configuration.input.files = [folder.file("a.jsonl")]
        configuration.input.kind = .labelled
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0
        _ = try prepare(configuration)
        for name in try folder.names(in: "out.work") where name.hasPrefix("tokens-") {
            try FileManager.default.removeItem(atPath: folder.file("out.work/\(name)"))
        }
        try FileManager.default.removeItem(atPath: folder.file("out"))
        let cleaned = try #require(
            folder.names(in: "out.work").first { $0.hasPrefix("cleaned-") })
        var bytes = try folder.bytes("out.work/\(cleaned)/texts")
        for index in offset..<offset + count { bytes[index] = 0xFF }
        // A label beyond all classes, and one that is none.
        if count == 3 { bytes[offset + 3] = 0x7F }
        try folder.write("out.work/\(cleaned)/texts", bytes)
        let error = #expect(throws: DatasetError.self) { try prepare(configuration) }
        #expect(error?.kind == .corrupt)
    }
}
