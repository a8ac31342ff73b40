// How the turns of a conversation are laid out as text: what a model sees of who speaks.

import Datasets

/// What one side says at once.
struct Turn: Equatable {
    var role: [UInt8]
    var content: [UInt8]

    init(role: [UInt8], content: [UInt8]) {
        // Two sets of names are in use; the text has one of them.
        self.role = Turn.names.first { Array($0.0.utf8) == role }.map { Array($0.1.utf8) } ?? role
        self.content = content
    }

    init(role: String, content: [UInt8]) { self.init(role: Array(role.utf8), content: content) }

    var isAnswer: Bool { role.elementsEqual("assistant".utf8) }

    private static let names = [("human", "user"), ("gpt", "assistant"), ("model", "assistant")]
}

/// A layout of conversations.
package enum ChatTemplate: String, CaseIterable, Sendable {
    /// The contents, with a line feed between each two.
    case none
    /// `<|im_start|>`, the role, a line feed, the content, `<|im_end|>` and a line feed for each turn. What an assistant
    /// says is told by everything before it, the line that names it included.
    case chatml

    /// The turns as pairs of prompt and response, one for each answer; turns behind the last answer are told to nobody and
    /// left out. Empty where nobody answers.
    func parts(of turns: [Turn]) -> [Document.Part] {
        var (parts, before): ([Document.Part], ArraySlice<Turn>) = ([], [])
        for turn in turns {
            guard turn.isAnswer else {
                before.append(turn)
                continue
            }
            // Two answers are apart, too.
            let lead: [UInt8] = self == .none && !parts.isEmpty ? [0x0A] : []
            let prompt = lead + self.prompt(of: before)
            if !prompt.isEmpty { parts.append(.init(.prompt, prompt)) }
            parts.append(.init(.response, answer(turn.content)))
            before = []
        }
        return parts
    }

    /// What stands before an answer to `turns`.
    func prompt(of turns: some Sequence<Turn>) -> [UInt8] {
        var text: [UInt8] = []
        for turn in turns {
            switch self {
            case .none: text += turn.content + [0x0A]
            case .chatml: text += head(turn.role) + answer(turn.content)
            }
        }
        return self == .chatml ? text + head(Array("assistant".utf8)) : text
    }

    /// What an assistant says, with what ends it.
    func answer(_ content: [UInt8]) -> [UInt8] {
        self == .chatml ? content + Array("<|im_end|>\n".utf8) : content
    }

    private func head(_ role: [UInt8]) -> [UInt8] {
        Array("<|im_start|>".utf8) + role + [0x0A]
    }
}
