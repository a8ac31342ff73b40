import Foundation

/// A trace as a reader of the format sees it.
struct TraceFile {
    struct Span {
        let name: String
        let category: String
        let start: Double
        let end: Double
    }

    struct Track: Hashable {
        let process: Int
        let thread: Int
    }

    var processes: [Int: String] = [:]
    var names: [Track: String] = [:]
    var spans: [Track: [Span]] = [:]
    /// Events that lack a field which the format asks for.
    var malformed: [String] = []

    init(_ data: Data) throws {
        let object = try JSONSerialization.jsonObject(with: data) as? [String: Any]
        for event in object?["traceEvents"] as? [[String: Any]] ?? [] {
            guard let name = event["name"] as? String, let phase = event["ph"] as? String,
                let time = event["ts"] as? Double, let duration = event["dur"] as? Double,
                let process = event["pid"] as? Int, let thread = event["tid"] as? Int,
                phase == "M" || phase == "X", time >= 0, duration >= 0
            else {
                malformed.append("\(event)")
                continue
            }
            let track = Track(process: process, thread: thread)
            guard phase == "M" else {
                let category = event["cat"] as? String ?? ""
                spans[track, default: []].append(
                    Span(name: name, category: category, start: time, end: time + duration))
                continue
            }
            let text = (event["args"] as? [String: Any])?["name"] as? String
            if name == "process_name" { processes[process] = text }
            if name == "thread_name" { names[track] = text }
        }
        if object?["displayTimeUnit"] as? String == nil { malformed.append("displayTimeUnit") }
    }

    /// Names of the tracks of a process.
    func tracks(of process: Int) -> Set<String> {
        Set(names.filter { $0.key.process == process }.values)
    }

    func spans(of process: Int, track name: String) -> [Span] {
        names.filter { $0.key.process == process && $0.value == name }
            .flatMap { spans[$0.key] ?? [] }
    }

    /// Pairs of spans of one track that cross.
    var crossings: [String] {
        spans.values.flatMap { spans in
            var open: [Span] = []
            var crossings: [String] = []
            // A nanosecond is the resolution of the file.
            let sorted = spans.sorted { ($0.start, $1.end) < ($1.start, $0.end) }
            for span in sorted {
                open.removeAll { $0.end <= span.start + 0.0005 }
                if let last = open.last, span.end > last.end + 0.0005 {
                    crossings.append("\(last.name) and \(span.name)")
                }
                open.append(span)
            }
            return crossings
        }
    }
}
