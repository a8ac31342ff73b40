// C4's rules, each with what falls to it and what just does not.

import Preparation
import Testing

@Suite struct CleaningC4Tests {
    private let sentence = "This is a sentence here."

    private func cleaned(_ lines: [String], _ change: (inout CleaningOptions.C4) -> Void = { _ in })
        throws -> Cleaned
    {
        try Cleaned(lines.joined(separator: "\n")) {
            $0.rules = [.c4]
            change(&$0.c4)
        }
    }

    /// What is left of three good lines with `line` behind them.
    private func survives(_ line: String) throws -> Bool {
        let result = try cleaned([sentence, sentence, sentence, line])
        #expect(result.verdict == .keep)
        return result.text != [sentence, sentence, sentence].joined(separator: "\n")
    }

    @Test func sentences() throws {
        #expect(try cleaned([sentence, sentence]).verdict == .drop(.c4FewSentences))
        #expect(try cleaned([sentence, sentence, sentence]).verdict == .keep)
        #expect(try cleaned([sentence + " " + sentence + " Is it?"]).verdict == .keep)
        // Points of abbreviations and numbers end no sentence.
        let one = "Dr. A. Smith of St. Ives paid 3.50, e.g. twice, on Jan. 5."
        #expect(try cleaned([one, sentence]).verdict == .drop(.c4FewSentences))
        #expect(try cleaned([one, sentence, sentence]).verdict == .keep)
        // The first version of the paper, and datatrove.
        let four = [String](repeating: sentence, count: 4)
        func first(_ options: inout CleaningOptions.C4) {
            (options.fewestSentences, options.fewestWordsPerLine) = (5, 3)
        }
        #expect(try cleaned(four, first).verdict == .drop(.c4FewSentences))
        #expect(try cleaned(four + ["It is."], first).verdict == .drop(.c4FewSentences))
        #expect(try cleaned(four + ["It is so."], first).verdict == .keep)
    }

    @Test(arguments: [".", "?", "!", "\"", "'", "”", "’", ". "])
    func terminalPunctuation(_ mark: String) throws {
        #expect(try survives("These are five good words" + mark))
    }

    @Test(arguments: ["", ",", ":", "...", "…", ")", ";"])
    func otherPunctuation(_ mark: String) throws {
        let line = "These are five good words" + mark
        #expect(try !survives(line))
        let result = try cleaned([sentence, sentence, sentence, line])
        #expect(result.counts.linesRemoved[.c4NoTerminalPunctuation] == 1)
        #expect(
            try cleaned([sentence, sentence, line]) { $0.requiresTerminalPunctuation = false }
                .verdict == .keep)
    }

    @Test func wordsOfALine() throws {
        #expect(try !survives("Four words are few."))
        #expect(try survives("Five words are enough here."))
        let word = String(repeating: "я", count: 1_000)
        #expect(try survives("Five words are enough \(word) ."))
        #expect(try !survives("Five words are enough \(word)a."))
    }

    @Test func phrases() throws {
        #expect(try !survives("You need JavaScript to see this."))
        #expect(try survives("You need Java script to see this."))
        for policy in [
            "terms of use", "Privacy Policy", "cookie policy", "uses cookies", "use of cookies",
            "use cookies",
        ] {
            #expect(try !survives("Here is our \(policy) for you."))
        }
        #expect(try survives("Here we eat cookies for you."))
        let lorem = "The text Lorem ipsum dolor stands here."
        #expect(try cleaned([sentence, sentence, sentence, lorem]).verdict == .drop(.c4LoremIpsum))
        #expect(try survives("The text Lorem dolor stands here."))
        let code = "Here is a bracket { of code."
        #expect(
            try cleaned([sentence, sentence, sentence, code]).verdict == .drop(.c4CurlyBracket))
        #expect(try survives("Here is a bracket [ of code."))
        #expect(
            try cleaned([sentence, sentence, sentence, code]) { $0.dropsCurlyBrackets = false }
                .verdict == .keep)
    }

    @Test func citations() throws {
        let line = "It was so[1] in those days[citation needed].[23] [edit]"
        let result = try cleaned([sentence, sentence, line])
        #expect(result.text.hasSuffix("\nIt was so in those days."))
        #expect(try survives("It was so[a1] in those [days]."))
        let kept = try cleaned([sentence, sentence, sentence, "It was so[1] in those days."]) {
            $0.removesCitations = false
        }
        #expect(kept.text.hasSuffix("so[1] in those days."))
    }

    @Test func linesAreTrimmedAndJoined() throws {
        let result = try cleaned(["  " + sentence + "\t", "", "menu", sentence, sentence])
        #expect(result.text == [sentence, sentence, sentence].joined(separator: "\n"))
        // An empty line and `menu`.
        #expect(result.counts.linesRemoved.total == 2)
    }
}
