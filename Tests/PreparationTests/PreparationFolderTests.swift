import Datasets
import Foundation
import Preparation
import Synchronization
import TestSupport
import Testing

/// What becomes of a folder that is there.
@Suite struct PreparationFolderTests {
    /// Changes bytes where they are, as a disk does: other names of the file have them too.
    private static func flip(_ path: String, at offset: Int) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        defer { try? file.close() }
        try file.seek(toOffset: UInt64(offset))
        let byte = try #require(file.read(upToCount: 1)?.first)
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: Data([~byte]))
    }

    enum Damage: CaseIterable {
        case lostShard, lostTestShard, changedHeader, changedTestHeader, lostReport, lostTokenizer
    }

    /// It is the same again.
    @Test(arguments: Damage.allCases, [false, true])
    func aDamagedFolderIsMadeAnew(_ damage: Damage, replaces: Bool) throws {
        let corpus = try Corpus()
        let (report, _) = try corpus.prepare()
        let before = try corpus.output()
        switch damage {
        case .lostShard: try corpus.remove("out/train-00001.tokens")
        case .lostTestShard: try corpus.remove("out/test-00000.tokens")
        case .changedHeader:
            try Self.flip(corpus.folder.file("out/train-00001.tokens"), at: 20)
        case .changedTestHeader:
            try Self.flip(corpus.folder.file("out/test-00000.tokens"), at: 20)
        case .lostReport: try corpus.remove("out/report.json")
        case .lostTokenizer: try corpus.remove("out/tokenizer.json")
        }
        let (again, said) = try corpus.prepare(replaces: replaces)
        #expect(said.first?.hasPrefix("making \(corpus.folder.file("out")) anew: ") == true)
        #expect(again == report)
        #expect(try corpus.output() == before)
        #expect(try corpus.prepare().said.isEmpty)
    }

    @Test func aDamagedFolderWithOthersFilesIsLeftAlone() throws {
        let corpus = try Corpus()
        _ = try corpus.prepare()
        try corpus.remove("out/train-00000.tokens")
        try corpus.folder.write("out/notes", "mine")
        for replaces in [false, true] {
            let error = #expect(throws: DatasetError.self) {
                try corpus.prepare(replaces: replaces)
            }
            #expect(error?.kind == .outputExists && error?.message.contains("notes") == true)
        }
        #expect(try corpus.folder.bytes("out/notes") == Array("mine".utf8))
    }

    /// Nobody can tell what was in it; what preparations leave goes where somebody says so.
    @Test func aDamagedIndexNeedsConsent() throws {
        let corpus = try Corpus()
        _ = try corpus.prepare()
        let before = try corpus.output()
        try corpus.folder.write("out/dataset.json", "{")
        let error = #expect(throws: DatasetError.self) { try corpus.prepare() }
        #expect(error?.message.contains("add --replace") == true)
        _ = try corpus.prepare(replaces: true)
        #expect(try corpus.output() == before)
    }

    /// What came into it during hours of work is not removed.
    @Test func whatCameMeanwhileIsLeftAlone() throws {
        let corpus = try Corpus()
        _ = try corpus.prepare()
        try corpus.write(15, Corpus.text(1000))
        let path = corpus.folder.file("out/notes")
        let workers = ThreadWorkers.all(1) { _, what in
            if what.hasPrefix("publishing") {
                try? Data("mine".utf8).write(to: URL(fileURLWithPath: path))
            }
        }
        let error = #expect(throws: DatasetError.self) {
            try corpus.prepare(replaces: true, workers: workers[0])
        }
        #expect(error?.kind == .outputExists && error?.message.contains("notes") == true)
        #expect(try corpus.output()["notes"] == Array("mine".utf8))
        #expect(try corpus.folder.names().filter { $0.hasPrefix(".tmp") }.isEmpty)
    }

    /// One looks and tells the others, who may see another state of a disk.
    @Test func oneDecidesForAll() throws {
        let corpus = try Corpus()
        let (report, _) = try corpus.prepare()
        let looked = DispatchSemaphore(value: 0)
        let workers = ThreadWorkers.all(2) { number, what in
            guard number == 1, what == "looking for what is there" else { return }
            looked.wait()
            try? corpus.remove("out")
        } after: { number, what in
            if number == 0, what == "looking for what is there" { looked.signal() }
        }
        let reports = Mutex<[PreparationReport]>([])
        let done = DispatchSemaphore(value: 0)
        for worker in workers {
            Thread.detachNewThread {
                if let own = try? corpus.prepare(workers: worker).report {
                    reports.withLock { $0.append(own) }
                }
                done.signal()
            }
        }
        for _ in workers { #expect(done.wait(timeout: .now() + 20) == .success) }
        #expect(reports.withLock { $0 } == [report, report])
    }
}
