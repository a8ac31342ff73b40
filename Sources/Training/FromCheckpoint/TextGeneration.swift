// Texts from a checkpoint's model: prompts become tokens, tokens become text as soon as characters are whole.

import Communication
import Datasets
import Decoding
import Models
import Parallelism

/// One text that was continued.
public struct GeneratedText: Sendable, Encodable {
    /// Why it ends.
    public enum Finish: String, Sendable, Encodable {
        /// As many tokens as were asked for.
        case length
        /// A token that ends texts.
        case end
        /// A text that was to end it, which is not a part of it.
        case stop
    }

    public let prompt: String
    /// Of those from this prompt, from 0.
    public let sample: Int
    public internal(set) var text = ""
    public internal(set) var tokens = 0
    public internal(set) var finish = Finish.end
}

extension TrainedModel {
    /// Throws where one of the prompts holds what the tokenizer does not know.
    /// Collective over `world`, where there is one.
    public func requireTexts(_ prompts: [String], world: World? = nil) throws(RunError) {
        func encodeAll() throws(RunError) {
            for prompt in prompts { _ = try encoded(prompt) }
        }
        guard let world else { return try encodeAll() }
        try world.communicator.together(world.placement.hostName, encodeAll)
    }

    private func encoded(_ prompt: String) throws(RunError) -> [Int32] {
        let tokenizer = try tokenizer()
        let ids: [Int32]
        do throws(DatasetError) {
            ids = try tokenizer.encode(prompt)
        } catch {
            throw RunError(.usage, "--prompt: \(error.message)")
        }
        return ids.isEmpty ? [Int32(tokenizer.startToken)] : ids
    }

    /// Continues prompts side by side, each `samples` times; an empty one starts from the start token. Collective over
    /// the ranks that hold the model together, which draw the same tokens.
    ///
    /// - Parameters:
    ///   - stops: texts that end a text; none is empty.
    ///   - onText: called with each piece of a text as it is certain, and the text's place in the result.
    public func generate(
        prompts: [String], samples: Int = 1, tokens: Int, sampling: Sampling, stops: [String] = [],
        onText: (_ index: Int, _ text: String) throws(RunError) -> Void = { _, _ in }
    ) throws(RunError) -> [GeneratedText] {
        guard let model = model as? any Generative else {
            throw RunError(
                .usage,
                "model.family: expected one that continues texts, found "
                    + configuration.model.family.rawValue)
        }
        let tokenizer = try tokenizer()
        var texts: [GeneratedText] = []
        var ids: [[Int32]] = []
        for prompt in prompts {
            let encoded = try encoded(prompt)
            for sample in 0..<samples {
                texts.append(GeneratedText(prompt: prompt, sample: sample))
                ids.append(encoded)
            }
        }
        var streams = ids.map { tokenizer.textStream(after: $0) }
        var filters = texts.map { _ in StopFilter(stops) }
        func take(_ text: String, of index: Int, isLast: Bool = false) throws(RunError) {
            let certain = filters[index].append(text, isLast: isLast)
            guard !certain.isEmpty else { return }
            texts[index].text += certain
            try onText(index, certain)
        }
        let generation = Generation(
            count: tokens, sampling: sampling,
            ends: tokenizer.endOfText.map { [Int32($0)] } ?? [],
            vocabulary: tokenizer.vocabularySize)
        _ = try Decoding.generate(
            model, prompts: ids, numbers: texts.map(\.sample), generation
        ) { (index, token) throws(RunError) in
            try requireSound()
            texts[index].tokens += 1
            try take(streams[index].append(token), of: index)
            return !filters[index].isStopped
        }
        try requireSound()
        for index in texts.indices {
            if !filters[index].isStopped {
                try take(streams[index].finish(), of: index, isLast: true)
            }
            texts[index].finish =
                filters[index].isStopped ? .stop : texts[index].tokens < tokens ? .end : .length
        }
        return texts
    }
}

extension TrainedModel {
    /// Throws where another rank did not answer, and what was computed means nothing.
    private func requireSound() throws(RunError) {
        try communicating { () throws(CommunicationError) in try group?.requireSound() }
    }
}

/// Holds text back for as long as it may become the beginning of one that ends it.
struct StopFilter {
    private let stops: [String]
    private var held = ""
    private(set) var isStopped = false

    init(_ stops: [String]) { self.stops = stops }

    /// What is certain now.
    mutating func append(_ text: String, isLast: Bool) -> String {
        guard !isStopped else { return "" }
        held += text
        let first = stops.compactMap { held.firstRange(of: $0)?.lowerBound }.min()
        if let first {
            defer { (held, isStopped) = ("", true) }
            return String(held[..<first])
        }
        let count = isLast ? 0 : heldCount
        defer { held = String(held.suffix(count)) }
        return String(held.dropLast(count))
    }

    /// Characters at the end that are the beginning of a stop.
    private var heldCount: Int {
        let longest = (stops.map(\.count).max() ?? 1) - 1
        return (0...max(0, min(longest, held.count))).last { count in
            stops.contains { $0.hasPrefix(held.suffix(count)) }
        } ?? 0
    }
}
