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
    let output: OutputFolder

    /// Whether a preparation leaves a file of this name.
    static func isOurs(_ name: String) -> Bool {
        [
            "dataset.json", "tokenizer.json", PreparationReport.jsonName,
            PreparationReport.pageName,
        ].contains(name)
            || name.wholeMatch(of: /(train|validation|test)-[0-9]+\.tokens/) != nil
    }

    func write(
        shards: [Shard], configuration: PreparationConfiguration, report: PreparationReport
    ) throws(DatasetError) {
        try Folder.create(Folder.parent(of: output.path))
        Folder.discardAbandoned(beside: output.path)
        let temporary = Folder.temporary(beside: output.path)
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
            prepared: output.identity, kind: configuration.sampleKind, tokenizer: tokenizer,
            classes: configuration.input.classes,
            validationFraction: configuration.output.validationFraction,
            train: named[.train, default: []], validation: named[.validation, default: []],
            test: named[.test, default: []])
        try index.write(tokenizer: tokenizer, folder: temporary)
        try report.write(to: temporary, configuration: configuration)
        try output.publish(temporary)
    }
}
