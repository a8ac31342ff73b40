import Datasets
import Foundation
import Preparation
import TestSupport
import Testing

@Suite struct DuplicateSignatureTests {
    /// 1 − (1 − tʳ)ᵇ ≥ 0.99 at the threshold, and not so for one more row.
    @Test(arguments: [(0.8, 128), (0.5, 128), (0.9, 256), (0.7, 64), (1.0, 100)])
    func bandsFindWhatIsAtTheThreshold(threshold: Double, permutations: Int) {
        let (count, rows) = DuplicateOptions.shape(
            threshold: threshold, permutations: permutations)
        func found(_ rows: Int) -> Double {
            1 - pow(1 - pow(threshold, Double(rows)), Double(permutations / rows))
        }
        #expect(count == permutations / rows)
        #expect(found(rows) >= 0.99)
        #expect((rows + 1...permutations + 1).allSatisfy { $0 > permutations || found($0) < 0.99 })
    }

    /// What mmh3.hash64 of PyPI gives.
    @Test(
        arguments: [
            ([], 0, 0, 0), ([97], 0, 0x8555_5565_F659_7889, 0xE6B5_3A48_510E_895A),
            (
                Array("The quick brown fox jumps over the lazy dog".utf8), 0, 0xE34B_BC7B_BC07_1B6C,
                0x7A43_3CA9_C49A_9347
            ),
            (Array(0..<31), 7, 0x0436_5954_BE67_F77E, 0x5A9E_408D_5359_E11C),
            (Array(0..<48), 7, 0x2345_BD04_A72F_3DA8, 0x801D_F059_A67E_DD11),
        ] as [([UInt8], UInt64, UInt64, UInt64)])
    func hashesAreThePublishedOnes(bytes: [UInt8], seed: UInt64, low: UInt64, high: UInt64) {
        let hash = Hash128(bytes, seed: seed)
        #expect(hash.low == low && hash.high == high)
    }

    @Test func theSameDocumentsGiveTheSameBytes() throws {
        let folder = try TemporaryFolder()
        let corpus = PlantedCorpus(count: 50, similarities: 0.5...1, seed: 9)
        var options = DuplicateOptions()
        for name in ["one", "two"] {
            _ = try writeSignatures(corpus.documents, units: [50], options, in: folder, name: name)
        }
        #expect(try folder.bytes("one-0") == folder.bytes("two-0"))
        options.seed = 1
        _ = try writeSignatures(corpus.documents, units: [50], options, in: folder, name: "three")
        #expect(try folder.bytes("one-0") != folder.bytes("three-0"))
        #expect(try folder.names().count == 3)
    }

    /// Any changed byte that is read and any other length is an error that names the file.
    @Test func damageIsFound() throws {
        let folder = try TemporaryFolder()
        let text = (0..<30).map { "w\($0)" }.joined(separator: " ")
        let documents = ["\(text) x", "\(text) y", ""].map {
            [Document.Part(.text, Array($0.utf8))]
        }
        let options = DuplicateOptions()
        let path = try writeSignatures(documents, units: [3], options, in: folder)[0]
        let sound = try folder.bytes("unit-0")
        func error(_ bytes: [UInt8]) throws -> DatasetError? {
            try folder.write("unit-0", bytes)
            do {
                _ = try DuplicateSearch.forest(signatures: [path], options: options)
                return nil
            } catch {
                return error
            }
        }
        #expect(try error(sound) == nil)
        #expect(DuplicateSearch.documentCount(ofSignatures: path, options: options) == 3)
        var others = options
        others.shingle = 3
        #expect(DuplicateSearch.documentCount(ofSignatures: path, options: others) == nil)
        for index in sound.indices {
            var bytes = sound
            bytes[index] ^= UInt8(1 << (index % 8))
            let found = try error(bytes)
            #expect(found?.kind == .corrupt, "byte \(index)")
            #expect(found?.message.contains("unit-0") == true)
        }
        for count in [0, 10, 64, sound.count - 1] {
            #expect(try error(Array(sound[..<count]))?.kind == .corrupt, "\(count) bytes")
        }
        #expect(try error(sound + [0])?.kind == .corrupt)
        #expect(DuplicateSearch.documentCount(ofSignatures: path, options: options) == nil)
        try FileManager.default.removeItem(atPath: path)
        #expect(throws: DatasetError.self) {
            try DuplicateSearch.forest(signatures: [path], options: options)
        }
    }

    @Test func otherOptionsAreRefused() throws {
        let folder = try TemporaryFolder()
        let options = DuplicateOptions()
        let paths = try writeSignatures([], units: [0], options, in: folder)
        _ = try DuplicateSearch.forest(signatures: paths, options: options)
        let changes: [(inout DuplicateOptions) -> Void] = [
            { $0.exact = false }, { $0.near = false }, { $0.shingle = 4 }, { $0.seed = 1 },
            { $0.permutations = 64 }, { $0.sketch = 100 }, { $0.threshold = 0.5 },
        ]
        for change in changes {
            var other = options
            change(&other)
            do {
                _ = try DuplicateSearch.forest(signatures: paths, options: other)
                Issue.record("expected an error, found none")
            } catch {
                #expect(error.kind == .mismatch)
            }
        }
    }

    @Test func aDamagedForestIsRefused() throws {
        let folder = try TemporaryFolder()
        let options = DuplicateOptions()
        let text = [Document.Part(.text, Array("a b c".utf8))]
        let paths = try writeSignatures([text, text], units: [2], options, in: folder)
        let path = folder.file("forest")
        try DuplicateSearch.forest(signatures: paths, options: options).0.write(to: path)
        let sound = try folder.bytes("forest")
        _ = try DuplicateForest(reading: path, signatures: paths, options: options)
        for index in sound.indices {
            var bytes = sound
            bytes[index] ^= 1
            try folder.write("forest", bytes)
            #expect(throws: DatasetError.self, "byte \(index)") {
                try DuplicateForest(reading: path, signatures: paths, options: options)
            }
        }
    }

    /// What counts as the same words.
    @Test(arguments: [
        ("The QUICK, brown fox!", "the quick brown fox", true),
        ("ÄÖÜ Straße ΑΒΓ ЖЗИ", "äöü straße αβγ жзи", true),
        ("one-two_three", "one two three", true),
        ("a b c d e", "a b c d f", false),
        ("日本語です", "日 本 語 で す", true),
        ("日本語です", "日本語でず", false),
        ("𠀀𠀁", "𠀀 🙂 𠀁", true),
        ("naïve", "nave", false),
        ("ab c", "a bc", false),
        ("a b", "b a", false),
        ("a b", "a b b", false),
    ])
    func wordsAreCompared(one: String, other: String, isSame: Bool) throws {
        let folder = try TemporaryFolder()
        let options = DuplicateOptions()
        let documents = [one, other].map { [Document.Part(.text, Array($0.utf8))] }
        let paths = try writeSignatures(documents, units: [2], options, in: folder)
        let forest = try DuplicateSearch.forest(signatures: paths, options: options).0
        #expect(forest.dropped(inUnit: 0).map(\.number) == (isSame ? [1] : []))
    }

    /// Text that is none is cut, not followed into other memory.
    @Test func brokenTextDoesNoHarm() throws {
        var dice = Dice(seed: 4)
        let documents = (0..<500).map { _ in
            [Document.Part(.text, (0..<dice.roll(40)).map { _ in UInt8(dice.roll(256)) })]
        }
        let folder = try TemporaryFolder()
        let options = DuplicateOptions()
        let paths = try writeSignatures(documents, units: [500], options, in: folder)
        _ = try DuplicateSearch.forest(signatures: paths, options: options)
    }
}
