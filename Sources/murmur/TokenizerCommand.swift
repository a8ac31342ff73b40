import ArgumentParser
import Datasets
import Files
import Foundation
import Tokenizers
import Training

struct TokenizerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer",
        abstract: "Tokenizers by themselves: train, encode, decode, inspect.",
        subcommands: [
            TrainTokenizer.self, EncodeText.self, DecodeTokens.self, InspectTokenizer.self,
            BenchTokenizer.self,
        ])
}

/// What the commands that use a tokenizer have in common.
struct TokenizerArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A tokenizer.json, a SentencePiece model, vocab.json beside merges.txt, vocab.txt, or a folder with one.",
            valueName: "path"),
        transform: path)
    var tokenizer: String

    func load() throws(RunError) -> TokenizerPipeline {
        do throws(TokenizerError) {
            return try TokenizerPipeline.load(tokenizer)
        } catch {
            throw RunError(error)
        }
    }

}

/// On how many threads a command works.
struct ThreadArguments: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Threads. (default: the cores it may use)", valueName: "n"),
        transform: wholeNumber)
    var threads: Int?

    /// As many as were asked for, or as there are cores.
    func count() throws(RunError) -> Int {
        guard let threads else { return ProcessInfo.processInfo.activeProcessorCount }
        guard 1...1024 ~= threads else {
            throw RunError(.usage, "--threads: expected a number from 1 to 1024, found \(threads)")
        }
        return threads
    }
}

struct EncodeText: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode",
        abstract: "Prints the tokens of texts, one line of numbers for each line.",
        discussion: """
            Files of any length go by in bounded memory, on all cores, in their order. What is not UTF-8 \
            counts as U+FFFD. Truncation and padding are done as the file says, for each text by itself.
            """)

    @OptionGroup var arguments: TokenizerArguments
    @OptionGroup var threads: ThreadArguments

    @Argument(
        help: ArgumentHelp("Texts, one a line; - is standard input.", valueName: "file"),
        transform: path)
    var files: [String]

    @Flag(
        help:
            "JSON Lines: ids, offsets in characters, type_ids, special_tokens_mask, attention_mask."
    )
    var json = false

    @Flag(help: "Lines are JSON: a text, or an object with text and maybe pair.")
    var jsonLines = false

    @Flag(help: "Without the tokens that the template puts around texts.")
    var plain = false

    func run() throws {
        guard Launch.isFirst else { return }
        let batch = BatchEncoder(try arguments.load(), threads: try threads.count())
        let form = json ? TextEncoder.LineForm.json : .numbers
        let (jsonLines, plain) = (jsonLines, plain)
        try batch.printLines(of: files, name: "tokenizer encode") {
            (encoder, line, output) throws(TokenizerError) in
            guard jsonLines else {
                return try encoder.appendLine(
                    of: line, addsSpecials: !plain, as: form, to: &output)
            }
            try encoder.appendLine(
                of: try TextPair(json: Array(copying: line), name: "JSON"), addsSpecials: !plain,
                as: form, to: &output)
        }
    }
}

struct DecodeTokens: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Prints the text of tokens, a line for each line of numbers.",
        discussion: "A text that has several lines needs --json, which prints JSON texts.")

    @OptionGroup var arguments: TokenizerArguments
    @OptionGroup var threads: ThreadArguments

    @Argument(
        help: ArgumentHelp(
            "Numbers with spaces between, one text a line; - is standard input.", valueName: "file"),
        transform: path)
    var files: [String]

    @Flag(help: "JSON texts.")
    var json = false

    @Flag(help: "Special tokens are left out.")
    var skipSpecial = false

    func run() throws {
        guard Launch.isFirst else { return }
        let pipeline = try arguments.load()
        let batch = BatchEncoder(pipeline, threads: try threads.count())
        let (json, skipSpecial) = (json, skipSpecial)
        try batch.printLines(of: files, name: "tokenizer decode") {
            (_, line, output) throws(TokenizerError) in
            output += try pipeline.decodedLine(
                Encoding.identifiers(of: Array(copying: line), name: "numbers"),
                skipsSpecials: skipSpecial, json: json)
        }
    }
}

extension BatchEncoder {
    /// Prints what `body` makes of each line of files, in their order, up to the first line that has an error.
    fileprivate func printLines(
        of files: [String], name: String,
        _ body: @Sendable (TextEncoder, Span<UInt8>, inout [UInt8]) throws(TokenizerError) -> Void
    ) throws(RunError) {
        for file in files {
            // A line of output may be many times as long as that of input.
            var reader = try LineReader(
                file, name: name, blockByteCount: min(threadCount, 16) << 19)
            var count = 0
            while let block = try reader.nextBlock() {
                for range in batches(of: block) {
                    let batch = reduceLines(
                        of: block, in: range, linesBefore: &count, from: [UInt8](), body)
                    try Output.write(bytes: batch.outputs)
                    if let error = batch.error {
                        throw RunError(.data, "\(file): \(error.message)")
                    }
                }
            }
        }
    }
}

struct InspectTokenizer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Says what a tokenizer is made of.")

    @OptionGroup var arguments: TokenizerArguments

    func run() throws {
        guard Launch.isFirst else { return }
        print(try arguments.load().summary.joined(separator: "\n"))
    }
}

struct TrainTokenizer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Learns a tokenizer from texts and writes a tokenizer.json.",
        discussion: """
            Lines are texts by themselves. The same texts give the same file, whatever the number of \
            threads; of pairs that are as frequent, the one of older tokens is merged first.
            """)

    @Option(
        help: ArgumentHelp(
            "byte-level (GPT-2, Llama 3), wordpiece (BERT) or unigram (T5).", valueName: "kind"),
        transform: { try choice($0, of: TokenizerRecipe.Kind.self) })
    var kind: TokenizerRecipe.Kind

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Tokens in all. (default: 32000)", valueName: "n"),
        transform: wholeNumber)
    var vocabulary = 32_000

    @Option(
        help: ArgumentHelp("The file to write.", valueName: "file"), transform: path)
    var output: String

    @Argument(
        help: ArgumentHelp("Texts: files, globs or folders.", valueName: "file"), transform: path)
    var files: [String]

    @Option(
        help: ArgumentHelp(
            "Words of a byte-level tokenizer: gpt2, llama3, qwen2 or o200k. (default: gpt2)",
            valueName: "name"),
        transform: { try choice($0, of: TokenizerRecipe.Pattern.self) })
    var pattern: TokenizerRecipe.Pattern?

    @Flag(help: "WordPiece with capital letters and accents.")
    var cased = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Pairs that are rarer are not merged. (default: 2)", valueName: "n"),
        transform: wholeNumber)
    var minimumFrequency = 2

    @Option(help: ArgumentHelp("A further special token; may be repeated.", valueName: "text"))
    var special: [String] = []

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Sentinels <extra_id_0> and up. (default: 0)", valueName: "n"),
        transform: wholeNumber)
    var sentinels = 0

    @OptionGroup var threads: ThreadArguments

    @Flag(help: "The report as JSON.")
    var json = false

    func run() throws {
        guard Launch.isFirst else { return }
        guard !FileManager.default.fileExists(atPath: output) else {
            throw RunError(
                .usage,
                "--output: \(output): expected no file of this name, found one; name another")
        }
        guard 1...(1 << 24) ~= vocabulary, minimumFrequency >= 1, 0...10_000 ~= sentinels else {
            throw RunError(
                .usage,
                "command line: expected --vocabulary from 1 to \(1 << 24), --minimum-frequency from 1 and "
                    + "--sentinels from 0 to 10000, found \(vocabulary), \(minimumFrequency) and \(sentinels)"
            )
        }
        try checkKind()
        var recipe = TokenizerRecipe(kind)
        (recipe.vocabularySize, recipe.lowercases) = (vocabulary, !cased)
        if let pattern { recipe.pattern = pattern }
        (recipe.smallestCount, recipe.moreSpecials) = (minimumFrequency, special)
        recipe.sentinels = sentinels
        recipe.threads = try threads.count()
        let texts: [String]
        do throws(DatasetError) {
            texts = try FilePattern.expand(files.map(TrainTokenizer.pattern))
        } catch {
            throw RunError(error)
        }
        var counter = recipe.wordCounter
        var sample: [UInt8] = []
        for file in texts { try count(file, &counter, &sample) }
        let (bytes, report): ([UInt8], TrainingReport)
        do throws(TokenizerError) {
            bytes = try recipe.train(counter)
            let pipeline = try TokenizerPipeline(json: bytes, name: output)
            report = try TrainingReport(
                pipeline, sample: sample, corpusByteCount: counter.byteCount)
        } catch {
            throw RunError(error)
        }
        try Output.create(output, bytes)
        print(json ? report.json : report.lines.joined(separator: "\n"))
    }

    /// Refuses what has no meaning for the kind.
    private func checkKind() throws(RunError) {
        if let pattern, kind != .byteLevel {
            throw RunError(
                .usage,
                "--pattern: expected with --kind byte-level alone, found \(pattern.rawValue) with "
                    + kind.rawValue)
        }
        if cased, kind != .wordPiece {
            throw RunError(
                .usage, "--cased: expected with --kind wordpiece alone, found with \(kind.rawValue)"
            )
        }
        if special.contains("") {
            throw RunError(.usage, "--special: expected a text, found none")
        }
    }

    /// What the report is made of: a part of every block, from the first on.
    private static let sampleByteCount = 4 << 20

    /// Of a folder all files in it.
    private static func pattern(_ path: String) -> String {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        return exists && isFolder.boolValue ? path + "/**/*" : path
    }

    private func count(
        _ file: String, _ counter: inout WordCounter, _ sample: inout [UInt8]
    ) throws(RunError) {
        var reader = try LineReader(file, name: "tokenizer train")
        var blocks: [[UInt8]] = []
        func flush() throws(RunError) {
            do throws(TokenizerError) {
                try counter.add(blocks)
            } catch {
                throw RunError(.data, "\(file): \(error.message)")
            }
            blocks = []
        }
        while let block = try reader.nextBlock() {
            if sample.count < TrainTokenizer.sampleByteCount {
                sample += block.prefix(TrainTokenizer.sampleByteCount / 4)
            }
            blocks.append(block)
            if blocks.count == counter.blockCount { try flush() }
        }
        try flush()
    }
}

/// One of the names of a closed set.
private func choice<Value: RawRepresentable & CaseIterable>(
    _ name: String, of type: Value.Type
) throws -> Value where Value.RawValue == String {
    guard let value = Value(rawValue: name) else {
        let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("expected one of \(names), found \(name)")
    }
    return value
}

extension Output {
    /// A new file.
    static func create(_ path: String, _ bytes: [UInt8]) throws(RunError) {
        do {
            try Data(bytes).write(to: URL(fileURLWithPath: path), options: .withoutOverwriting)
        } catch {
            throw RunError(
                .inputOutput, "\(path): expected to write, found \(systemReason(error))")
        }
    }

    /// Parts of the output, as bytes.
    static func write(bytes parts: [[UInt8]]) throws(RunError) {
        do {
            for part in parts { try FileHandle.standardOutput.write(contentsOf: Data(part)) }
        } catch {
            throw RunError(
                .inputOutput, "standard output: expected to write, found \(systemReason(error))")
        }
    }
}
