// Traces of chosen steps, as files for Perfetto (https://ui.perfetto.dev) and chrome://tracing: the object
// form of the Trace Event Format, complete events ("ph": "X"), one process a rank, one track a thread.

import Communication
import Foundation
import Kernels

/// Records the steps that `run.trace_steps` names, each into a file of the run directory.
struct StepTracing {
    private let steps: Set<Int>
    private let directory: String
    private let world: World

    init(_ configuration: RunConfiguration, world: World) {
        steps = Set(configuration.run.traceSteps)
        directory = configuration.run.directory
        self.world = world
    }

    static func path(step: Int, in directory: String) -> String {
        directory + "/trace-step-" + String(format: "%010d", step) + ".json"
    }

    /// Begins where step `step`, the number of its metrics row, is to be traced.
    func begin(step: Int) { if steps.contains(step) { Trace.start() } }

    /// Writes what was recorded; nothing where the step is not to be traced. Collective.
    func end(step: Int) throws(RunError) {
        guard steps.contains(step) else { return }
        let tracks = Trace.stop()
        let (communicator, host) = (world.communicator, world.placement.hostName)
        let file = try communicator.together(host) { () throws(RunError) in
            guard world.isFirst else { return nil as TraceWriter? }
            return try TraceWriter(path: StepTracing.path(step: step, in: directory), step: step)
        }
        var failure: RunError?
        try communicating(step: step) { () throws(CommunicationError) in
            let clock = TraceClock(tracks, host: "\(world.placement.hostLeader)")
            let clocks = try communicator.gatherAll(clock.text).compactMap(TraceClock.init)
            let text = TraceText(
                rank: world.rank, host: host, origin: clock.origin(among: clocks))
            // One rank's text after the other: all of them are too much for any one's memory.
            try communicator.gatherToFirst(Array(text.events(of: tracks).utf8)) { _, events in
                failure = file?.append(events)
                return failure == nil
            }
        }
        try communicator.together(host) { () throws(RunError) in
            if let failure { throw failure }
            try file?.finish()
        }
    }
}

/// Where a rank's clock stands against the others'. Ranks of one host read the same clock; hosts are
/// put in line by the end of the step's agreement, which no rank leaves before all have come.
package struct TraceClock {
    /// Nanoseconds of the rank's own clock: its first span, and the end of its last agreement.
    private let first: UInt64
    private let agreement: UInt64
    private let host: String

    package init(_ tracks: [TraceTrack], host: String) {
        let events = tracks.flatMap(\.events)
        first = events.map(\.start).min() ?? 0
        agreement = events.filter { $0.category == .agreement }.map(\.end).max() ?? first
        self.host = host
    }

    package var text: String { "\(first)\t\(agreement)\t\(host)" }

    package init?(_ text: String) {
        let parts = text.split(separator: "\t")
        guard parts.count == 3, let first = UInt64(parts[0]), let agreement = UInt64(parts[1])
        else { return nil }
        (self.first, self.agreement, host) = (first, agreement, String(parts[2]))
    }

    /// The file's time 0 on this rank's clock, from the clocks of all ranks in their order.
    package func origin(among clocks: [TraceClock]) -> Int64 {
        /// What is added to the clock of a host to get that of the first rank's.
        func offset(_ host: String) -> Int64 {
            guard let clock = clocks.first(where: { $0.host == host }) else { return 0 }
            return Int64(clocks[0].agreement) - Int64(clock.agreement)
        }
        let start = clocks.map { Int64($0.first) + offset($0.host) }.min() ?? 0
        return start - offset(host)
    }
}

/// One rank's events as JSON.
package struct TraceText {
    let rank: Int
    let host: String
    /// Nanoseconds of this rank's clock at the file's time 0.
    let origin: Int64

    package init(rank: Int, host: String, origin: Int64) {
        (self.rank, self.host, self.origin) = (rank, host, origin)
    }

    /// What stands in the file before, between and behind what each rank gives.
    static func head(step: Int) -> String {
        """
        {"displayTimeUnit": "ms", "otherData": {"step": \(step), "program": "murmur \(version)"},
        "traceEvents": [

        """
    }
    static let separator = ",\n"
    static let tail = "\n]}\n"

    /// Metadata, then every span, a line each.
    package func events(of tracks: [TraceTrack]) -> String {
        var lines = [
            metadata("process_name", "\"name\": \(quoted("rank \(rank) host \(host)"))"),
            metadata("process_sort_index", "\"sort_index\": \(rank)"),
        ]
        let sorted = tracks.sorted { TraceText.order($0.name) < TraceText.order($1.name) }
        var thread = 0
        for track in sorted {
            for (number, lane) in TraceText.lanes(track.events).enumerated() {
                let name = number == 0 ? track.name : "\(track.name) \(number + 1)"
                lines.append(metadata("thread_name", "\"name\": \(quoted(name))", thread))
                lines.append(metadata("thread_sort_index", "\"sort_index\": \(thread)", thread))
                lines += lane.map { line($0, thread) }
                thread += 1
            }
        }
        return lines.joined(separator: ",\n")
    }

    /// The training thread, workers by number, communication, loader.
    private static func order(_ name: String) -> (Int, Int) {
        let kinds = ["worker", "communication", "loader"]
        let kind = kinds.firstIndex { name.hasPrefix($0) }.map { $0 + 1 } ?? 0
        return (kind, name.split(separator: " ").last.flatMap { Int($0) } ?? 0)
    }

    /// Spans of one track nest in the format. Operations between ranks overlap, so each goes to the first
    /// lane where it does not cross another. At least one lane.
    static func lanes(_ events: [TraceEvent]) -> [[TraceEvent]] {
        var lanes: [(events: [TraceEvent], open: [UInt64])] = [([], [])]
        for event in events.outermostFirst {
            for index in lanes.indices {
                lanes[index].open.removeAll { $0 <= event.start }
            }
            let free = lanes.firstIndex { $0.open.last.map { event.end <= $0 } ?? true }
            if free == nil { lanes.append(([], [])) }
            let lane = free ?? lanes.count - 1
            lanes[lane].events.append(event)
            lanes[lane].open.append(event.end)
        }
        return lanes.map(\.events)
    }

    private func line(_ event: TraceEvent, _ thread: Int) -> String {
        var fields = [
            "\"name\": \(quoted(event.name))", "\"cat\": \"\(event.category.rawValue)\"",
            "\"ph\": \"X\"", "\"ts\": \(microseconds(Int64(event.start) - origin))",
            "\"dur\": \(microseconds(Int64(event.end - event.start)))", "\"pid\": \(rank)",
            "\"tid\": \(thread)",
        ]
        let nanoseconds = Double(max(1, event.end - event.start))
        let rates = [("GFLOP/s", event.operations), ("GB/s", event.bytes)].filter { $0.1 > 0 }
            .map { String(format: "\"\($0.0)\": %.2f", Double($0.1) / nanoseconds) }
        if !rates.isEmpty { fields.append("\"args\": {\(rates.joined(separator: ", "))}") }
        return "{\(fields.joined(separator: ", "))}"
    }

    private func metadata(_ name: String, _ argument: String, _ thread: Int = 0) -> String {
        "{\"name\": \"\(name)\", \"ph\": \"M\", \"ts\": 0, \"dur\": 0, \"pid\": \(rank), "
            + "\"tid\": \(thread), \"args\": {\(argument)}}"
    }

    /// The format's unit, to the nanosecond.
    private func microseconds(_ nanoseconds: Int64) -> String {
        let fraction = String(abs(nanoseconds % 1000))
        let sign = nanoseconds < 0 ? "-" : ""
        return "\(sign)\(abs(nanoseconds) / 1000)."
            + String(repeating: "0", count: 3 - fraction.count) + fraction
    }

    private func quoted(_ text: String) -> String {
        let safe = text.unicodeScalars.filter { $0.value >= 0x20 }.map(String.init).joined()
        return "\"" + safe.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}

extension [TraceEvent] {
    /// By start; of those that start together, the one that encloses the others first.
    var outermostFirst: [TraceEvent] {
        enumerated().sorted { a, b in
            // A span ends after those inside it, so it stands behind them.
            (a.element.start, b.element.end, b.offset) < (b.element.start, a.element.end, a.offset)
        }.map(\.element)
    }
}
