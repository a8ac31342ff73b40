// Steps of a search: rows and the rows they continue, ties, limits, rows of odd values.

import BeamSearch
import Foundation
import Testing

@Suite struct StepTests {
    private func options(_ beams: Int, ends: [Int32] = [2]) -> BeamOptions {
        BeamOptions(beams: beams, start: HashedModel.start, ends: ends)
    }

    /// Each row is a row before it with a token more, of the same source, and sources that are
    /// finished are gone.
    @Test(arguments: [1, 2])
    func rowsContinueThoseTheyName(groups: Int) {
        let model = HashedModel(vocabulary: 30, ends: [2])
        var options = options(4)
        (options.groups, options.diversityPenalty) = (groups, 1)
        var beams = Beams(sources: 12, vocabulary: 30, options: options)
        #expect(beams.alive.count == 12 * groups)
        var counts: [Int] = []
        var reordered = false
        while !beams.isFinished {
            let before = beams.alive
            let parents = beams.advance(
                logits: before.map { model.logits(source: $0.source, after: $0.tokens) })
            #expect(parents.count == beams.alive.count)
            for (row, parent) in zip(beams.alive, parents) {
                #expect(row.source == before[parent].source)
                #expect(Array(row.tokens.dropLast()) == before[parent].tokens)
            }
            reordered = reordered || parents != parents.sorted()
            counts.append(Set(beams.alive.map(\.source)).count)
            #expect(beams.alive.map(\.source) == beams.alive.map(\.source).sorted())
        }
        #expect(counts == counts.sorted(by: >) && counts.contains { (1..<12).contains($0) })
        #expect(reordered)
    }

    /// A negative exponent makes long texts worse, so that the greatest length is no hope: after
    /// two steps [2], with log 0.3, and [0, 2], with 2·log 0.15, are finished; then [0, 0, 2] has
    /// 3·log 0.35.
    @Test(arguments: [
        (EarlyStopping.firstFinished, [[2], [0, 2]] as [[Int32]]),
        (.heuristic, [[2], [0, 0, 2]]), (.never, [[2], [0, 0, 2]]),
    ])
    func negativePenaltiesHopeForShortTexts(stopping: EarlyStopping, expected: [[Int32]]) {
        var options = options(2)
        (options.lengthPenalty, options.earlyStopping) = (.power(-1), stopping)
        (options.results, options.maximumLength) = (2, 50)
        var beams = Beams(sources: 1, vocabulary: 4, options: options)
        for row in [[0.5, 0, 0.3, 0.2], [0.7, 0, 0.3, 0], [0, 0, 1, 0]] where !beams.isFinished {
            let logits = row.map { Float(max(-30, log($0))) }
            _ = beams.advance(logits: beams.alive.map { _ in logits })
        }
        #expect(beams.results(of: 0).map(\.tokens) == expected)
    }

    /// Groups are kept apart from those of their own source alone.
    @Test func diverseResultsDoNotDependOnTheBatch() {
        let model = HashedModel(vocabulary: 30, ends: [2])
        var options = options(4)
        (options.groups, options.diversityPenalty, options.results) = (2, 3, 4)
        let sources = Array(repeating: BeamSource(), count: 10)
        let together = model.search(sources, numbers: Array(0..<10), options)
        let alone = (0..<10).map { model.search([BeamSource()], numbers: [$0], options)[0] }
        #expect(together == alone)
        #expect(Set(together).count == 10, "control: all sources have the same results")
    }

    @Test func tiesGoToTheLowerBeamAndToken() {
        var options = options(3, ends: [])
        (options.maximumLength, options.results) = (2, 3)
        var beams = Beams(sources: 1, vocabulary: 200, options: options)
        let flat = Array(repeating: Float(0.25), count: 200)
        #expect(beams.advance(logits: [flat]) == [0, 0, 0])
        #expect(beams.alive.map(\.tokens) == [[1, 0], [1, 1], [1, 2]])
        _ = beams.advance(logits: [flat, flat, flat])
        #expect(beams.results(of: 0).map(\.tokens) == [[0, 0], [0, 1], [0, 2]])
    }

    /// The first group takes a token, which is then worth as much to the second one as another
    /// token.
    @Test(arguments: [(0, 70, [0]), (70, 3, [70, 3]), (70, 69, [70, 69]), (70, 71, [70])])
    func tiesOfPenalisedTokensToo(taken: Int, other: Int, expected: [Int32]) {
        var options = options(2, ends: [])
        (options.groups, options.diversityPenalty) = (2, 1)
        (options.results, options.maximumLength) = (2, 1)
        var row = Array(repeating: Float(0), count: 100)
        (row[taken], row[other]) = (2, 1)
        func search() -> [[Int32]] {
            var beams = Beams(sources: 1, vocabulary: 100, options: options)
            _ = beams.advance(logits: [row, row])
            return beams.results(of: 0).map(\.tokens)
        }
        #expect(search() == expected.map { [$0] })
        row[taken] = 1.9
        #expect(search() == [[Int32(taken)], [Int32(other)]], "control: not a tie")
    }

    @Test(arguments: [1, 4])
    func sourcesHaveTheirOwnPrefixesAndLimits(beams: Int) {
        let model = HashedModel(vocabulary: 30, ends: [2])
        let sources = [
            BeamSource(prefix: [5, 6, 7], maximumLength: 5), BeamSource(), BeamSource(prefix: [8]),
            BeamSource(maximumLength: 1),
        ]
        var options = options(beams)
        (options.minimumLength, options.maximumLength) = (8, 9)
        options.forcedLast = 3
        let found = model.search(sources, numbers: [0, 1, 2, 3], options)
        for (number, source) in sources.enumerated() {
            let text = found[number][0].tokens
            #expect(text.starts(with: source.prefix))
            #expect(text.count == source.maximumLength ?? 9 && text.last == 3)
            let alone = model.search([source], numbers: [number], options)
            #expect(alone[0] == found[number])
        }
        #expect(!found[1][0].tokens.starts(with: [5]), "control: every text has the prefix")
    }

    /// The search of scores: log-probabilities in Float32 against Float64, at every fill of a
    /// block.
    @Test func logProbabilitiesAreThoseOfFloat64() {
        for vocabulary in [1, 7, 8, 9, 63, 64, 65, 130, 5000] {
            let model = HashedModel(vocabulary: vocabulary, ends: [], range: 30)
            let row = model.logits(source: 3, after: [1])
            let expected = model.logProbabilities(source: 3, after: [])
            // Logits behind the vocabulary are not looked at.
            let scores = (0..<vocabulary).map {
                options(1).score(
                    target: [Int32($0)], logits: [row + [1000, .nan]], vocabulary: vocabulary)
            }
            let isClose = zip(scores, expected).map {
                abs(Double($0.logProbability) - $1) <= 1e-6 + 1e-6 * abs($1)
            }
            #expect(isClose.allSatisfy { $0 }, "\(vocabulary)")
        }
        let shifted = options(1).score(target: [0], logits: [[1, 2]], vocabulary: 2)
        #expect(abs(shifted.score + 1.0) > 1e-2, "control: log-probabilities are differences")
    }

    @Test(arguments: [1, 2])
    func logitsThatAreNoNumbersAreNeverTaken(beams: Int) {
        var options = options(beams, ends: [])
        options.maximumLength = 1
        let rows: [([Float], [Int32]?)] = [
            ([.nan, 0, 1, -.infinity], [2]), ([-.infinity, -.infinity, .nan, -5], [3]),
            ([.nan, .nan, .nan, .nan], nil), ([0, .infinity, 0, 0], nil),
            ([-.infinity, -.infinity, -.infinity, -.infinity], nil),
        ]
        for (row, expected) in rows {
            var beams = Beams(sources: 1, vocabulary: 4, options: options)
            #expect(beams.advance(logits: [row]).isEmpty && beams.isFinished)
            #expect(beams.results(of: 0).first?.tokens == expected)
            #expect(beams.results(of: 0).allSatisfy { $0.score.isFinite })
        }
    }

    /// A place of the source that nothing looks at costs much, and leaves scores finite.
    @Test func uncoveredPlacesLeaveScoresFinite() {
        var options = options(1, ends: [])
        (options.maximumLength, options.coveragePenalty) = (1, 0.5)
        var beams = Beams(sources: 1, vocabulary: 2, options: options)
        _ = beams.advance(logits: [[0, 0]], attention: [[1, 0]])
        let expected = log(0.5) + 0.5 * log(Double(Float.leastNormalMagnitude))
        #expect(beams.results(of: 0).map { abs(Double($0.score) - expected) < 1e-4 } == [true])
    }

    @Test func optionsWithoutMeaningAreRefused() throws {
        try options(4).validate(vocabulary: 3)
        let changes: [(inout BeamOptions) -> Void] = [
            { $0.beams = 0 }, { $0.results = 5 }, { $0.results = 0 }, { $0.groups = 3 },
            { $0.groups = 0 }, { $0.maximumLength = 0 }, { $0.minimumLength = -1 },
            { $0.noRepeatNgram = -1 }, { $0.repetitionPenalty = 0 }, { $0.coveragePenalty = -1 },
            { $0.diversityPenalty = .nan }, { $0.lengthPenalty = .power(.infinity) },
            { $0.ends = [3] }, { $0.forcedFirst = -1 }, { $0.forcedLast = 3 },
            { $0.suppressed = [7] },
        ]
        for change in changes {
            var options = options(4)
            change(&options)
            #expect(throws: BeamOptionsError.self) { try options.validate(vocabulary: 3) }
        }
    }
}
