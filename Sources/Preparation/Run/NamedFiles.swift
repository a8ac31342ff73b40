// Files that a configuration names beside its texts: block lists, a language model, tests. Their patterns are expanded once,
// so that what is read is what the names of results tell of; and they are few, so those names tell of their content.

import Datasets
import Files

struct NamedFiles: Sendable, Equatable {
    private(set) var blockedWords: [String] = []
    private(set) var blockedDomains: [String] = []
    private(set) var tests: [String] = []
    /// A line for each file, with its SHA-256: everything of them that decides what a document becomes.
    private(set) var about: [String] = []

    init() {}

    /// Finds and reads the files; throws where one is missing.
    init(of configuration: PreparationConfiguration) throws(DatasetError) {
        let cleaning = configuration.cleaning
        blockedWords = try add(cleaning.blockedWords, as: "quality.blocked_words")
        blockedDomains = try add(cleaning.blockedDomains, as: "privacy.blocked_domains")
        tests = try add(configuration.contamination.texts, as: "contamination.texts")
        // No pattern: whatever characters are in its name.
        if let path = cleaning.languageModel {
            try add(InputFiles.file(path), as: "language.model")
        }
    }

    private mutating func add(
        _ patterns: [String], as key: String
    ) throws(DatasetError) -> [String] {
        if patterns.isEmpty { return [] }
        let files = try InputFiles.files(patterns)
        for file in files { try add(file, as: key) }
        return files.map(\.path)
    }

    private mutating func add(_ file: InputFile, as key: String) throws(DatasetError) {
        let digest = try NamedFiles.digest(of: file.path).hexadecimal
        about.append("\(key) \(digest) \(file.path.utf8.count) \(file.path)")
    }

    private static func digest(of path: String) throws(DatasetError) -> [UInt8] {
        let file = try FileDescriptor(reading: path)
        var (hash, buffer, offset) = (SHA256(), [UInt8](repeating: 0, count: 1 << 20), 0)
        while true {
            let count = try file.read(buffer.count, at: offset, into: &buffer)
            if count == 0 { return hash.digest() }
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            offset += count
        }
    }

    /// What cleaning is told, with files for patterns.
    func options(_ options: CleaningOptions) -> CleaningOptions {
        var options = options
        (options.blockedWords, options.blockedDomains) = (blockedWords, blockedDomains)
        return options
    }
}
