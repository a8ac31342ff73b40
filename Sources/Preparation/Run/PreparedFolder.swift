// The folder that a preparation leaves: the shards of all units under one numbering, the tokenizer, the index and the
// report. It appears under its name when it is whole.

import Datasets
import Files
import Foundation

struct PreparedFolder {
    struct Shard {
        /// Where it is kept.
        let path: String
        let split: PreparedSplit
        let tokens: Int
        let fingerprint: String
    }

    let tokenizer: Tokenizer
    /// SHA-256 of everything that decides what the folder holds.
    let identity: String

    /// Whether a preparation leaves a file of this name.
    static func isOurs(_ name: String) -> Bool {
        [
            "dataset.json", "tokenizer.json", PreparationReport.jsonName,
            PreparationReport.pageName,
        ].contains(name)
            || name.wholeMatch(of: /(train|validation|test)-[0-9]+\.tokens/) != nil
    }

    func write(
        to output: String, shards: [Shard], configuration: PreparationConfiguration,
        report: PreparationReport, replaces: Bool
    ) throws(DatasetError) {
        try Folder.create(Folder.parent(of: output))
        Folder.discardAbandoned(beside: output)
        let temporary = Folder.temporary(beside: output)
        try Folder.create(temporary)
        defer { Folder.discard(temporary) }
        var named: [PreparedSplit: [DatasetIndex.Shard]] = [:]
        for shard in shards {
            let number = named[shard.split, default: []].count
            let name = DatasetIndex.shardName(split: shard.split.rawValue, number: number)
            try Folder.link(shard.path, as: Folder.join(temporary, name))
            named[shard.split, default: []].append(
                DatasetIndex.Shard(
                    file: name, tokens: shard.tokens, fingerprint: shard.fingerprint))
        }
        let index = DatasetIndex(
            prepared: identity, kind: configuration.sampleKind, tokenizer: tokenizer,
            classes: configuration.input.classes,
            validationFraction: configuration.output.validationFraction,
            train: named[.train, default: []], validation: named[.validation, default: []],
            test: named[.test, default: []])
        try index.write(tokenizer: tokenizer, folder: temporary)
        try report.write(to: temporary, configuration: configuration)
        if try Folder.publish(temporary, as: output) { return }
        guard replaces else {
            throw DatasetError(
                .outputExists,
                "\(output): expected a new folder, found one that appeared meanwhile; prepare again"
            )
        }
        // The old one goes when the new one has its place.
        let old = Folder.temporary(beside: output)
        if rename(output, old) != 0 {
            throw FileDescriptor.error(output, "rename")
        }
        guard try Folder.publish(temporary, as: output) else {
            throw DatasetError(
                .outputExists,
                "\(output): expected its name to be free, found that another process took it; the folder "
                    + "that was there is \(old)")
        }
        Folder.discard(old)
    }
}
