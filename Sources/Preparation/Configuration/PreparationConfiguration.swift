// A preparation: from raw files to a folder of shards. What its file may say stands in PreparationKeys.swift.

import Configuration
import Datasets

/// Everything that decides what a prepared folder holds.
package struct PreparationConfiguration: Sendable, Equatable {
    package struct Input: Sendable, Equatable {
        package var files: [String] = []
        /// Files whose lines are the translations of those of `files`, in the same order.
        package var targets: [String] = []
        package var format = SourceFormat.auto
        package var kind = RecordKind.text
        package var documents = TextDocuments.file
        /// `ROLE=NAME`: what a key or a column is called.
        package var fields: [String] = []
        package var classes: [String] = []
        package var template = ChatTemplate.none
        package var invalid = InvalidTextPolicy.error
        package var malformed = MalformedRecordPolicy.error
        package var long = LongDocumentPolicy.drop
        package var longest = 64 << 20
        package var unpacked = 64 << 30
    }

    package struct Contamination: Sendable, Equatable {
        /// Texts that a model is tested on.
        package var texts: [String] = []
        package var words = 13
    }

    package struct Output: Sendable, Equatable {
        package var directory = ""
        package var tokenizer = TokenizerChoice.byte
        package var validationFraction = 0.01
        package var testFraction = 0.0
        package var shardTokens = DatasetBuilder.defaultShardTokens
        /// Where the results of each unit are kept between runs; nil: beside `directory`.
        package var work: String?
    }

    package var input = Input()
    package var cleaning = CleaningOptions()
    package var duplicates = PreparationConfiguration.noDuplicates
    package var contamination = Contamination()
    package var output = Output()

    package init() {}

    /// Exact duplicates go, near ones are looked for where somebody asks.
    private static var noDuplicates: DuplicateOptions {
        var options = DuplicateOptions()
        options.near = false
        return options
    }

    package var workFolder: String {
        output.work ?? output.directory.withoutSlashes + ".work"
    }

    package var readingOptions: ReadingOptions {
        var options = ReadingOptions()
        options.format = input.format
        options.textDocuments = input.documents
        options.template = input.template
        options.invalid = input.invalid
        options.malformed = input.malformed
        options.long = input.long
        options.limits.documentBytes = input.longest
        options.limits.unpackedBytes = input.unpacked
        options.fields.kind = input.kind
        options.fields.classNames = input.classes
        for field in input.fields { options.fields.rename(field) }
        return options
    }

    package var sampleKind: SampleKind {
        switch input.kind {
        case .text: .text
        case .labelled: .labelled
        case .pairs: .pairs
        case .conversations: .conversations
        case .preferences: .preferences
        }
    }

    /// Each key with its value: a digest of it stands for the configuration.
    package var text: String {
        Key<PreparationConfiguration>.all.map { "\($0.path): \($0.text(self))\n" }.joined()
    }
}

extension String {
    /// This path without slashes at its end.
    var withoutSlashes: String {
        var path = self
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }
}

extension RecordFields {
    /// Does what `ROLE=NAME` says; false where there is no such role, or no name.
    @discardableResult
    mutating func rename(_ assignment: String) -> Bool {
        let parts = assignment.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2, let path = RecordFields.roles[parts[0]] else { return false }
        self[keyPath: path] = parts[1]
        return true
    }

    /// What `input.fields` may name.
    static let roles: [String: WritableKeyPath<RecordFields, String> & Sendable] = [
        "text": \.text, "label": \.label, "source": \.source, "target": \.target,
        "messages": \.messages, "role": \.role, "content": \.content, "prompt": \.prompt,
        "response": \.response, "chosen": \.chosen, "rejected": \.rejected, "url": \.address,
    ]
}
