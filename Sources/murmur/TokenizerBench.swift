import ArgumentParser
import Foundation
import Tokenizers
import Training

struct BenchTokenizer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Times the encoding of lines.",
        discussion: """
            The lines are in memory, each is a text by itself, and their tokens are made and forgotten: neither \
            reading nor printing is timed. No template, no truncation, no padding.
            """)

    @OptionGroup var arguments: TokenizerArguments
    @OptionGroup var threads: ThreadArguments

    @Argument(help: ArgumentHelp("Texts, one a line.", valueName: "file"), transform: path)
    var file: String

    @Flag(help: "With offsets.")
    var offsets = false

    @Flag(help: "Prints one line of JSON.")
    var json = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Times, of which the median is told. (default: 3)", valueName: "n"),
        transform: wholeNumber)
    var rounds = 3

    func validate() throws {
        guard 1...1000 ~= rounds else {
            throw ValidationError("--rounds: expected a number from 1 to 1000, found \(rounds)")
        }
    }

    func run() throws {
        guard Launch.isFirst else { return }
        let threads = try threads.count()
        let batch = BatchEncoder(try arguments.load(), threads: threads)
        var reader = try LineReader(file, name: "tokenizer bench")
        var text: [UInt8] = []
        while let block = try reader.nextBlock() { text += block }
        guard !text.isEmpty else {
            throw RunError(.data, "\(file): expected lines of text, found none")
        }
        var (tokens, seconds) = (0, [Double]())
        for _ in 0..<rounds {
            let began = ContinuousClock.now
            tokens = try tokenCount(of: text, batch)
            seconds.append((ContinuousClock.now - began) / .seconds(1))
        }
        show(tokens, of: text.count, threads: threads, seconds: seconds.sorted()[rounds / 2])
    }

    private func tokenCount(of text: [UInt8], _ encoder: BatchEncoder) throws(RunError) -> Int {
        let isAligned = offsets
        var lines = 0
        let batch = encoder.reduceLines(of: text, linesBefore: &lines, from: 0) {
            (encoder, line, count) throws(TokenizerError) in
            count += try encoder.tokenCount(of: line, isAligned: isAligned)
        }
        if let error = batch.error { throw RunError(.data, "\(file): \(error.message)") }
        return batch.outputs.reduce(0, +)
    }

    private func show(_ tokens: Int, of byteCount: Int, threads: Int, seconds: Double) {
        guard !json else {
            return print(
                "{\"bytes\": \(byteCount), \"tokens\": \(tokens), \"threads\": \(threads), "
                    + "\"seconds\": \(seconds)}")
        }
        print(
            String(
                format: "%.1f MB/s, %.2f bytes a token, %d threads",
                Double(byteCount) / 1e6 / seconds, Double(byteCount) / Double(max(tokens, 1)),
                threads))
    }
}
