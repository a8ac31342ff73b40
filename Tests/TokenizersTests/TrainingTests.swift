import Testing
import Tokenizers

/// Tokenizers that are learnt.
@Suite struct TrainingTests {
    static let words: [(text: [UInt8], count: Int)] = [
        ("low", 5), ("lower", 2), ("newest", 6), ("widest", 3),
    ].map { (Array($0.utf8), $1) }

    /// The example of Sennrich et al. 2016, without their mark of a word's end.
    @Test func theMostFrequentPairIsMergedFirst() throws {
        var training = MergeTraining()
        training.vocabularySize = 16
        let learnt = try training.train(Self.words)
        let merges = learnt.merges.map { merge in
            [merge.left, merge.right].map {
                String(decoding: learnt.tokens[Int($0)], as: UTF8.self)
            }.joined(separator: " ")
        }
        #expect(learnt.counts == [9, 9, 7, 7, 6, 6].prefix(merges.count).map { $0 })
        #expect(merges.prefix(4) == ["e s", "es t", "l o", "lo w"])
        #expect(learnt.tokens.count == 16)
    }

    /// Learns by the definition: counts all pairs anew for each merge.
    private func reference(_ words: [(text: [UInt8], count: Int)], size: Int) -> [[Int32]] {
        var tokens = Set(words.flatMap(\.text)).sorted().map { [$0] }
        var split = words.map { word in
            (
                symbols: word.text.map { byte in Int32(tokens.firstIndex(of: [byte])!) },
                count: word.count
            )
        }
        var merges: [[Int32]] = []
        while tokens.count < size {
            var counts: [[Int32]: Int] = [:]
            for word in split {
                for place in word.symbols.indices.dropLast() {
                    counts[Array(word.symbols[place...place + 1]), default: 0] += word.count
                }
            }
            let best = counts.max { left, right in
                left.value != right.value
                    ? left.value < right.value : !left.key.lexicographicallyPrecedes(right.key)
            }
            guard let best, best.value >= 2 else { break }
            merges.append(best.key)
            tokens.append(tokens[Int(best.key[0])] + tokens[Int(best.key[1])])
            for index in split.indices {
                var (merged, place) = ([Int32](), 0)
                let symbols = split[index].symbols
                while place < symbols.count {
                    if place + 1 < symbols.count, Array(symbols[place...place + 1]) == best.key {
                        merged.append(Int32(tokens.count - 1))
                        place += 2
                    } else {
                        merged.append(symbols[place])
                        place += 1
                    }
                }
                split[index].symbols = merged
            }
        }
        return merges
    }

    @Test func learnsWhatTheDefinitionSays() throws {
        var dice = Dice(9)
        for _ in 0..<20 {
            var words: [[UInt8]: Int] = [:]
            for _ in 0..<60 {
                let text = (0..<Int.random(in: 1...8, using: &dice)).map { _ in
                    UInt8.random(in: 97...101, using: &dice)
                }
                words[text, default: 0] += Int.random(in: 1...900, using: &dice)
            }
            let sorted = words.map { (text: $0.key, count: $0.value) }.sorted {
                $0.text.lexicographicallyPrecedes($1.text)
            }
            var training = MergeTraining()
            training.vocabularySize = 60
            let merges = try training.train(sorted).merges.map { [$0.left, $0.right] }
            // A token that two merges make (`aab` of `aa b` and of `a ab`) is one here and two there: as far as that.
            let expected = reference(sorted, size: 60)
            #expect(merges.prefix(12) == expected.prefix(12))
            #expect(merges.prefix(12) != expected.reversed().prefix(12))
        }
    }

    private func train(_ kind: TokenizerRecipe.Kind, _ text: String, size: Int, threads: Int = 1)
        throws -> [UInt8]
    {
        var recipe = TokenizerRecipe(kind)
        (recipe.vocabularySize, recipe.threads) = (size, threads)
        recipe.moreSpecials = ["<more>"]
        var counter = recipe.wordCounter
        let lines = text.split(separator: "\n").map { Array(($0 + "\n").utf8) }
        for start in stride(from: 0, to: lines.count, by: threads) {
            try counter.add(Array(lines[start..<min(start + threads, lines.count)]))
        }
        return try recipe.train(counter)
    }

    static let text = String(
        repeating:
            "the lower the tower, the newer the tower\nlow and lower than the lowest\nÜber 12 towers\n",
        count: 5)

    @Test(arguments: TokenizerRecipe.Kind.allCases)
    func aTrainedTokenizerIsRead(kind: TokenizerRecipe.Kind) throws {
        let file = try train(kind, Self.text, size: 300)
        let pipeline = try TokenizerPipeline(json: file, name: "t")
        #expect(pipeline.vocabularySize <= 300)
        #expect(pipeline.identifier(of: "<more>") != nil)
        let tokens = try TextEncoder(pipeline).encode("the lower tower")
        #expect(tokens.count <= 8)
        #expect(try pipeline.decoded(tokens) == "the lower tower")
        for threads in 2...3 {
            #expect(try train(kind, Self.text, size: 300, threads: threads) == file)
        }
        #expect(
            try train(kind, Self.text + "another text\nanother text", size: 300) != file,
            "the control")
    }

    /// The words of a pattern are in the file, and learnt from: no two patterns give the same merges here.
    @Test func everyPatternHasItsWords() throws {
        let text = String(
            repeating: "SomeWORDs, 1234567; I'M\n/path HTTPServer 12345's\n", count: 9)
        var files: [[UInt8]] = []
        for pattern in TokenizerRecipe.Pattern.allCases {
            var recipe = TokenizerRecipe(.byteLevel)
            (recipe.vocabularySize, recipe.pattern) = (330, pattern)
            var counter = recipe.wordCounter
            try counter.add([Array(text.utf8)])
            let file = try recipe.train(counter)
            let pipeline = try TokenizerPipeline(json: file, name: "t")
            let tokens = try TextEncoder(pipeline).encode(text)
            #expect(try pipeline.decoded(tokens) == text)
            #expect(!files.contains(file), "\(pattern)")
            files.append(file)
        }
    }

    @Test func aVocabularyTooSmallForItsCharactersIsRefused() {
        #expect(throws: TokenizerError.self) { try train(.byteLevel, Self.text, size: 100) }
        #expect(throws: TokenizerError.self) { try train(.byteLevel, "", size: 300) }
    }
}
