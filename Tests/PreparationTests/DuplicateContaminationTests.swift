import Datasets
import Preparation
import TestSupport
import Testing

@Suite struct DuplicateContaminationTests {
    private func words(_ text: String) -> [String] {
        text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
    }

    private func overlap(_ index: ContaminationIndex, _ text: String) -> ContaminationIndex.Overlap
    {
        index.overlap(of: [Document.Part(.text, Array(text.utf8))])
    }

    @Test func runsAreFoundAsByComparingStrings() {
        var dice = Dice(seed: 8)
        let vocabulary = ["a", "b", "cé", "日", "x1"]
        func text(_ count: Int) -> String {
            (0..<count).map { _ in dice.pick(vocabulary) }.joined(
                separator: dice.pick([" ", ", ", "-"]))
        }
        let tests = (0..<40).map { _ in text(3 + dice.roll(12)) }
        let index = ContaminationIndex(tests.map { Array($0.utf8) }, words: 6, shortest: 4)
        var runs: Set<[String]> = []
        for test in tests.map(words) where test.count >= 4 {
            let length = min(6, test.count)
            for start in 0...test.count - length {
                runs.insert(Array(test[start..<start + length]))
            }
        }
        #expect(index.count == runs.count)
        #expect(index.tooShort == tests.map(words).filter { $0.count < 4 }.count)
        var found = 0
        for _ in 0..<200 {
            let document = text(dice.roll(60))
            let all = words(document)
            let places = all.indices.filter { end in
                (4...6).contains { end + 1 >= $0 && runs.contains(Array(all[end + 1 - $0...end])) }
            }
            let ours = overlap(index, document)
            #expect(ours.count == places.count)
            #expect((ours.first == nil) == places.isEmpty)
            guard let first = ours.first, let end = places.first else { continue }
            let bytes = Array(Array(document.utf8)[first.bytes])
            let run = words(String(decoding: bytes, as: UTF8.self))
            #expect(runs.contains(run))
            #expect(run == Array(all[end + 1 - run.count...end]))
            found += 1
        }
        #expect(found > 20)
    }

    @Test func thirteenWordsInARow() {
        let test = "It was the best of times, it was the worst of times, it was the age"
        let index = ContaminationIndex([Array(test.utf8)])
        let run = "IT WAS the best of times - it was the worst of times. It"
        #expect(overlap(index, "So: \(run) went.").count == 1)
        let document = "So: \(run) went."
        let bytes = overlap(index, document).first?.bytes
        #expect(bytes.map { String(decoding: Array(document.utf8)[$0], as: UTF8.self) } == run)
        #expect(overlap(index, "was the best of times it was the worst of times it").first == nil)
        #expect(overlap(index, test).count == 4)
    }

    @Test func noRunGoesFromOnePartToTheNext() {
        let test = "one two three four five six seven eight"
        let index = ContaminationIndex([Array(test.utf8)])
        func parts(_ texts: String...) -> [Document.Part] {
            texts.map { Document.Part(.text, Array($0.utf8)) }
        }
        #expect(index.overlap(of: parts("one two three four", "five six seven eight")).count == 0)
        #expect(index.overlap(of: parts("", "zero \(test)")).first?.part == 1)
        #expect(ContaminationIndex().overlap(of: parts(test)).count == 0)
    }

    /// Runs of 64 words, the most there are, use all of the places for recent ones.
    @Test func theLongestRuns() {
        let test = (0..<70).map { "w\($0)" }.joined(separator: " ")
        let index = ContaminationIndex([Array(test.utf8)], words: 64, shortest: 64)
        #expect(index.count == 7)
        let found = overlap(index, "x \(test)")
        #expect(found.count == 7)
        #expect(found.first?.bytes.lowerBound == 2)
        #expect(overlap(index, (0..<63).map { "w\($0)" }.joined(separator: " ")).count == 0)
    }
}
