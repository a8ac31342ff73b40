// A run over an epoch of three sources is killed at moments that nobody chose, and goes on with another number of ranks
// each time: each step is taken with the samples of an undisturbed run, whichever view makes them.

import Foundation
import TestSupport
import Testing

/// Three prepared sources and a run over them.
private struct MixtureRun {
    /// What the samples are.
    enum View: String, CaseIterable {
        case windows, documents, masked, conversations, labelled, pairs
        /// Pairs of about the same length together.
        case pairGroups

        var kind: String {
            switch self {
            case .windows, .documents, .masked: "text"
            case .conversations: "conversations"
            case .labelled: "labelled"
            case .pairs, .pairGroups: "pairs"
            }
        }

        var model: String {
            switch self {
            case .windows, .documents, .conversations:
                "{ family: gpt, layers: 1, heads: 4, width: 16, context_length: 16 }"
            case .masked:
                "{ family: bert, layers: 1, heads: 4, width: 16, context_length: 16 }"
            case .labelled:
                "{ family: bert, layers: 1, heads: 4, width: 16, context_length: 16, "
                    + "head: sequence_classification, labels: 3 }"
            case .pairs, .pairGroups:
                "{ family: transformer, layers: 1, heads: 4, width: 16, context_length: 32 }"
            }
        }
    }

    static let steps = 60
    let folder: TemporaryFolder
    let view: View

    init(_ view: View) throws {
        folder = try TemporaryFolder()
        self.view = view
        var dice = Dice(seed: 7)
        for source in 0..<3 {
            // Records of a few words: an epoch of 24 samples a step, and some of the next.
            let lines = (0..<400 + 100 * source).map { number -> String in
                let words = (0..<3 + dice.roll(12)).map { _ in "w\(dice.roll(50))" }
                let text = "s\(source)n\(number) " + words.joined(separator: " ")
                return switch view.kind {
                case "conversations": "{\"prompt\": \"\(text)\", \"response\": \"r\(number)\"}"
                case "labelled": "{\"text\": \"\(text)\", \"label\": \(number % 3)}"
                case "pairs": "{\"source\": \"\(text)\", \"target\": \"t\(number)\"}"
                default: "{\"text\": \"\(text)\"}"
                }
            }
            try folder.write("s\(source).jsonl", lines.joined(separator: "\n"))
            try folder.write(
                "s\(source).yaml",
                """
                input:  { files: ["\(folder.file("s\(source).jsonl"))"], kind: \(view.kind) }
                output: { directory: \(folder.file("source\(source)")), validation_fraction: 0.1 }
                """)
            let launch = try murmur(["prepare", folder.file("s\(source).yaml")])
            guard launch.exitCode == 0 else { throw NotFound(description: launch.summary) }
        }
        let sources = (0..<3).map { folder.file("source\($0)") }.joined(separator: ", ")
        let packing = view == .documents ? ", packing: documents" : ""
        let batch =
            view == .pairGroups
            ? "{ sequences: 12, micro_batch: 1, tokens: 96 }" : "{ sequences: 24, micro_batch: 3 }"
        try folder.write(
            "run.yaml",
            """
            run:        { directory: \(folder.file("run")), steps: \(Self.steps), threads: 1 }
            model:      \(view.model)
            data:       { sources: [\(sources)], weights: [1, 1.5, 0.5], curriculum: ["31: 1 0.2 2"]\(packing) }
            batch:      \(batch)
            optimizer:  { learning_rate: 1.0e-3 }
            evaluation: { every: 0 }
            checkpoint: { every: 4, keep: 2 }
            """)
    }

    func train(
        _ directory: String, ranks: Int? = nil,
        whileRunning: (Program.Running) -> Bool = { _ in true }
    ) throws -> Launch {
        try murmur(
            [
                "train", folder.file("run.yaml"), "--set",
                "run.directory=\(folder.file(directory))", "--resume", "--restart",
            ], ranks: ranks, whileRunning: whileRunning)
    }

    /// The digest at the end, and the loss of each step.
    func outcome(_ directory: String) throws -> (digest: String, losses: [String]) {
        let digest = try murmur(["checkpoint", "digest", folder.file(directory)]).output
        let data = FileManager.default.contents(
            atPath: folder.file("\(directory)/metrics.jsonl"))
        let rows = String(decoding: data ?? Data(), as: UTF8.self).split(separator: "\n")
        return (
            digest,
            rows.compactMap {
                guard let step = $0.firstMatch(of: /"step": ([0-9]+)/)?.1,
                    let bits = $0.firstMatch(of: /"loss_bits": "([0-9a-f]{8})"/)?.1
                else { return nil }
                return "\(step) \(bits)"
            }
        )
    }
}

extension Chaos {
    @Test(arguments: MixtureRun.View.allCases) fileprivate static func aMixtureIsReadOnce(
        view: MixtureRun.View
    ) throws {
        let run = try MixtureRun(view)
        let undisturbed = try run.train("undisturbed")
        #expect(undisturbed.exitCode == 0, "\(undisturbed.summary)")
        let expected = try run.outcome("undisturbed")
        #expect(expected.losses.count == MixtureRun.steps)

        var dice = Dice()
        let trials = trials(20, short: 3)
        var (kills, launches) = (0, 0)
        while kills < trials, launches < 4 * trials {
            launches += 1
            let delay = 0.2 + Double(dice.roll(1000)) / 1000
            let start = Date()
            let launch = try run.train("run", ranks: dice.pick([1, 2, 4])) { _ in
                guard Date().timeIntervalSince(start) > delay else { return false }
                for process in processes(of: "murmur", naming: run.folder.path) {
                    kill(process, SIGKILL)
                }
                return true
            }
            if launch.exitCode != 0 {
                kills += 1
            } else {
                // It was done before its turn came: the next one starts anew.
                try FileManager.default.removeItem(atPath: run.folder.file("run"))
            }
        }
        #expect(kills == trials)
        let last = try run.train("run", ranks: 2)
        #expect(last.exitCode == 0, "\(last.summary)")
        let found = try run.outcome("run")
        #expect(found.digest == expected.digest && found.digest.count == 65)
        #expect(found.losses == expected.losses)
        report("a mixture of \(view.rawValue) killed \(kills) times: \(found.losses.count) steps")
    }

    /// A preparation that is killed again and again leaves, in the end, the bytes of one that was not.
    @Test fileprivate static func aPreparationIsKilled() throws {
        let folder = try TemporaryFolder()
        for number in 0..<24 {
            var dice = Dice(seed: UInt64(number))
            let text = (0..<40_000).map { _ in "word\(dice.roll(5000))" }
            try folder.write("text\(number).txt", text.joined(separator: " "))
        }
        func prepare(
            _ output: String, ranks: Int?, whileRunning: (Program.Running) -> Bool = { _ in true }
        ) throws -> Launch {
            try folder.write(
                "\(output).yaml",
                """
                input:      { files: ["\(folder.file("text*.txt"))"] }
                duplicates: { near: true }
                output:     { directory: \(folder.file(output)), shard_tokens: 400000 }
                """)
            return try murmur(
                ["prepare", folder.file("\(output).yaml")], ranks: ranks,
                whileRunning: whileRunning)
        }
        func files(_ output: String) throws -> [String: [UInt8]] {
            var files: [String: [UInt8]] = [:]
            for name in try folder.names(in: output) where name != "report.html" {
                files[name] = try folder.bytes("\(output)/\(name)")
            }
            return files
        }
        let whole = try prepare("whole", ranks: nil)
        #expect(whole.exitCode == 0, "\(whole.summary)")
        var dice = Dice()
        let trials = trials(20, short: 3)
        for _ in 0..<trials {
            let delay = 0.05 + Double(dice.roll(800)) / 1000
            let start = Date()
            _ = try prepare("killed", ranks: dice.pick([nil, 2])) { _ in
                guard Date().timeIntervalSince(start) > delay else { return false }
                for process in processes(of: "murmur", naming: folder.path) {
                    kill(process, SIGKILL)
                }
                return true
            }
        }
        let last = try prepare("killed", ranks: 2)
        #expect(last.exitCode == 0, "\(last.summary)")
        #expect(try files("killed") == files("whole"))
        report("a preparation killed \(trials) times")
    }
}
