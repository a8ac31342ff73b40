// `murmur bench --profile`: the training thread's time, shared out so that it sums to the step.

import Kernels

/// What a step spends on one kind of work.
public struct ProfileRow: Sendable, Encodable, Equatable {
    /// A primitive, a product of one (`linear: weight gradient`), another part of the step, or `rest`.
    public var name: String
    /// `forward`, `backward`, `recompute` (forward again in a backward pass), or empty.
    public var direction: String
    /// Of a step, of the training thread, without what other rows tell.
    public var milliseconds: Double
    /// Of the step.
    public var share: Double
    /// Of a step.
    public var calls: Double
    /// Products only.
    public var gflopsPerSecond: Double?
    /// Their part of the processor's peak.
    public var shareOfPeak: Double?
    /// Memory read and written, where the shapes tell.
    public var gigabytesPerSecond: Double?
}

/// The time of the traced steps of one rank by kind of work.
///
/// A span's own time is its duration without that of the spans inside it. What `parallelFor` takes is the
/// caller's; outside of a primitive it is a row by itself.
struct Profile {
    private struct Key: Hashable {
        var name: String
        var direction = ""

        static let rest = Key(name: "rest")
    }

    private struct Sum {
        var nanoseconds: UInt64 = 0
        var calls = 0
        var operations = 0
        var bytes = 0
    }

    private struct Frame {
        let event: TraceEvent
        let key: Key
        let isRecomputation: Bool
        var inside: UInt64 = 0
    }

    private var sums: [Key: Sum] = [:]
    private var steps = 0

    /// From the track on which the steps are.
    init(_ tracks: [TraceTrack]) {
        let training = tracks.first { $0.events.contains { $0.category == .step } }
        var open: [Frame] = []
        for event in (training?.events ?? []).outermostFirst {
            while let last = open.last, last.event.end <= event.start { close(&open) }
            guard !open.isEmpty || event.category == .step else { continue }
            let key = Profile.key(of: event, in: open.last)
            count(event, key, in: open.last)
            open.append(
                Frame(
                    event: event, key: key,
                    isRecomputation: event.category == .recompute
                        || open.last?.isRecomputation == true))
        }
        while !open.isEmpty { close(&open) }
    }

    private static func key(of event: TraceEvent, in parent: Frame?) -> Key {
        switch event.category {
        case .step, .phase, .recompute: .rest
        case .kernel:
            parent.flatMap { $0.key == .rest ? nil : $0.key } ?? Key(name: event.name)
        case .forward:
            Key(
                name: event.name,
                direction: parent?.isRecomputation == true ? "recompute" : "forward")
        case .backward: Key(name: event.name, direction: "backward")
        case .product:
            Key(
                name: (parent.map { $0.key.name + ": " } ?? "") + event.name,
                direction: parent?.key.direction ?? "")
        case .data, .agreement, .norm, .optimizer, .evaluation, .checkpoint, .communication:
            Key(name: event.name)
        }
    }

    private mutating func count(_ event: TraceEvent, _ key: Key, in parent: Frame?) {
        if event.category == .step { steps += 1 }
        if key != .rest && key != parent?.key { sums[key, default: Sum()].calls += 1 }
        sums[key, default: Sum()].operations += event.operations
        sums[key, default: Sum()].bytes += event.bytes
    }

    private mutating func close(_ open: inout [Frame]) {
        let frame = open.removeLast()
        let duration = frame.event.end - frame.event.start
        sums[frame.key, default: Sum()].nanoseconds += duration - min(duration, frame.inside)
        if !open.isEmpty { open[open.count - 1].inside += duration }
    }

    /// The longest first, `rest` at the end; they sum to the mean step.
    ///
    /// - Parameter peak: of this rank, FLOP/s.
    func rows(peak: Double) -> [ProfileRow] {
        let total = Double(sums.values.reduce(0) { $0 + $1.nanoseconds })
        let rows = sums.map { key, sum in
            let nanoseconds = Double(max(1, sum.nanoseconds))
            let rate = sum.operations > 0 ? Double(sum.operations) / nanoseconds : nil
            return ProfileRow(
                name: key.name, direction: key.direction,
                milliseconds: Double(sum.nanoseconds) / Double(max(1, steps)) * 1e-6,
                share: Double(sum.nanoseconds) / max(1, total),
                calls: Double(sum.calls) / Double(max(1, steps)), gflopsPerSecond: rate,
                shareOfPeak: rate.map { $0 * 1e9 / peak },
                gigabytesPerSecond: sum.bytes > 0 ? Double(sum.bytes) / nanoseconds : nil)
        }
        return rows.sorted {
            ($0.name == Key.rest.name ? 1 : 0, -$0.milliseconds, $0.name)
                < ($1.name == Key.rest.name ? 1 : 0, -$1.milliseconds, $1.name)
        }
    }
}
