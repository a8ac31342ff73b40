import Glibc
import Kernels
import Testing

extension ThreadedTests {
    /// Other suites compute meanwhile, on other threads or under other names.
    @Suite(.serialized)
    struct TraceTests {
        private func traced(_ body: () -> Void) -> [TraceTrack] {
            Trace.start()
            body()
            return Trace.stop()
        }

        private func events(_ name: String, in tracks: [TraceTrack]) -> [TraceEvent] {
            tracks.flatMap(\.events).filter { $0.name == name }
        }

        @Test func offRecordsNothing() {
            func spans() {
                Trace.begin(.forward, "of the off test").end()
                parallelFor(3, label: "of the off test") { _ in }
            }
            #expect(!Trace.isOn && Trace.now == 0)
            spans()
            #expect(events("of the off test", in: traced {}).isEmpty)
            // The control: the same spans while it is on.
            #expect(events("of the off test", in: traced(spans)).count >= 2)
        }

        @Test func whatIsNotWhollyInsideIsNotRecorded() {
            let before = Trace.begin(.forward, "cut off")
            var within: TraceSpan?
            let first = traced {
                before.end()
                within = Trace.begin(.forward, "cut off")
            }
            within?.end()
            let second = traced { within?.end() }
            #expect(events("cut off", in: first + second).isEmpty)
        }

        @Test func spansBearTheirFunctionAndNest() throws {
            func inner(_ count: Int) { Trace.begin(.product, operations: count).end() }
            func outer() {
                let span = Trace.begin(.forward, bytes: 5)
                inner(7)
                inner(8)
                span.end()
            }
            let tracks = traced(outer)
            let outside = try #require(events("outer", in: tracks).first)
            let inside = events("inner", in: tracks)
            #expect(outside.bytes == 5 && inside.map(\.operations) == [7, 8])
            #expect(inside.allSatisfy { outside.start <= $0.start && $0.end <= outside.end })
            #expect(inside[0].end <= inside[1].start)
        }

        /// Every piece runs within a span of its thread that bears the call's name.
        @Test(arguments: [1, 2, 3]) func sharesCoverThePieces(threads: Int) {
            Threads.start(threads)
            defer { Threads.start(1) }
            let count = 64
            let tracks = traced {
                parallelFor(count, label: "shared(out:)") { piece in
                    let span = Trace.begin(.data, "piece", operations: piece)
                    let end = ContinuousClock.now + .microseconds(50)
                    while ContinuousClock.now < end {}
                    span.end()
                }
            }
            var covered: [Int] = []
            for track in tracks {
                let shares = track.events.filter { $0.name == "shared" && $0.category == .kernel }
                let pieces = track.events.filter { $0.name == "piece" }
                if pieces.isEmpty { continue }
                covered += pieces.filter { piece in
                    shares.contains { $0.start <= piece.start && piece.end <= $0.end }
                }.map(\.operations)
            }
            #expect(covered.sorted() == Array(0..<count))
            #expect(events("shared", in: tracks).count <= threads)
        }

        @Test func everyWorkerHasATrack() {
            Threads.start(3)
            defer { Threads.start(1) }
            for _ in 0..<20 { parallelFor(64) { _ in } }
            var names: Set<String> = []
            // A worker names itself when it begins to run. A job does not wait for one that is late: on a loaded
            // machine it takes several, with pieces that leave the processor to others.
            for _ in 0..<1000 where names.count < 2 {
                names.formUnion(
                    traced { parallelFor(64) { _ in usleep(100) } }.map(\.name)
                        .filter { ["worker 1", "worker 2"].contains($0) })
            }
            #expect(names == ["worker 1", "worker 2"])
        }
    }
}
