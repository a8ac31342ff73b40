// Where the time goes. While tracing is on, spans of time are recorded, those of each thread on a track of
// its own; while it is off, the place of a span costs one relaxed load.

import Glibc
import Synchronization

/// The process's recorder of spans.
///
/// `let span = Trace.begin(.forward)`, `defer { span.end() }`: spans of one thread nest. Those of
/// operations that a thread only carries forward (communication) may overlap.
package enum Trace {
    /// What kind of work a span is; the raw value is the category in the file.
    package enum Category: String, Sendable {
        /// A whole optimizer step.
        case step
        /// A part of a step that holds others and does little itself: a forward or backward pass.
        case phase
        /// A primitive on its way forward.
        case forward
        /// A primitive's pullback.
        case backward
        /// A part of a backward pass that runs forward again.
        case recompute
        /// A matrix product inside a primitive.
        case product
        /// A call of `parallelFor`, or a worker's share of one.
        case kernel
        case data, agreement, norm, optimizer, evaluation, checkpoint
        /// An operation between ranks, or the wait for one.
        case communication
    }

    /// When tracing began; 0: it is off.
    private static let since = Atomic<UInt64>(0)
    private static let registry = Mutex<[Recorder]>([])

    package static var isOn: Bool { since.load(ordering: .relaxed) != 0 }

    /// Nanoseconds of the monotonic clock, which the processes of a host share; 0 while tracing is off.
    package static var now: UInt64 { isOn ? clock : 0 }

    /// Begins anew. Spans that have begun before are not recorded.
    package static func start() {
        let recorders = registry.withLock { recorders in
            recorders.removeAll { $0.hasEnded.load(ordering: .relaxed) }
            return recorders
        }
        for recorder in recorders { recorder.clear() }
        since.store(clock, ordering: .sequentiallyConsistent)
    }

    /// Ends tracing. Spans that have not ended are not recorded.
    ///
    /// - Returns: a track for each thread that has a name or has recorded something.
    package static func stop() -> [TraceTrack] {
        since.store(0, ordering: .sequentiallyConsistent)
        return registry.withLock { $0 }.map(\.track)
    }

    /// Names the calling thread's track; without a name it is the training thread's.
    package static func nameThread(_ name: String) { Recorder.ofThisThread.rename(name) }

    /// Begins a span of the calling thread.
    ///
    /// - Parameters:
    ///   - name: up to the first parenthesis; the name of the calling function where it is left out.
    ///   - operations: floating-point operations, where somebody wants their rate; evaluated while tracing
    ///     is on.
    ///   - bytes: read from memory and written to it, likewise.
    package static func begin(
        _ category: Category, _ name: StaticString = #function,
        operations: @autoclosure () -> Int = 0, bytes: @autoclosure () -> Int = 0
    ) -> TraceSpan {
        let start = now
        let (operations, bytes) = start == 0 ? (0, 0) : (operations(), bytes())
        return TraceSpan(
            name: name, category: category, operations: operations, bytes: bytes, start: start)
    }

    /// Adds a span that ends now to the calling thread's track; nothing where `start` is from before
    /// tracing began.
    package static func record(_ event: @autoclosure () -> TraceEvent, from start: UInt64) {
        let since = since.load(ordering: .relaxed)
        guard since != 0, start >= since else { return }
        Recorder.ofThisThread.append(event())
    }

    static var clock: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    fileprivate static func register(_ recorder: Recorder) {
        registry.withLock { recorders in
            if !isOn { recorders.removeAll { $0.hasEnded.load(ordering: .relaxed) } }
            recorders.append(recorder)
        }
    }
}

/// A span under way.
package struct TraceSpan {
    let name: StaticString
    let category: Trace.Category
    let operations: Int
    let bytes: Int
    /// 0: tracing was off.
    let start: UInt64

    package func end() {
        guard start != 0 else { return }
        let end = Trace.clock
        Trace.record(
            TraceEvent(
                .fixed(name), category, start: start, end: end, operations: operations,
                bytes: bytes), from: start)
    }
}

/// A span that is over.
package struct TraceEvent: Sendable {
    private let title: Title
    package let category: Trace.Category
    /// Nanoseconds of the monotonic clock.
    package let start: UInt64
    package let end: UInt64
    /// 0: not told.
    package let operations: Int
    package let bytes: Int

    package enum Title: Sendable {
        /// Costs nothing to record; shown up to the first parenthesis.
        case fixed(StaticString)
        case made(String)
    }

    package init(
        _ title: Title, _ category: Trace.Category, start: UInt64, end: UInt64? = nil,
        operations: Int = 0, bytes: Int = 0
    ) {
        (self.title, self.category) = (title, category)
        (self.start, self.end) = (start, end ?? Trace.clock)
        (self.operations, self.bytes) = (operations, bytes)
    }

    package var name: String {
        switch title {
        case .fixed(let text): String(text.description.prefix { $0 != "(" })
        case .made(let text): text
        }
    }
}

/// What one thread did, in the order in which its spans ended.
package struct TraceTrack: Sendable {
    package let name: String
    package let events: [TraceEvent]

    package init(name: String, events: [TraceEvent]) { (self.name, self.events) = (name, events) }
}

/// A thread's events while tracing is on.
private final class Recorder: Sendable {
    private struct State {
        var name = "training"
        var events: [TraceEvent] = []
    }

    let hasEnded = Atomic<Bool>(false)
    private let state = Mutex(State())
    private static let capacity = 1 << 13

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key) { raw in
            guard let raw else { return }
            Unmanaged<Recorder>.fromOpaque(raw).takeRetainedValue()
                .hasEnded.store(true, ordering: .relaxed)
        }
        precondition(status == 0, "Trace: pthread_key_create returned \(status)")
        return key
    }()

    static var ofThisThread: Recorder {
        if let raw = pthread_getspecific(key) {
            return Unmanaged<Recorder>.fromOpaque(raw).takeUnretainedValue()
        }
        let recorder = Recorder()
        pthread_setspecific(key, Unmanaged.passRetained(recorder).toOpaque())
        Trace.register(recorder)
        return recorder
    }

    var track: TraceTrack { state.withLock { TraceTrack(name: $0.name, events: $0.events) } }

    func rename(_ name: String) { state.withLock { $0.name = name } }

    func append(_ event: TraceEvent) { state.withLock { $0.events.append(event) } }

    /// Makes room, so that recording seldom allocates.
    func clear() {
        state.withLock {
            $0.events = []
            $0.events.reserveCapacity(Recorder.capacity)
        }
    }
}
