// Against searches that look at every text.

import BeamSearch
import Foundation
import Testing

@Suite struct DefinitionTests {
    private let length = 4
    private let small = HashedModel(vocabulary: 4, ends: [2], range: 4, endBias: 0)

    /// Beams for all texts of a length.
    private func exhaustive(_ penalty: LengthPenalty) -> BeamOptions {
        var options = BeamOptions(beams: 256, start: HashedModel.start, ends: [2])
        (options.results, options.maximumLength) = (256, length)
        (options.lengthPenalty, options.earlyStopping) = (penalty, .never)
        return options
    }

    private func divisor(_ penalty: LengthPenalty, _ length: Int) -> Double {
        switch penalty {
        case .power(let exponent): pow(Double(length), exponent)
        case .wu(let exponent): pow(Double(5 + length), exponent) / pow(6, exponent)
        }
    }

    /// 1 + 3 + 9 + 27·4 texts, in their order.
    @Test(arguments: [
        LengthPenalty.power(0), .power(0.6), .power(1), .power(2), .wu(0.6), .wu(1), .power(-1),
    ])
    func allBeamsFindAllTexts(penalty: LengthPenalty) {
        for source in 0..<10 {
            let all = small.allTexts(source: source, length: length)
                .map { ($0.tokens, $0.logProbability / divisor(penalty, $0.tokens.count)) }
                .sorted { $0.1 > $1.1 }
            let found = small.search([BeamSource()], numbers: [source], exhaustive(penalty))[0]
            #expect(found.count == 121 && all.count == 121)
            #expect(found.map(\.tokens) == all.map(\.0))
            let distances = zip(found, all).map { abs(Double($0.score) - $1.1) }
            #expect(distances.allSatisfy { $0 < 1e-5 })
        }
    }

    /// Control: narrower ones do not.
    @Test func greedySearchMissesTheBest() {
        var greedy = exhaustive(.power(0))
        (greedy.beams, greedy.results) = (1, 1)
        let missed = (0..<20).filter { source in
            let best = small.search([BeamSource()], numbers: [source], exhaustive(.power(0)))
            return small.search([BeamSource()], numbers: [source], greedy)[0] != [best[0][0]]
        }
        #expect((1..<20).contains(missed.count))
    }

    @Test func coverageIsThatOfItsEquation() {
        var options = exhaustive(.wu(0.8))
        options.coveragePenalty = 0.4
        let places = 3
        var beams = Beams(sources: 1, vocabulary: 4, options: options)
        while !beams.isFinished {
            let texts = beams.alive.map(\.tokens)
            _ = beams.advance(
                logits: texts.map { small.logits(source: 5, after: $0) },
                attention: texts.map { attention(after: $0, places: places) })
        }
        let expected = small.allTexts(source: 5, length: length).map { text in
            let score = text.logProbability / divisor(.wu(0.8), text.tokens.count)
            return (text.tokens, score, coverage(text.tokens, places: places, beta: 0.4))
        }
        .sorted { $0.1 + $0.2 > $1.1 + $1.2 }
        let found = beams.results(of: 0)
        #expect(found.map(\.tokens) == expected.map(\.0))
        let distances = zip(found, expected).map { abs(Double($0.score) - $1.1 - $1.2) }
        #expect(distances.allSatisfy { $0 < 1e-5 })
        let withoutIt = zip(found, expected).filter { abs(Double($0.score) - $1.1) < 1e-5 }
        #expect(withoutIt.count < 121, "control: coverage is never less than 1")
    }

    /// Groups × width, with λ; one group is plain beam search. A large vocabulary has many blocks.
    @Test(arguments: [(1, 4), (2, 1), (3, 2), (4, 1)], [0, 0.5, 3] as [Float])
    func diverseGroups(shape: (groups: Int, width: Int), penalty: Float) {
        for (source, vocabulary) in [(1, 11), (2, 64), (3, 700)] {
            let model = HashedModel(vocabulary: vocabulary, ends: [])
            var options = BeamOptions(
                beams: shape.groups * shape.width, start: HashedModel.start, ends: [])
            (options.results, options.maximumLength) = (options.beams, 6)
            (options.groups, options.diversityPenalty) = (shape.groups, penalty)
            let found = model.search([BeamSource()], numbers: [source], options)[0]
            let groups = model.diverse(
                source: source, groups: shape.groups, width: shape.width,
                penalty: Double(penalty), length: 6)
            var expected: [Scored] = []
            for text in groups.joined()
            where !expected.contains(where: { $0.tokens == text.tokens }) {
                expected.append(text)
            }
            expected.sort { $0.logProbability > $1.logProbability }
            #expect(found.map(\.tokens) == expected.map(\.tokens))
            let distances = zip(found, expected).map {
                abs(Double($0.logProbability) - $1.logProbability)
            }
            #expect(distances.allSatisfy { $0 < 1e-5 })
            // Without a penalty all groups find the same.
            #expect((found.count == shape.width) == (penalty == 0 || shape.groups == 1))
        }
    }

    /// A text that was searched, and is then given, has the same score, bit for bit.
    @Test func givenTargetsHaveTheScoresOfFoundOnes() {
        let model = HashedModel(vocabulary: 50, ends: [2])
        var options = BeamOptions(beams: 4, start: HashedModel.start, ends: [2])
        (options.results, options.lengthPenalty) = (4, .wu(0.6))
        for source in 0..<10 {
            for found in model.search([BeamSource()], numbers: [source], options)[0] {
                let texts = found.tokens.indices.map {
                    [HashedModel.start] + found.tokens.prefix($0)
                }
                let logits = texts.map { model.logits(source: source, after: $0) }
                let score = options.score(target: found.tokens, logits: logits, vocabulary: 50)
                #expect(score.logProbability == found.logProbability)
                #expect(score.score == found.score)
                let wrong = options.score(
                    target: found.tokens.map { ($0 + 1) % 50 }, logits: logits, vocabulary: 50)
                #expect(wrong.score != found.score, "control: another text has the same score")
            }
        }
    }
}
