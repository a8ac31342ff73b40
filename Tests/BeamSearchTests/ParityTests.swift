// Texts and scores of `generate` (transformers 5.24), from Fixtures/make.py.

import BeamSearch
import Testing

@Suite struct ParityTests {
    @Test func findsTheSameTextsAndScores() throws {
        let cases = try SearchCase.fixture()
        #expect(cases.count == 38)
        for (number, one) in cases.enumerated() {
            try one.options.validate(vocabulary: one.settings.vocabulary)
            let (different, distance) = one.compare(one.search(one.options))
            #expect(different == 0, "case \(number): \(one.settings)")
            #expect(distance <= 1e-5, "case \(number): \(one.settings)")
        }
    }

    /// Control: with one option changed in all cases, the comparison sees it in some.
    @Test(arguments: 0..<10)
    func everyOptionMatters(option: Int) throws {
        let changes: [(inout BeamOptions) -> Void] = [
            { $0.lengthPenalty = .power(0.3) }, { $0.earlyStopping = .firstFinished },
            { $0.earlyStopping = .heuristic }, { $0.earlyStopping = .never },
            { $0.minimumLength = 1 }, { $0.noRepeatNgram = 4 }, { $0.repetitionPenalty = 1.01 },
            { $0.forcedLast = nil }, { $0.forcedFirst = nil }, { $0.suppressed = [] },
        ]
        let different = try SearchCase.fixture().reduce(0) { sum, one in
            var options = one.options
            changes[option](&options)
            let found = one.compare(one.search(options))
            return sum + found.different + (found.distance > 1e-3 ? 1 : 0)
        }
        #expect(different > 0)
    }

    /// A source alone has, bit for bit, what it has among others, which drop out before or after
    /// it.
    @Test func resultsDoNotDependOnTheBatch() throws {
        for one in try SearchCase.fixture().suffix(12) {
            let together = one.search(one.options)
            for (index, number) in one.sources.enumerated() {
                let alone = one.model.search(
                    [BeamSource(prefix: one.settings.prefix)], numbers: [number], one.options)
                #expect(alone[0] == together[index])
            }
        }
    }
}
