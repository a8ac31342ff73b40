import Optimizers
import Testing

@Suite struct LossScaleTests {
    private func dynamic(_ scale: Int, good: Int = 0, hysteresis: Int = 2) throws -> LossScale {
        try #require(LossScale(savedScale: scale, goodSteps: good, hysteresis: hysteresis))
    }

    /// The state after steps that were good (`+`) or bad (`-`).
    private func after(_ steps: String, _ start: LossScale) -> [Int] {
        var scale = start
        for step in steps { scale.update(isFinite: step == "+") }
        return [scale.scale, scale.goodSteps, scale.hysteresis, scale.lostSteps]
    }

    @Test func startsAsDocumented() {
        #expect(after("", LossScale(.none)) == [1, 0, 2, 0])
        #expect(after("", LossScale(.static)) == [65536, 0, 2, 0])
        #expect(after("", LossScale(.static, staticScale: 128)) == [128, 0, 2, 0])
        #expect(after("", LossScale(.dynamic, staticScale: 128)) == [65536, 0, 2, 0])
    }

    /// Scale, good steps, hysteresis, lost steps.
    @Test(arguments: [
        ("+", [65536, 1, 2, 0]), ("-", [65536, 0, 1, 0]), ("--", [32768, 0, 1, 0]),
        ("---", [16384, 0, 1, 0]), ("+++-", [65536, 0, 1, 0]), ("-+++-", [32768, 0, 1, 0]),
        ("--+", [32768, 1, 1, 0]), ("--++-+", [16384, 1, 1, 0]),
    ])
    func followsTheRules(steps: String, expected: [Int]) {
        #expect(after(steps, LossScale(.dynamic)) == expected)
    }

    @Test func doublesAfter2000GoodStepsInARow() throws {
        let start = try dynamic(1024, hysteresis: 1)
        #expect(after(String(repeating: "+", count: 1999), start) == [1024, 1999, 1, 0])
        #expect(after(String(repeating: "+", count: 2000), start) == [2048, 0, 2, 0])
        #expect(after(String(repeating: "+", count: 6000), start) == [8192, 0, 2, 0])
        // An overflow starts the count anew, tolerated or not.
        let late = String(repeating: "+", count: 1999)
        #expect(after(late + "-" + late, try dynamic(1024)) == [1024, 1999, 1, 0])
        #expect(after(late + "-" + late, start) == [512, 1999, 1, 0])
        #expect(after(late + "-" + late + "+", start) == [1024, 0, 2, 0])
    }

    @Test func staysBelowItsCap() throws {
        let good = String(repeating: "+", count: 2000)
        #expect(after(good, try dynamic(1 << 23)) == [1 << 24, 0, 2, 0])
        #expect(after(good, try dynamic(1 << 24, hysteresis: 1)) == [1 << 24, 0, 2, 0])
    }

    /// From the start, when every step is bad: one is tolerated, 16 halve, eight at the floor end it.
    @Test func endsAfterEightBadStepsAtTheFloor() {
        var scale = LossScale(.dynamic)
        var scales: [Int] = []
        while !scale.hasDiverged && scales.count < 100 {
            scales.append(scale.scale)
            #expect(scale.isLastChance == (scales.count == 25))
            scale.update(isFinite: false)
        }
        #expect(scales.count == 25 && scales.suffix(8).allSatisfy { $0 == 1 })
        #expect(scales[15] == 4 && scales[16] == 2 && scale.scale == 1)
    }

    /// A good step at the floor begins the count of eight again; a step that lowers the scale is none of
    /// them.
    @Test func aGoodStepGivesANewChance() throws {
        let floor = try dynamic(1, hysteresis: 1)
        #expect(after("-------", floor) == [1, 0, 1, 7])
        #expect(after("-------+", floor) == [1, 1, 1, 0])
        #expect(after("-------+-", floor) == [1, 0, 1, 1])
        #expect(after("--------", floor) == [1, 0, 1, 8])
        #expect(after("---", try dynamic(2, hysteresis: 1)) == [1, 0, 1, 2])
    }

    @Test(arguments: [LossScale.Policy.none, .static])
    func aFixedScaleStays(policy: LossScale.Policy) {
        let start = LossScale(policy, staticScale: 4096)
        #expect(after("-------", start) == [start.scale, 0, 2, 7])
        #expect(after("-------+", start) == [start.scale, 0, 2, 0])
        #expect(after(String(repeating: "+", count: 5000), start) == [start.scale, 0, 2, 0])
        var scale = start
        for bad in 1...8 {
            #expect(scale.isLastChance == (bad == 8) && !scale.hasDiverged)
            scale.update(isFinite: false)
        }
        #expect(scale.hasDiverged)
    }

    /// Whatever comes, the scale is a power of two in its bounds, and what is saved is what goes on.
    @Test func staysSound() throws {
        var scale = LossScale(.dynamic)
        var state: UInt64 = 1
        for step in 0..<20_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Quiet times of some thousand steps, and bad ones.
            let odds: UInt64 = (step / 5000).isMultiple(of: 2) ? 1 << 20 : 3
            scale.update(isFinite: (state >> 33) % odds != 0)
            let saved = LossScale(
                savedScale: scale.scale, goodSteps: scale.goodSteps, hysteresis: scale.hysteresis,
                lostSteps: scale.hasDiverged ? 0 : scale.lostSteps)
            var copy = try #require(saved)
            var original = scale
            for isFinite in [false, true, false, false] {
                copy.update(isFinite: isFinite)
                original.update(isFinite: isFinite)
            }
            #expect(copy.scale == original.scale && copy.hysteresis == original.hysteresis)
        }
    }

    @Test(arguments: [
        [0, 0, 2, 0], [3, 0, 2, 0], [-2, 0, 2, 0], [1 << 25, 0, 2, 0], [1, 2000, 2, 0],
        [1, -1, 2, 0], [1, 0, 0, 0], [1, 0, 3, 0], [1, 0, 1, 8], [1, 0, 1, -1], [2, 0, 1, 1],
        [1, 1, 1, 1],
    ])
    func whatCannotHaveBeenSavedIsRefused(saved: [Int]) {
        #expect(
            LossScale(
                savedScale: saved[0], goodSteps: saved[1], hysteresis: saved[2],
                lostSteps: saved[3]) == nil)
        #expect(LossScale(savedScale: 1, goodSteps: 1999, hysteresis: 1) != nil, "control")
        #expect(LossScale(savedScale: 1, goodSteps: 0, hysteresis: 1, lostSteps: 7) != nil)
    }

    /// A run that is started again after every step comes to the same end.
    @Test func lostStepsSurviveARestart() throws {
        var scale = try dynamic(1, hysteresis: 1)
        for step in 1...LossScale.patience {
            scale.update(isFinite: false)
            #expect(scale.hasDiverged == (step == LossScale.patience))
            guard !scale.hasDiverged else { break }
            scale = try #require(
                LossScale(
                    savedScale: scale.scale, goodSteps: scale.goodSteps,
                    hysteresis: scale.hysteresis, lostSteps: scale.lostSteps))
        }
        #expect(scale.hasDiverged)
    }
}
