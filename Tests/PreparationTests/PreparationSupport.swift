// A corpus to prepare, and processes that prepare it together.

import Datasets
import Files
import Foundation
import Preparation
import Synchronization
import TestSupport

/// A corpus of small files in several units, with duplicates and a text that is no text.
struct Corpus: Sendable {
    let folder: TemporaryFolder
    var configuration = PreparationConfiguration()

    init() throws {
        folder = try TemporaryFolder()
        for number in 0..<30 { try write(number, Corpus.text(number)) }
        try write(30, Corpus.text(3))
        try write(31, Corpus.text(4) + "One sentence more at the end of a long text.\n")
        for number in 0..<3 {
            let name = Corpus.lastOfUnit("text-\(number)0-end", in: folder)
            try folder.write(name, Corpus.text(100 + number))
        }
        configuration.input.files = [folder.file("text-*.txt")]
        configuration.output.directory = folder.file("out")
        configuration.output.validationFraction = 0.2
        configuration.output.testFraction = 0.1
        configuration.duplicates.near = true
        configuration.output.shardTokens = 5000
    }

    /// A name of a text, in its folder, at whose path a unit ends: its digest begins with a zero byte.
    static func lastOfUnit(
        _ prefix: String, ending: String = ".txt", in folder: TemporaryFolder
    ) -> String {
        let names = (0...).lazy.map { "\(prefix)\($0)\(ending)" }
        return names.first { SHA256.digest(of: Array(folder.file($0).utf8))[0] == 0 } ?? prefix
    }

    func write(_ number: Int, _ text: String) throws {
        let name = "text-\(number / 10)\(number % 10).txt"
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file(name)))
    }

    /// Some hundred words that no other number has.
    static func text(_ number: Int) -> String {
        var state = UInt64(number) &* 0x9E37_79B9_7F4A_7C15 | 1
        return (0..<200).map { index in
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return "w\(state % 100_000)" + (index % 12 == 11 ? ".\n" : "")
        }.joined(separator: " ") + "\n"
    }

    /// The files of the output by name, and what was said on the way.
    func prepare(
        threads: Int = 1, replaces: Bool = false, workers: any Workers = Alone(),
        _ configuration: PreparationConfiguration? = nil
    ) throws -> (report: PreparationReport, said: [String]) {
        var options = PreparationRun.Options()
        (options.threads, options.replaces) = (threads, replaces)
        let said = Mutex<[String]>([])
        let run = PreparationRun(
            configuration ?? self.configuration, options: options, workers: workers
        ) { line in said.withLock { $0.append(line) } }
        let report = try run.run()
        return (report, said.withLock { $0 })
    }

    func output() throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.file("out"))
        where !name.hasPrefix("report") {
            let url = URL(fileURLWithPath: folder.file("out/\(name)"))
            files[name] = Array(try Data(contentsOf: url))
        }
        return files
    }

    func remove(_ name: String) throws {
        try FileManager.default.removeItem(atPath: folder.file(name))
    }

    /// The documents of a split, decoded.
    func texts(_ split: String) throws -> [String] {
        let paths = try output().keys.filter { $0.hasPrefix(split) && $0.hasSuffix(".tokens") }
            .sorted().map { folder.file("out/\($0)") }
        if paths.isEmpty { return [] }
        let stream = try TokenStream(paths: paths)
        let bounds = try stream.documentBounds(of: 0..<(stream.documentCount ?? 0))
        return try zip(bounds, bounds.dropFirst()).map { start, end in
            var tokens = [Int32](repeating: 0, count: end - start)
            try stream.copy(start..<end, into: &tokens)
            return Tokenizer.byte(ByteTokenizer()).decode(tokens.dropFirst())
        }
    }
}

/// Processes that prepare together, as threads of one.
final class ThreadWorkers: Workers {
    private final class Meeting: Sendable {
        struct State {
            var given: [Result<[UInt8], DatasetError>?]
            var turn = 0
            var results: [Result<[UInt8], DatasetError>] = []
        }
        let state: Mutex<State>
        init(_ count: Int) { state = Mutex(State(given: Array(repeating: nil, count: count))) }
    }

    /// What a test does around a process's part of what all are at.
    typealias Hook = @Sendable (_ number: Int, _ what: String) -> Void

    let number: Int
    let count: Int
    private let meeting: Meeting
    private let (before, after): (Hook, Hook)

    private init(
        _ number: Int, _ count: Int, _ meeting: Meeting, _ before: @escaping Hook,
        _ after: @escaping Hook
    ) {
        (self.number, self.count, self.meeting) = (number, count, meeting)
        (self.before, self.after) = (before, after)
    }

    static func all(
        _ count: Int, before: @escaping Hook = { _, _ in }, after: @escaping Hook = { _, _ in }
    ) -> [ThreadWorkers] {
        let meeting = Meeting(count)
        return (0..<count).map { ThreadWorkers($0, count, meeting, before, after) }
    }

    func together(
        on what: String, _ body: () throws(DatasetError) -> [UInt8]
    ) throws(DatasetError) -> [[UInt8]] {
        let own: Result<[UInt8], DatasetError>
        before(number, what)
        do throws(DatasetError) { own = .success(try body()) } catch { own = .failure(error) }
        after(number, what)
        let turn = meeting.state.withLock { state in
            state.given[number] = own
            let turn = state.turn
            if state.given.allSatisfy({ $0 != nil }) {
                state.results = state.given.compactMap { $0 }
                state.given = Array(repeating: nil, count: count)
                state.turn += 1
            }
            return turn
        }
        while meeting.state.withLock({ $0.turn }) == turn { usleep(200) }
        let results = meeting.state.withLock { $0.results }
        var values: [[UInt8]] = []
        for result in results { values.append(try result.get()) }
        return values
    }
}
