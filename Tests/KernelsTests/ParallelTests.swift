import Kernels
import Synchronization
import Testing

/// The tests that set the number of threads run one after the other.
@Suite(.serialized)
struct ThreadedTests {}

extension ThreadedTests {
    @Suite(.serialized)
    struct ParallelTests {
        private func hits(_ count: Int) -> [Int] {
            let hits = UnsafeMutablePointer<Int>.allocate(capacity: max(count, 1))
            hits.initialize(repeating: 0, count: max(count, 1))
            defer { hits.deallocate() }
            parallelFor(count) { hits[$0] += 1 }
            return Array(UnsafeBufferPointer(start: hits, count: count))
        }

        @Test(arguments: [1, 2, 3, 8])
        func eachIndexRunsOnce(threads: Int) {
            Threads.start(threads)
            #expect(Threads.count == threads)
            for count in [0, 1, 2, 7, 1000] {
                for _ in 0..<50 { #expect(hits(count) == Array(repeating: 1, count: count)) }
            }
        }

        @Test(arguments: [[0], [1], [8_192], [20_000], [3, 0, 8_193, 16_384]])
        func runsCoverEveryElementOnce(counts: [Int]) {
            Threads.start(3)
            let most = counts.max() ?? 0
            let hits = UnsafeMutablePointer<Int>.allocate(capacity: counts.count * most + 1)
            hits.initialize(repeating: 0, count: counts.count * most + 1)
            defer { hits.deallocate() }
            parallelRuns(of: counts) { list, run in
                for element in run { hits[list * most + element] += 1 }
            }
            if counts.count == 1 {
                parallelRuns(of: most, length: 7) { run in
                    #expect(run.count <= 7)
                    for element in run { hits[element] += 1 }
                }
            }
            for (list, count) in counts.enumerated() {
                for element in 0..<most {
                    let expected = element < count ? (counts.count == 1 ? 2 : 1) : 0
                    #expect(hits[list * most + element] == expected)
                }
            }
        }

        @Test func poolIsResizedAgainAndAgain() {
            for round in 0..<40 {
                Threads.start(1 + round % 4)
                #expect(hits(33) == Array(repeating: 1, count: 33))
            }
        }

        @Test func nestedCallsAndResizingInsideABodyRunInline() {
            Threads.start(2)
            let total = Atomic<Int>(0)
            parallelFor(10) { _ in
                parallelFor(10) { _ in
                    Threads.start(2)
                    total.wrappingAdd(1, ordering: .relaxed)
                }
            }
            #expect(total.load(ordering: .relaxed) == 100)
        }

        /// Ranks in one process call at once; one has the pool, the others run inline.
        @Test func callersOnSeveralThreadsAllFinish() async {
            Threads.start(3)
            let sums = await withTaskGroup(of: Int.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let sum = Atomic<Int>(0)
                        for _ in 0..<200 {
                            parallelFor(20) { sum.wrappingAdd($0, ordering: .relaxed) }
                        }
                        return sum.load(ordering: .relaxed)
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(sums == Array(repeating: 200 * 190, count: 4))
        }

        /// Workers that slept must see the next job: pieces long enough that all of them are needed.
        @Test func sleepingWorkersWake() {
            Threads.start(2)
            for _ in 0..<20 {
                let clock = ContinuousClock()
                let until = clock.now + .microseconds(300)
                while clock.now < until {}
                #expect(hits(64) == Array(repeating: 1, count: 64))
            }
        }

        @Test func scratchBlocksNestAndAreKept() {
            var first: UnsafeMutablePointer<Float>?
            for _ in 0..<3 {
                withScratch(100) { outer in
                    outer.update(repeating: 1, count: 100)
                    withScratch(1000) { inner in inner.update(repeating: 2, count: 1000) }
                    #expect((0..<100).allSatisfy { outer[$0] == 1 })
                    #expect(first == nil || first == outer)
                    first = outer
                }
            }
        }
    }
}
