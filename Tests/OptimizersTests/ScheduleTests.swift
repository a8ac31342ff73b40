import Optimizers
import Testing

@Suite struct ScheduleTests {
    /// Warm-up of 4 steps, decay until step 20, from 2 down to a tenth.
    private func schedule(_ decay: Schedule.Decay) -> Schedule {
        Schedule(
            learningRate: 2, warmupSteps: 4, decay: decay, decaySteps: 20, finalRatio: 0.1)
    }

    private func isClose(_ found: Double, _ expected: Double) -> Bool {
        abs(found - expected) <= 1e-12 * expected
    }

    @Test(arguments: Schedule.Decay.allCases)
    func warmUpBeginsAtOneStepAndEndsAtTheFullRate(decay: Schedule.Decay) {
        let rates = (0...4).map { schedule(decay).learningRate(at: $0) }
        #expect(zip(rates, [0.5, 1, 1.5, 2, 2]).allSatisfy(isClose))
        #expect(!isClose(rates[0], rates[1]), "control: rates that differ are close")
    }

    /// At steps 12 (the middle), 20 (D), 21 and 1,000.
    private static let decays: [(Schedule.Decay, [Double])] = [
        (.constant, [2, 2, 2, 2]),
        (.linear, [1.1, 0.2, 0.2, 0.2]),
        (.cosine, [1.1, 0.2, 0.2, 0.2]),
        (.exponential, [0.632_455_532_033_675_9, 0.2, 0.2, 0.2]),
        (
            .inverseSquareRoot,
            [1.154_700_538_379_251_5, 0.894_427_190_999_916, 0.872_871_560_943_969_5, 0.2]
        ),
    ]

    @Test(arguments: decays)
    func decay(decay: Schedule.Decay, expected: [Double]) {
        let found = [12, 20, 21, 1000].map { schedule(decay).learningRate(at: $0) }
        #expect(zip(found, expected).allSatisfy(isClose), "\(found)")
    }

    /// A quarter of the way tells a cosine from a line.
    @Test func cosineIsNoLine() {
        #expect(
            isClose(
                schedule(.cosine).learningRate(at: 8), 2 * (0.1 + 0.9 * 0.853_553_390_593_273_8)))
        #expect(isClose(schedule(.linear).learningRate(at: 8), 2 * 0.775))
    }

    @Test(arguments: Schedule.Decay.allCases)
    func withoutWarmUpTheFirstStepHasTheFullRate(decay: Schedule.Decay) {
        var schedule = schedule(decay)
        schedule.warmupSteps = 0
        #expect(schedule.learningRate(at: 0) == 2)
        #expect(schedule.learningRate(at: 1) == 2 || decay != .inverseSquareRoot)
    }

    /// A decay of no length: the rate after it stands at once.
    @Test func decayThatEndsWithTheWarmUp() {
        var schedule = schedule(.linear)
        schedule.decaySteps = 4
        #expect(
            isClose(schedule.learningRate(at: 3), 2) && isClose(schedule.learningRate(at: 5), 0.2))
    }
}
