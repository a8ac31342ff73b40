import Datasets
import Foundation
import Preparation
import TestSupport

/// Documents with duplicates of known similarity, and what is a duplicate by the definition alone: no hashes, all pairs.
struct PlantedCorpus {
    var texts: [String] = []

    /// - Parameter similarities: of a planted document to the one it was made of, drawn from these bounds.
    init(
        count: Int, similarities: ClosedRange<Double>, seed: UInt64,
        words: ClosedRange<Int> = 25...250
    ) {
        var dice = Dice(seed: seed)
        let vocabulary = (0..<4000).map { _ in
            String(
                (0..<2 + dice.roll(8)).map { _ in dice.pick(Array("abcdefghijklmnopqrstuvwxyzäé")) }
            )
        }
        while texts.count < count {
            let length = Int.random(in: words, using: &dice)
            let original = (0..<length).map { _ in dice.pick(vocabulary) }
            texts.append(original.joined(separator: " "))
            guard dice.roll(3) > 0 else { continue }
            let target = Double.random(in: similarities, using: &dice)
            let changed = PlantedCorpus.changed(original, to: target, vocabulary, &dice)
            // Other punctuation and case change nothing.
            texts.append(changed.map { $0.capitalized }.joined(separator: ", ") + ".")
        }
        texts.removeLast(texts.count - count)
        texts.shuffle(using: &dice)
    }

    /// Words replaced so that about (1−s)/(1+s) of the shingles of five are lost, here and there or in one place.
    private static func changed(
        _ words: [String], to similarity: Double, _ vocabulary: [String], _ dice: inout Dice
    ) -> [String] {
        let lost = (1 - similarity) / (1 + similarity)
        var words = words
        if dice.roll(2) == 0 {
            let rate = 1 - pow(1 - lost, 0.2)
            for index in words.indices where Double.random(in: 0..<1, using: &dice) < rate {
                words[index] = dice.pick(vocabulary)
            }
            return words
        }
        let count = min(words.count, max(0, Int(lost * Double(words.count)) - 4))
        let start = dice.roll(words.count - count + 1)
        for index in start..<start + count { words[index] = dice.pick(vocabulary) }
        return words
    }

    var documents: [[Document.Part]] { texts.map { [Document.Part(.text, Array($0.utf8))] } }
}

/// Sets of shingles, as they are defined.
struct ReferenceSimilarity {
    private let sets: [Set<[String]>]

    init(_ texts: [String], shingle: Int = 5) {
        sets = texts.map { text in
            let words = text.lowercased().split { !$0.isLetter && !$0.isNumber }.map(String.init)
            guard words.count >= shingle else { return words.isEmpty ? [] : [words] }
            return Set((0...words.count - shingle).map { Array(words[$0..<$0 + shingle]) })
        }
    }

    func similarity(_ one: Int, _ other: Int) -> Double {
        let common = sets[one].intersection(sets[other]).count
        let all = sets[one].count + sets[other].count - common
        return all == 0 ? 0 : Double(common) / Double(all)
    }

    /// All pairs of a similarity of at least `threshold`, counted by the shingles they have in common.
    func pairs(threshold: Double) -> Set<[Int]> {
        var holders: [[String]: [Int]] = [:]
        for (document, set) in sets.enumerated() {
            for shingle in set { holders[shingle, default: []].append(document) }
        }
        var common: [[Int]: Int] = [:]
        for documents in holders.values where documents.count > 1 {
            for (index, one) in documents.enumerated() {
                for other in documents[(index + 1)...] { common[[one, other], default: 0] += 1 }
            }
        }
        return Set(
            common.filter { pair, count in
                Double(count) / Double(sets[pair[0]].count + sets[pair[1]].count - count)
                    >= threshold
            }.keys)
    }

    /// The first document of the component of each.
    static func components(of pairs: Set<[Int]>, count: Int) -> [Int] {
        var neighbours = [[Int]](repeating: [], count: count)
        for pair in pairs {
            neighbours[pair[0]].append(pair[1])
            neighbours[pair[1]].append(pair[0])
        }
        var first = [Int](repeating: -1, count: count)
        for document in 0..<count where first[document] < 0 {
            var waiting = [document]
            while let next = waiting.popLast() {
                guard first[next] < 0 else { continue }
                first[next] = document
                waiting += neighbours[next]
            }
        }
        return first
    }
}

/// Recall and precision of documents that are dropped.
func quality(found: Set<Int>, expected: Set<Int>) -> (recall: Double, precision: Double) {
    let common = Double(found.intersection(expected).count)
    return (
        expected.isEmpty ? 1 : common / Double(expected.count),
        found.isEmpty ? 1 : common / Double(found.count)
    )
}

/// Writes signatures of documents cut into units of these lengths, and returns their files.
func writeSignatures(
    _ documents: [[Document.Part]], units: [Int], _ options: DuplicateOptions,
    in folder: TemporaryFolder, name: String = "unit"
) throws -> [String] {
    var (paths, next) = ([String](), 0)
    for (unit, length) in units.enumerated() {
        let path = folder.file("\(name)-\(unit)")
        var writer = try SignatureWriter(path: path, options: options)
        for document in documents[next..<next + length] { try writer.append(document) }
        try writer.finish()
        paths.append(path)
        next += length
    }
    return paths
}

extension DuplicateForest {
    /// Each dropped document by its number among all, with its reason and the one that stays.
    func all(units: [Int]) -> [[Int]] {
        var (result, start) = ([[Int]](), 0)
        for (unit, length) in units.enumerated() {
            for document in dropped(inUnit: unit) {
                let kept = units[..<document.keptUnit].reduce(0, +) + document.keptNumber
                result.append(
                    [start + document.number, kept, document.reason == .exact ? 0 : 1])
            }
            start += length
        }
        return result
    }
}
