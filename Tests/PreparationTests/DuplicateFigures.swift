import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

/// What launch/duplicates/compare.py times: it sets MURMUR_DUPLICATES to a folder with a file `documents`, one a line, and reads
/// `figures.json` there. With MURMUR_DUPLICATES_COUNT so many documents are made up instead.
@Suite struct DuplicateFigures {
    private static let environment = ProcessInfo.processInfo.environment
    private static let folder = environment["MURMUR_DUPLICATES"]
    private static let count = environment["MURMUR_DUPLICATES_COUNT"].flatMap { Int($0) }

    private struct Figures: Codable {
        var bytes = 0
        var documents = 0
        var rounds: [Round] = []
        var contaminationSeconds: Double = 0
        var signatureBytes = 0
        var dropped: [Int] = []
        var peakBytes = 0

        struct Round: Codable {
            var signatureSeconds: Double
            var searchSeconds: Double
            var compared: Int
            var confirmed: Int
        }
    }

    /// Seconds that this thread had a processor, which others on the machine do not change much.
    private func seconds(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
        }
        let began = now()
        try body()
        return now() - began
    }

    private static var peakBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return (line?.split(separator: " ").compactMap { Int($0) }.first ?? 0) * 1024
    }

    @Test func ofDocumentsInAFile() throws {
        guard let folder = DuplicateFigures.folder, DuplicateFigures.count == nil else { return }
        let text = Array(try Data(contentsOf: URL(fileURLWithPath: folder + "/documents")))
        let documents = text.split(separator: 10, omittingEmptySubsequences: false).dropLast().map {
            [Document.Part(.text, Array($0))]
        }
        var figures = Figures()
        (figures.bytes, figures.documents) = (text.count, documents.count)
        var options = DuplicateOptions()
        options.exact = false
        let path = folder + "/signatures"
        let rounds = DuplicateFigures.environment["MURMUR_DUPLICATES_ROUNDS"]
        for _ in 0..<(rounds.flatMap { Int($0) } ?? 3) {
            var found: (DuplicateForest, DuplicateSearch.Figures)?
            let signatures = try seconds {
                var writer = try SignatureWriter(path: path, options: options)
                for document in documents { try writer.append(document) }
                try writer.finish()
            }
            let search = try seconds {
                found = try DuplicateSearch.forest(signatures: [path], options: options)
            }
            figures.rounds.append(
                Figures.Round(
                    signatureSeconds: signatures, searchSeconds: search,
                    compared: found?.1.compared ?? 0, confirmed: found?.1.confirmed ?? 0))
            figures.dropped = found?.0.dropped(inUnit: 0).map(\.number) ?? []
        }
        var overlaps = 0
        let index = ContaminationIndex(documents.prefix(documents.count / 20).map { $0[0].text })
        figures.contaminationSeconds = seconds {
            for document in documents { overlaps += index.overlap(of: document).count }
        }
        #expect(overlaps > 0)
        figures.signatureBytes = try signatureBytes(path)
        try write(figures, to: folder)
    }

    /// Documents of 100 words, about one in twelve of them a near duplicate and one in nineteen an exact one; units of 100,000.
    @Test func ofManyDocuments() throws {
        guard let folder = DuplicateFigures.folder, let count = DuplicateFigures.count else {
            return
        }
        var figures = Figures()
        figures.documents = count
        let options = DuplicateOptions()
        var paths: [String] = []
        let made = try seconds {
            for start in stride(from: 0, to: count, by: 100_000) {
                let path = folder + "/unit-\(start)"
                var writer = try SignatureWriter(path: path, options: options)
                for number in start..<min(count, start + 100_000) {
                    let text = DuplicateFigures.text(number)
                    figures.bytes += text.count
                    try writer.append([Document.Part(.text, text)])
                }
                try writer.finish()
                paths.append(path)
                figures.signatureBytes += try signatureBytes(path)
            }
        }
        let before = DuplicateFigures.peakBytes
        var found: (DuplicateForest, DuplicateSearch.Figures)?
        let search = try seconds {
            found = try DuplicateSearch.forest(signatures: paths, options: options)
        }
        figures.rounds = [
            Figures.Round(
                signatureSeconds: made, searchSeconds: search, compared: found?.1.compared ?? 0,
                confirmed: found?.1.confirmed ?? 0)
        ]
        let counts = try #require(found).0.counts()
        figures.dropped = [counts.exact, counts.near, before]
        #expect(counts.exact > count / 32 && counts.near > count / 16)
        try write(figures, to: folder)
    }

    /// Words of a number, or those of an earlier number with one changed.
    private static func text(_ number: Int) -> [UInt8] {
        let original = number % 16 < 3 && number > 50_000 ? number - 50_000 + number % 7 : number
        var dice = Dice(seed: UInt64(original))
        var text: [UInt8] = []
        let changed = number % 16 < 2 ? 50 : -1
        for word in 0..<100 {
            var bits = dice.next()
            if word == changed, original != number { bits = ~bits }
            for _ in 0..<2 + Int(bits >> 61) {
                text.append(97 + UInt8(bits & 15))
                bits >>= 4
            }
            text.append(32)
        }
        return text
    }

    private func signatureBytes(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.size] as? Int) ?? 0
    }

    private func write(_ figures: Figures, to folder: String) throws {
        var figures = figures
        figures.peakBytes = DuplicateFigures.peakBytes
        try JSONEncoder().encode(figures).write(
            to: URL(fileURLWithPath: folder + "/figures.json"))
    }
}
