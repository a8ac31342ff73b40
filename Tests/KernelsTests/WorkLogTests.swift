import Kernels
import Synchronization
import Testing

/// What is written down of a thread's work, and what a dry log leaves undone.
@Suite struct WorkLogTests {
    @Test func aDryLogCallsNoBody() {
        let count = Atomic(0)
        func work() {
            parallelFor(3) { _ in count.add(1, ordering: .relaxed) }
            parallelRuns(of: 100_000) { _ in count.add(1, ordering: .relaxed) }
            serially { count.add(1, ordering: .relaxed) }
        }
        WorkLog(isDry: true).record(work)
        #expect(count.load(ordering: .relaxed) == 0)
        // The controls: a log that is not dry, and none.
        WorkLog(isDry: false).record(work)
        #expect(count.exchange(0, ordering: .relaxed) == 17)
        work()
        #expect(count.load(ordering: .relaxed) == 17)
    }

    @Test func aLogIsTheThreadsAndEnds() {
        let (outer, inner) = (WorkLog(isDry: true, threads: 3), WorkLog(isDry: false))
        #expect(WorkLog.current == nil)
        outer.record {
            #expect(WorkLog.dry === outer && Threads.count == 3)
            inner.record { #expect(WorkLog.current === inner && WorkLog.dry == nil) }
            #expect(WorkLog.current === outer)
        }
        #expect(WorkLog.current == nil)
    }

    /// Blocks by depth, of the thread that calls and of those that help.
    @Test(arguments: [1, 2, 5]) func scratchIsThatOfTheLargestAtEachDepth(threads: Int) {
        let log = WorkLog(isDry: true, threads: threads)
        log.record {
            withScratch(1000) { _ in
                parallelFor(4, scratch: 300) { _ in }
                withScratch(200) { _ in }
            }
            parallelFor(4, scratch: 500) { _ in }
            parallelFor(0, scratch: 1 << 20) { _ in }
        }
        #expect(log.scratchBytes == 4 * (1000 + 300 + (threads - 1) * 500))
    }

    @Test func whatIsRepeatedCountsApart() {
        let log = WorkLog(isDry: true)
        log.record {
            log.multiply(rows: 3, inputs: 5, outputs: 7)
            WorkLog.repeating { log.multiply(rows: 3, inputs: 5, outputs: 7) }
            log.multiply(rows: 1, inputs: 4, outputs: 2)
        }
        let operations = log.operations
        #expect(operations.products == 2 * (105 + 8) && operations.repeated == 210)
        #expect(operations.extentWeighted == 2 * (5 * 105 + 2 * 8))
    }
}
