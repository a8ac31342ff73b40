import Datasets
import Foundation
import Testing

@Suite struct DatasetBuilderTests {
    private func build(
        _ folder: TestFolder, _ text: [String], _ kind: TokenizerChoice = .character,
        fraction: Double = 0.25, output: String = "data", shardTokens: Int = 1000
    ) throws -> PreparedDataset {
        try DatasetBuilder.build(
            text: text.map { folder.file($0) }, tokenizer: kind, validationFraction: fraction,
            output: folder.file(output), shardTokens: shardTokens)
    }

    @Test func charactersAreSplitAtTheirCount() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "abcdéfgh\n☕️")
        let dataset = try build(folder, ["a.txt"])
        // 11 scalars: ⌊0.75 · 11⌋ = 8 train.
        #expect(try dataset.tokenizer.decode(dataset.train.all()) == "abcdéfgh")
        #expect(try dataset.tokenizer.decode(dataset.validation!.all()) == "\n☕️")
        #expect(
            try folder.names(in: "data")
                == [
                    "dataset.json", "tokenizer.json", "train-00000.tokens",
                    "validation-00000.tokens",
                ])
        #expect(try folder.names() == ["a.txt", "data"])
    }

    @Test func bytesKeepDocumentsApart() throws {
        let folder = try TestFolder()
        try folder.write("b.txt", [0xFF, 0x00])
        try folder.write("a.txt", "xy")
        let dataset = try build(folder, ["b.txt", "a.txt"], .byte, fraction: 0)
        #expect(try dataset.train.all() == [256, 120, 121, 256, 255, 0])
        #expect(dataset.validation == nil)
        #expect(dataset.tokenizer.vocabularySize == 257)
    }

    @Test func splitsAreCutIntoShards() throws {
        let folder = try TestFolder()
        let text = String((0..<103).map { _ in "abcdefg".randomElement()! })
        try folder.write("a.txt", text)
        let whole = try build(folder, ["a.txt"], output: "whole")
        let cut = try build(folder, ["a.txt"], output: "cut", shardTokens: 10)
        #expect(try cut.train.all() == whole.train.all())
        #expect(try cut.validation!.all() == whole.validation!.all())
        #expect(cut.train.paths.count == 8 && cut.validation!.paths.count == 3)
        #expect(cut.train.paths[7].hasSuffix("/train-00007.tokens"))
        let reopened = try PreparedDataset(
            train: [folder.file("cut/train-*.tokens")],
            validation: [folder.file("cut/validation-*.tokens")])
        #expect(try reopened.train.all() == whole.train.all())
        #expect(reopened.fingerprint == cut.fingerprint)
        #expect(reopened.fingerprint != whole.fingerprint)
    }

    @Test func theSameTextGivesTheSameBytes() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", String(repeating: "to be or not ", count: 20))
        _ = try build(folder, ["a.txt"], output: "one", shardTokens: 100)
        _ = try build(folder, ["a.txt"], output: "two", shardTokens: 100)
        for name in try folder.names(in: "one") {
            #expect(try folder.bytes("one/\(name)") == folder.bytes("two/\(name)"))
        }
    }

    @Test func anotherDatasetIsNotOverwritten() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text to split")
        let first = try build(folder, ["a.txt"])
        #expect(try build(folder, ["a.txt"]).fingerprint == first.fingerprint)
        let before = try folder.bytes("data/dataset.json")
        try folder.write("a.txt", "another text to split")
        let error = datasetError { _ = try build(folder, ["a.txt"]) }
        #expect(error?.kind == .outputExists)
        #expect(error?.message.contains("found another dataset") == true)
        #expect(try folder.bytes("data/dataset.json") == before)
        try folder.write("full/keep.txt", "mine")
        #expect(
            datasetError { _ = try build(folder, ["a.txt"], output: "full") }?.kind == .outputExists
        )
        #expect(try folder.names(in: "full") == ["keep.txt"])
        #expect(try folder.names() == ["a.txt", "data", "full"])
    }

    @Test func whatAKilledBuildLeftIsRemovedAfterADay() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text to split")
        for (name, age) in [("old", -100_000.0), ("young", -1000.0)] {
            try folder.write(".tmp-data-\(name)/train-00000.tokens", "half")
            try FileManager.default.setAttributes(
                [.modificationDate: Date().addingTimeInterval(age)],
                ofItemAtPath: folder.file(".tmp-data-\(name)"))
        }
        _ = try build(folder, ["a.txt"])
        #expect(try folder.names() == [".tmp-data-young", "a.txt", "data"])
    }

    @Test func badTextIsNamed() throws {
        let folder = try TestFolder()
        try folder.write("good.txt", "fine text")
        try folder.write("empty.txt", "")
        try folder.write("latin.txt", Array("caf".utf8) + [0xE9] + Array(" au lait".utf8))
        try folder.write("cut.txt", Array("caf".utf8) + [0xC3])
        let cases: [(String, DatasetError.Kind, String)] = [
            ("missing.txt", .missing, "missing.txt: expected this file, found none"),
            ("*.text", .missing, "*.text: expected a file of this pattern, found none"),
            ("", .missing, "found a folder"),
            ("empty.txt", .invalidText, "empty.txt: expected text, found an empty file"),
            (
                "latin.txt", .invalidText,
                "latin.txt: byte offset 3: expected UTF-8 text, found byte 0xe9; perhaps it is Windows-1252"
            ),
            ("cut.txt", .invalidText, "cut.txt: byte offset 3: expected UTF-8 text, found the end"),
        ]
        for (name, kind, expected) in cases {
            let error = datasetError { _ = try build(folder, ["good.txt", name]) }
            #expect(error?.kind == kind, "\(name)")
            #expect(error?.message.contains(expected) == true, "\(error?.message ?? name)")
        }
        let all = datasetError { _ = try build(folder, ["*.txt"]) }
        #expect(all?.problems.count == 3)
        _ = try build(folder, ["latin.txt"], .byte, output: "bytes")
        #expect(try !folder.names().contains("data"))
    }

    /// Advice that would turn good characters into others is not given.
    @Test(arguments: [
        (Array("naïve caf".utf8) + [0xE9, 0x20], "the text is UTF-8 up to that byte", "iconv"),
        (Array("caf".utf8) + [0xC3], "the text is UTF-8 up to that byte", "iconv"),
        ([0xEF, 0xBB, 0xBF, 0x61, 0xE9, 0x20], "the text is UTF-8 up to that byte", "iconv"),
        // Two letters of Shift-JIS.
        ([0x82, 0xA0, 0x82, 0xA2], "perhaps it is Windows-1252", "looks like"),
        (
            Array("text é".utf8) + [UInt8](repeating: 0, count: 600) + [0x61],
            "found 600 zero bytes among the first 608; remove them", "other bytes"
        ),
        ([UInt8](repeating: 0, count: 64), "found 64 zero bytes", "other bytes"),
    ])
    func adviceDestroysNothing(bytes: [UInt8], advice: String, not other: String) throws {
        let folder = try TestFolder()
        try folder.write("a.txt", bytes)
        let message = datasetError { _ = try build(folder, ["a.txt"]) }?.message ?? ""
        #expect(message.contains(advice) && !message.contains(other), "\(message)")
    }

    @Test(arguments: [
        ("UTF-16", String.Encoding.utf16), ("UTF-16LE", .utf16LittleEndian),
        ("UTF-16BE", .utf16BigEndian), ("UTF-32", .utf32),
    ])
    func textOfWiderCharactersIsNamed(name: String, encoding: String.Encoding) throws {
        let folder = try TestFolder()
        let text = try #require("some text in lines\nand more".data(using: encoding))
        try folder.write("wide.txt", Array(text))
        let message = datasetError { _ = try build(folder, ["wide.txt"]) }?.message ?? ""
        #expect(message.hasPrefix(folder.file("wide.txt: expected UTF-8 text")))
        #expect(message.contains("iconv -f \(name) -t UTF-8"), "\(message)")
    }

    @Test func aByteOrderMarkIsNoCharacter() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text to split")
        try folder.write("marked.txt", "\u{FEFF}some text to split")
        let (plain, marked) = (
            try build(folder, ["a.txt"]), try build(folder, ["marked.txt"], output: "marked")
        )
        #expect(marked.fingerprint == plain.fingerprint)
        // At byte level every byte is a token.
        #expect(
            try build(folder, ["marked.txt"], .byte, output: "bytes").train.all().prefix(4)
                == [256, 0xEF, 0xBB, 0xBF])
    }

    @Test func whatIsNoFileIsNamed() throws {
        let folder = try TestFolder()
        #expect(mkfifo(folder.file("pipe"), 0o600) == 0)
        #expect(symlink("nowhere", folder.file("link")) == 0)
        let cases = [
            (folder.file("pipe"), "a named pipe; write what it gives to a file first"),
            ("/dev/zero", "a device; write what it gives to a file first"),
            (folder.file("link"), "a link to nowhere that leads nowhere; mend or remove the link"),
        ]
        for (path, found) in cases {
            #expect(
                datasetError { _ = try TokenStream(patterns: [path]) }?.message
                    == "\(path): expected a file, found \(found)")
            #expect(
                datasetError { _ = try TokenStream(paths: [path]) }?.message
                    == "\(path): expected a regular file, found \(found)")
        }
    }

    /// What could not be read again is refused before it is made, and what is in the way before text is read.
    @Test func whatCannotComeToBeIsRefusedFirst() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", String(repeating: "x", count: 600_000))
        let error = datasetError {
            _ = try DatasetBuilder.build(
                text: [folder.file("a.txt")], tokenizer: .byte, validationFraction: 0.1,
                output: folder.file("data"), shardTokens: 1)
        }
        #expect(error?.kind == .tooLarge)
        #expect(
            error?.message.hasPrefix("dataset.json: expected at most 67108864 bytes, found up to ")
                == true)
        try folder.write("full/file", "x")
        #expect(
            datasetError { _ = try build(folder, ["none"], output: "full") }?.kind == .outputExists)
        #expect(try folder.names() == ["a.txt", "full"])
    }

    @Test func aShardThatTheIndexLeavesOutIsNoticed() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text to split")
        _ = try build(folder, ["a.txt"])
        let index = String(decoding: try folder.bytes("data/dataset.json"), as: UTF8.self)
        let start = try #require(index.range(of: "\"validation\" : ["))
        let end = try #require(index[start.upperBound...].firstIndex(of: "]"))
        try folder.write(
            "data/dataset.json", index.replacingCharacters(in: start.upperBound..<end, with: ""))
        let error = datasetError { _ = try PreparedDataset(folder: folder.file("data")) }
        #expect(error?.message.contains("found validation-00000.tokens left out") == true)
    }

    @Test func textTooShortToTrainOn() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "a")
        #expect(datasetError { _ = try build(folder, ["a.txt"]) }?.kind == .tooSmall)
    }

    @Test func aFolderThatCannotBeWrittenIsAnInputOutputError() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "text")
        let error = datasetError { _ = try build(folder, ["a.txt"], output: "a.txt/data") }
        #expect(error?.kind == .inputOutput)
        #expect(error?.message.contains("a.txt") == true)
    }

    @Test func aFolderIsCheckedWhenOpened() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text to split")
        try folder.write("b.txt", "some other text to split")
        _ = try build(folder, ["a.txt"], output: "a")
        _ = try build(folder, ["b.txt"], output: "b")
        func replaced(_ name: String, by bytes: [UInt8]) throws -> DatasetError? {
            let sound = try folder.bytes("a/\(name)")
            defer { _ = try? folder.write("a/\(name)", sound) }
            try folder.write("a/\(name)", bytes)
            return datasetError { _ = try PreparedDataset(folder: folder.file("a")) }
        }
        #expect(
            try replaced("tokenizer.json", by: folder.bytes("b/tokenizer.json"))?.kind == .mismatch)
        #expect(
            try replaced("train-00000.tokens", by: folder.bytes("b/train-00000.tokens"))?.kind
                == .mismatch)
        #expect(try replaced("dataset.json", by: Array("{}".utf8))?.kind == .corrupt)
        let text = String(decoding: try folder.bytes("a/dataset.json"), as: UTF8.self)
        let escaped = text.replacingOccurrences(of: "train-00000.tokens", with: "../b/x.tokens")
        let error = try replaced("dataset.json", by: Array(escaped.utf8))
        #expect(error?.message.contains("expected train-00000.tokens") == true)
        let key = try #require(text.range(of: "\"vocabulary\" : "))
        let other = text.replacingCharacters(in: key, with: "\"vocabulary\" : 1")
        #expect(try replaced("dataset.json", by: Array(other.utf8))?.kind == .mismatch)
        _ = try PreparedDataset(folder: folder.file("a"))
    }

    @Test(
        .enabled(
            if: tinyShakespeare != nil, "shared/data/tinyshakespeare.txt is in no folder above this"
        ))
    func tinyShakespeareIsSplitAsNanoGPTDoes() throws {
        let folder = try TestFolder()
        let dataset = try DatasetBuilder.build(
            text: [tinyShakespeare!], tokenizer: .character, validationFraction: 0.1,
            output: folder.file("data"))
        #expect(dataset.tokenizer.vocabularySize == 65)
        #expect(dataset.tokenizer.startToken == 0)
        #expect(dataset.train.count == 1_003_854)
        #expect(dataset.validation?.count == 111_540)
        var tokens = [Int32](repeating: 0, count: 13)
        try dataset.train.copy(0..<13, into: &tokens)
        #expect(dataset.tokenizer.decode(tokens) == "First Citizen")
        #expect(tokens[0] == 18 && tokens[1] == 47)
        let evaluation = try EvaluationBatches(
            stream: dataset.validation!, sampleLength: 64, microBatch: 12)
        let weight = try (0..<evaluation.batchCount).reduce(0.0) {
            $0 + (try evaluation.evaluationBatch($1).targetWeight)
        }
        #expect(weight == 111_539)
    }
}

@Suite struct DatasetCacheTests {
    private func dataset(_ folder: TestFolder, fraction: Double = 0.5) throws -> PreparedDataset {
        try DatasetCache.dataset(
            text: [folder.file("*.txt")], tokenizer: .character, validationFraction: fraction,
            cache: folder.file("cache"))
    }

    @Test func madeOnceAndFoundAgain() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text")
        let first = try dataset(folder)
        let shard = URL(fileURLWithPath: first.train.paths[0])
        let made = try shard.resourceValues(forKeys: [.contentModificationDateKey])
        #expect(try dataset(folder).train.paths == first.train.paths)
        let found = try shard.resourceValues(forKeys: [.contentModificationDateKey])
        #expect(made.contentModificationDate == found.contentModificationDate)
        #expect(try folder.names(in: "cache").count == 1)
    }

    @Test func otherTextOrSplitIsAnotherDataset() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text")
        _ = try dataset(folder)
        _ = try dataset(folder, fraction: 0.25)
        #expect(try folder.names(in: "cache").count == 2)
        try folder.write("a.txt", "same text")
        let changed = try dataset(folder)
        #expect(try changed.tokenizer.decode(changed.train.all()) == "same")
        try folder.write("b.txt", "more")
        _ = try dataset(folder)
        #expect(try folder.names(in: "cache").count == 4)
    }

    @Test func damageIsNamedWithTheFolder() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "some text")
        let path = try dataset(folder).train.paths[0]
        try Data().write(to: URL(fileURLWithPath: path))
        let error = datasetError { _ = try dataset(folder) }
        #expect(error?.kind == .corrupt)
        #expect(error?.message.contains(path) == true)
        #expect(error?.message.contains("remove \(folder.file("cache"))") == true)
    }

    @Test func manyAtOnceShareOne() async throws {
        let folder = try TestFolder()
        let text = String(repeating: "all at once ", count: 2000)
        try folder.write("a.txt", text)
        let (pattern, cache) = (folder.file("a.txt"), folder.file("cache"))
        let fingerprints = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    try DatasetCache.dataset(
                        text: [pattern], tokenizer: .byte, validationFraction: 0.1, cache: cache
                    ).fingerprint
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(fingerprints.count == 8 && Set(fingerprints).count == 1)
        #expect(try folder.names(in: "cache").count == 1)
    }
}

@Suite struct FilePatternTests {
    @Test func patternsMatchWithinAndAcrossFolders() throws {
        let folder = try TestFolder()
        for name in ["b.txt", "a.txt", "c.md", "x/d.txt", "x/y/e.txt", ".hidden/f.txt", "x/.g.txt"]
        {
            try folder.write(name, "text")
        }
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("x/loop"), withDestinationPath: folder.path)
        func expand(_ patterns: String...) throws -> [String] {
            try FilePattern.expand(patterns.map { folder.file($0) })
                .map { String($0.dropFirst(folder.path.count + 1)) }
        }
        #expect(try expand("*.txt") == ["a.txt", "b.txt"])
        #expect(try expand("**/*.txt") == ["a.txt", "b.txt", "x/d.txt", "x/y/e.txt"])
        #expect(try expand("**/e.txt") == ["x/y/e.txt"])
        #expect(try expand("[ab].txt", "?.md", "a.txt") == ["a.txt", "b.txt", "c.md"])
        #expect(try expand("x/*") == ["x/d.txt"])
        #expect(try expand(".hidden/*") == [".hidden/f.txt"])
        let error = datasetError { _ = try expand("*.none", "a.txt", "z/q.txt") }
        #expect(error?.kind == .missing && error?.problems.count == 2)
        #expect(datasetError { _ = try FilePattern.expand([]) }?.kind == .missing)
    }

    /// Folders below each other until their path is longer than the system takes: whoever runs this, nobody looks into
    /// the last ones.
    @Test func aFolderThatCannotBeLookedIntoIsAnError() throws {
        let folder = try TestFolder()
        try folder.write("a.txt", "text")
        let name = String(repeating: "d", count: 250)
        var parent = open(folder.path, O_RDONLY)
        defer { close(parent) }
        for depth in 0..<17 {
            try #require(mkdirat(parent, name, 0o755) == 0, "\(depth)")
            let next = openat(parent, name, O_RDONLY)
            try #require(next >= 0)
            close(parent)
            parent = next
        }
        let error = datasetError { _ = try FilePattern.expand([folder.file("**/*.txt")]) }
        #expect(error?.kind == .inputOutput)
        #expect(error?.message.contains("expected to look into this folder") == true)
        #expect(try FilePattern.expand([folder.file("*.txt")]) == [folder.file("a.txt")])
    }
}
