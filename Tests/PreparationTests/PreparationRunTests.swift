import Datasets
import Files
import Foundation
import Preparation
import Synchronization
import TestSupport
import Testing

@Suite struct PreparationRunTests {
    @Test func textsAreSplitAndDuplicatesLeftOut() throws {
        let corpus = try Corpus()
        let (report, _) = try corpus.prepare()
        #expect(report.losses.map(\.name) == ["duplicate", "near_duplicate"])
        #expect(report.losses.map(\.count) == [1, 1])
        let splits = try ["train", "validation", "test"].map { try corpus.texts($0) }
        let expected = (0..<30).map { Corpus.text($0) } + (100..<103).map { Corpus.text($0) }
        #expect(splits.flatMap { $0 }.sorted() == expected.sorted())
        #expect(splits.allSatisfy { !$0.isEmpty })
        let dataset = try PreparedDataset(folder: corpus.folder.file("out"))
        #expect(dataset.validation?.documentCount == splits[1].count)
        // More than one shard, as each holds 5,000 tokens at most.
        #expect(dataset.train.paths.count > 2)
        let page = try String(
            contentsOfFile: corpus.folder.file("out/report.html"), encoding: .utf8)
        #expect(page.contains("near_duplicate") && page.contains(Corpus.text(4).prefix(40)))
    }

    /// The same bytes with any number of threads and of processes.
    @Test func whoPreparesChangesNoByte() throws {
        let corpus = try Corpus()
        _ = try corpus.prepare()
        let alone = try corpus.output()
        for threads in [2, 5] {
            try corpus.remove("out")
            try corpus.remove("out.work")
            _ = try corpus.prepare(threads: threads)
            #expect(try corpus.output() == alone)
        }
        for count in [2, 3] {
            try corpus.remove("out")
            try corpus.remove("out.work")
            let errors = Mutex(0)
            // Threads of their own: they wait for each other.
            let done = DispatchSemaphore(value: 0)
            for worker in ThreadWorkers.all(count) {
                Thread.detachNewThread {
                    do {
                        _ = try corpus.prepare(workers: worker)
                    } catch {
                        errors.withLock { $0 += 1 }
                    }
                    done.signal()
                }
            }
            for _ in 0..<count { done.wait() }
            #expect(errors.withLock { $0 } == 0)
            #expect(try corpus.output() == alone)
        }
    }

    /// What is there is not made again; a changed file costs its unit, and no other.
    @Test func onlyWhatChangedIsDoneAgain() throws {
        let corpus = try Corpus()
        let (first, said) = try corpus.prepare()
        // Three and the rest; more where the folder's name gives another path such a digest.
        let units = try #require(said.first?.firstMatch(of: /cleaning: ([0-9]+) of/)?.1)
        #expect(said.first == "cleaning: \(units) of \(units) units" && Int(units) ?? 0 >= 4)
        let before = try corpus.output()
        let (again, nothing) = try corpus.prepare()
        #expect(again == first && nothing.isEmpty)
        #expect(try corpus.output() == before)

        try corpus.write(15, Corpus.text(1000))
        #expect(throws: DatasetError.self) { try corpus.prepare() }
        #expect(try corpus.output() == before)
        let (_, changed) = try corpus.prepare(replaces: true)
        #expect(changed.first == "cleaning: 1 of \(units) units, the others are there")
        #expect(changed.last == "tokenising: 1 of \(units) units, the others are there")
        let after = try corpus.output()
        #expect(after != before)
        try corpus.remove("out")
        try corpus.remove("out.work")
        _ = try corpus.prepare()
        #expect(try corpus.output() == after)
    }

    /// Work that was cut short, or lost, is done again and leaves the same bytes.
    @Test(arguments: ["cleaned-", "tokens-", "duplicates-"]) func lostWorkIsDoneAgain(
        prefix: String
    ) throws {
        let corpus = try Corpus()
        _ = try corpus.prepare()
        let before = try corpus.output()
        let names = try FileManager.default.contentsOfDirectory(
            atPath: corpus.folder.file("out.work")
        ).filter { $0.hasPrefix(prefix) }.sorted()
        #expect(!names.isEmpty)
        for name in names.prefix(2) { try corpus.remove("out.work/\(name)") }
        try corpus.remove("out")
        _ = try corpus.prepare()
        #expect(try corpus.output() == before)
    }

    @Test func whatIsNotOursIsLeftAlone() throws {
        let corpus = try Corpus()
        try FileManager.default.createDirectory(
            atPath: corpus.folder.file("out"), withIntermediateDirectories: false)
        try Data("mine".utf8).write(to: URL(fileURLWithPath: corpus.folder.file("out/notes")))
        for replaces in [false, true] {
            let error = #expect(throws: DatasetError.self) {
                try corpus.prepare(replaces: replaces)
            }
            #expect(error?.kind == .outputExists)
        }
        #expect(try corpus.output() == ["notes": Array("mine".utf8)])
    }

    /// Before anything is cleaned.
    @Test(arguments: ["nowhere", "empty"]) func aLinkIsNoNameForTheFolder(target: String) throws {
        let corpus = try Corpus()
        let files = FileManager.default
        try files.createDirectory(
            atPath: corpus.folder.file("empty"), withIntermediateDirectories: false)
        try files.createSymbolicLink(
            atPath: corpus.folder.file("out"),
            withDestinationPath: corpus.folder.file(target))
        let error = #expect(throws: DatasetError.self) { try corpus.prepare() }
        #expect(error?.kind == .outputExists && error?.message.contains("link") == true)
        let work = try files.contentsOfDirectory(atPath: corpus.folder.file("out.work"))
        #expect(work == ["lock"])
    }

    @Test func whereNothingIsLeftTheRulesAreNamed() throws {
        let corpus = try Corpus()
        var configuration = corpus.configuration
        configuration.cleaning.rules = [.gopherQuality]
        configuration.cleaning.gopherQuality.fewestWords = 100_000
        let error = #expect(throws: DatasetError.self) {
            try corpus.prepare(configuration)
        }
        #expect(error?.kind == .tooSmall)
        #expect(error?.message.contains("gopher_few_words") == true)
    }

    /// Every broken file is named, and the others' work is kept.
    @Test func everyBrokenFileIsNamed() throws {
        let corpus = try Corpus()
        for number in [5, 25] {
            let url = URL(
                fileURLWithPath: corpus.folder.file("text-\(number / 10)\(number % 10).txt"))
            try Data([0x41, 0xC3, 0x28, 0x41]).write(to: url)
        }
        let error = #expect(throws: DatasetError.self) { try corpus.prepare() }
        #expect(error?.problems.count == 2)
        for number in [5, 25] { try corpus.write(number, Corpus.text(number)) }
        let (_, said) = try corpus.prepare()
        #expect(said.first?.hasSuffix("units, the others are there") == true)
    }

    @Test func labelledTextsBecomeRecords() throws {
        let folder = try TemporaryFolder()
        let lines = (0..<40).map { "{\"text\": \"text \($0)\", \"label\": \($0 % 3)}\n" }
        try Data(lines.joined().utf8).write(to: URL(fileURLWithPath: folder.file("a.jsonl")))
        var configuration = PreparationConfiguration()
        configuration.input.files = [folder.file("a.jsonl")]
        configuration.input.kind = .labelled
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0.3
        _ = try PreparationRun(
            configuration, options: .init(), workers: Alone(), note: { _ in }
        ).run()
        let dataset = try PreparedDataset(folder: folder.file("out"))
        let records = try RecordShards(dataset.train, kind: .labelled)
        #expect(records.count > 10)
        for index in 0..<records.count {
            let record = try records.record(index)
            let text = Tokenizer.byte(ByteTokenizer()).decode(record.parts[0].tokens)
            let number = try #require(Int32(text.dropFirst(5)))
            #expect(record.label == number % 3)
        }
    }
}
