import Foundation
import Kernels
import TestSupport
import Testing
import Training

/// `run.trace_steps`: a file a step, for all ranks and threads.
@Suite(.serialized) struct TraceTests {
    private func file(_ step: Int, of run: RunFolder) throws -> TraceFile {
        let name = "\(run.directory)/trace-step-" + String(format: "%010d", step) + ".json"
        return try TraceFile(try #require(FileManager.default.contents(atPath: name), "\(name)"))
    }

    @Test(arguments: [nil, 2]) func aStepOfARunIsWritten(ranks: Int?) throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: ranks,
            settings: [
                "run.steps=8", "run.trace_steps=[3, 8]", "run.threads=2", "schedule.decay_steps=50",
            ])
        #expect(launch.exitCode == 0, "\(launch.summary)")
        let files = try FileManager.default.contentsOfDirectory(atPath: run.directory)
        #expect(files.count { $0.hasPrefix("trace-step-") } == 2, "\(files)")
        for step in [3, 8] {
            let trace = try file(step, of: run)
            #expect(trace.malformed.isEmpty && trace.crossings.isEmpty, "step \(step)")
            #expect(trace.processes.count == ranks ?? 1)
            for rank in 0..<(ranks ?? 1) { try expect(trace, rank: rank, ranks: ranks ?? 1) }
            let last = trace.spans(of: 0, track: "training").map(\.category)
            #expect(last.contains("checkpoint") == (step == 8))
            #expect(last.contains("evaluation") == (step == 8))
        }
    }

    private func expect(_ trace: TraceFile, rank: Int, ranks: Int) throws {
        #expect(trace.processes[rank]?.hasPrefix("rank \(rank) host ") == true)
        let tracks = trace.tracks(of: rank)
        #expect(tracks.isSuperset(of: ["training", "worker 1", "loader"]), "\(tracks)")
        #expect(tracks.contains("communication") == (ranks > 1), "\(tracks)")
        let training = trace.spans(of: rank, track: "training")
        #expect(training.count { $0.category == "step" } == 1)
        let names = Dictionary(grouping: training, by: \.category)
            .mapValues { Set($0.map(\.name)) }
        let primitives: Set = [
            "embedding", "add", "dropout", "layerNorm", "linear", "attention", "linearCrossEntropy",
        ]
        #expect(names["forward"] == primitives && names["backward"] == primitives, "\(names)")
        #expect(names["product"] == ["product", "input gradient", "weight gradient"])
        #expect(
            names["kernel"]?.isSuperset(of: ["attentionForward", "attentionBackward", "layerNorm"])
                == true, "\(names)")
        let parts: Set = ["step", "phase", "data", "agreement", "norm", "optimizer"]
        #expect(Set(names.keys).isSuperset(of: parts), "\(names.keys)")
        if ranks > 1 {
            // Through memory, on the thread that computes; the additions on all of the rank's.
            let operations = names["communication"] ?? []
            #expect(operations.isSuperset(of: ["reduce-scatter", "all-gather"]), "\(operations)")
            #expect(names["kernel"]?.contains("reduce-scatter") == true, "\(names)")
        }
        // The step spans most of what its parts do.
        let step = try #require(training.first { $0.category == "step" })
        #expect(
            training.filter { $0.category == "phase" }
                .allSatisfy { step.start <= $0.start && $0.end <= step.end })
    }

    /// The control: another seed gives another digest.
    @Test func tracingChangesNoBit() throws {
        func digest(_ settings: [String]) throws -> String {
            let run = try RunFolder()
            let launch = try run.train(settings: ["run.steps=6", "run.threads=2"] + settings)
            #expect(launch.exitCode == 0, "\(launch.summary)")
            let names = try FileManager.default.contentsOfDirectory(atPath: run.directory)
            #expect(names.contains { $0.hasPrefix("trace") } == settings.contains(all))
            return try run.digest()
        }
        let all = "run.trace_steps=[1, 2, 3, 4, 5, 6]"
        let plain = try digest([])
        #expect(try digest([all]) == plain)
        #expect(try digest([all, "run.seed=8"]) != plain)
    }

    @Test func aFileThatCannotBeWrittenEndsTheRun() throws {
        let run = try RunFolder()
        let obstacle = "\(run.directory)/trace-step-0000000002.json"
        try FileManager.default.createDirectory(
            atPath: "\(obstacle)/x", withIntermediateDirectories: true)
        let launch = try run.train(ranks: 2, settings: ["run.trace_steps=[2]"])
        #expect(launch.exitCode == 5, "\(launch.summary)")
        #expect(launch.errorLines.contains { $0.contains("step 2: \(obstacle): ") })
    }

    // MARK: The text

    private func parsed(_ events: [TraceEvent]) throws -> TraceFile {
        let text = TraceText(rank: 3, host: "a \"b\"\\c", origin: 1000)
        let track = TraceTrack(name: "communication", events: events)
        let folder = try TemporaryFolder()
        let file = try TraceWriter(path: folder.file("trace.json"), step: 1)
        #expect(file.append(Array(text.events(of: [track]).utf8)) == nil)
        try file.finish()
        #expect(try folder.names(in: "") == ["trace.json"])
        return try TraceFile(Data(try folder.bytes("trace.json")))
    }

    /// Each rank's text by itself; a file that is not finished is not there, nor what was written of it.
    @Test func ranksAreWrittenOneAfterTheOther() throws {
        let folder = try TemporaryFolder()
        func write(_ ranks: Int, finishes: Bool) throws {
            let file = try TraceWriter(path: folder.file("trace.json"), step: 1)
            for rank in 0..<ranks {
                let text = TraceText(rank: rank, host: "a", origin: 0)
                let track = TraceTrack(name: "training", events: [event("b", 1, 2)])
                #expect(file.append(Array(text.events(of: [track]).utf8)) == nil)
            }
            if finishes { try file.finish() }
        }
        try write(3, finishes: false)
        #expect(try folder.names(in: "") == [])
        try write(3, finishes: true)
        let trace = try TraceFile(Data(try folder.bytes("trace.json")))
        #expect(trace.processes.count == 3 && trace.malformed.isEmpty)
        for rank in 0..<3 { #expect(trace.spans(of: rank, track: "training").map(\.name) == ["b"]) }
    }

    private func event(_ name: String, _ start: UInt64, _ end: UInt64) -> TraceEvent {
        TraceEvent(.made(name), .communication, start: start, end: end)
    }

    /// Rank 1 shares the first rank's clock, ranks 2 and 3 have another that is 1,000,000 ns ahead.
    @Test func hostsAreAlignedByTheirAgreement() {
        func clock(_ first: UInt64, _ agreement: UInt64, _ host: String) -> TraceClock {
            let events = [
                event("a", first, first + 5),
                TraceEvent(.made("agreement"), .agreement, start: first + 5, end: agreement),
            ]
            return TraceClock([TraceTrack(name: "training", events: events)], host: host)
        }
        let clocks = [
            clock(1100, 2000, "one"), clock(1050, 2010, "one"), clock(1_001_020, 1_002_000, "two"),
            clock(1_001_300, 1_002_030, "two"),
        ]
        let copies = clocks.compactMap { TraceClock($0.text) }
        let origins = clocks.map { $0.origin(among: copies) }
        #expect(origins == [1020, 1020, 1_001_020, 1_001_020])
    }

    @Test func operationsThatCrossLieOnSeveralTracks() throws {
        let file = try parsed([
            event("b", 2000, 3000), event("a", 1000, 5000), event("c", 4000, 9500),
            event("d", 5000, 6000), event("e", 6000, 7000),
        ])
        #expect(file.malformed.isEmpty && file.crossings.isEmpty)
        #expect(file.tracks(of: 3) == ["communication", "communication 2"])
        #expect(file.processes[3] == "rank 3 host a \"b\"\\c")
        #expect(file.spans(of: 3, track: "communication").map(\.name) == ["a", "b", "d", "e"])
        let second = file.spans(of: 3, track: "communication 2")
        #expect(second.map(\.start) == [3] && second.map(\.end) == [8.5])
        // The control: on one track they would cross.
        var merged = file
        merged.spans = [.init(process: 3, thread: 0): file.spans.values.flatMap { $0 }]
        #expect(merged.crossings.count == 1)
    }
}
