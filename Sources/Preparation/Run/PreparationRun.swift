// `murmur prepare`: from raw files to a folder of shards, in three stages that each leave results to go on from.
//
//     files → cleaned and signed, unit by unit → duplicates over all units → shards, unit by unit → the folder
//
// What a unit becomes is kept under a name made of everything that decides it. So a run that was killed goes on with
// the first unit that is missing, and a run over changed files does those units again and no other. Processes share the
// units; every result is made under another name and renamed, so whoever comes second finds it whole.

import Datasets
import Files
import Foundation

package struct PreparationRun {
    package struct Options: Sendable {
        package var threads = 1
        /// Whether a prepared folder of other content is replaced.
        package var replaces = false
        /// Bytes of memory that tables of the search for duplicates may take.
        package var memory = 1 << 29

        package init() {}
    }

    private let configuration: PreparationConfiguration
    private let options: Options
    private let workers: any Workers
    private let note: (String) -> Void
    private let work: WorkFolder

    /// - Parameter note: is told what happens, on every process.
    package init(
        _ configuration: PreparationConfiguration, options: Options, workers: any Workers,
        note: @escaping (String) -> Void
    ) {
        (self.configuration, self.options) = (configuration, options)
        (self.workers, self.note) = (workers, note)
        work = WorkFolder(of: configuration)
    }

    /// Makes the folder; returns what became of everything. Collective.
    package func run() throws(DatasetError) -> PreparationReport {
        var lock: FileLock?
        try workers.first(on: "waiting for another preparation") { () throws(DatasetError) in
            try Folder.create(work.path)
            lock = try FileLock(Folder.join(work.path, "lock")) {
                note("waiting for another preparation that uses \(work.path)")
            }
            try work.requireOwn()
        }
        defer { withExtendedLifetime(lock) {} }

        let (units, named) = try sameUnits()
        let tokenizer = try sharedTokenizer()
        let output = OutputFolder(
            path: configuration.output.directory, identity: identity(of: units, tokenizer),
            replaces: options.replaces)
        if let existing = try existing(output) { return existing }

        try clean(units, named)
        let forest = try findDuplicates(among: units)
        let classes = try classCount(units)
        let keys = units.enumerated().map { number, unit in
            unit.tokenKey(
                dropped: forest.dropped(inUnit: number), tokenizer: tokenizer, classes: classes,
                configuration.output)
        }
        try tokenize(units, forest, tokenizer, classes: classes, keys)
        return try workers.told(on: "publishing \(output.path)") {
            () throws(DatasetError) -> PreparationReport in
            let report = try publish(
                units, forest, keys, PreparedFolder(tokenizer: tokenizer, output: output))
            work.sweep(
                needed: Set(
                    units.map { work.cleaned($0) } + keys.map { work.tokens($0) }
                        + [duplicatesPath(units)]))
            return report
        }
    }

    // MARK: What there is to do

    /// The units, which all processes must see alike, and the other files that decide what they become.
    private func sameUnits() throws(DatasetError) -> ([PreparationUnit], NamedFiles) {
        var (units, named): ([PreparationUnit], NamedFiles) = ([], NamedFiles())
        let digests = try workers.together(on: "looking for files") {
            () throws(DatasetError) -> [UInt8] in
            named = try NamedFiles(of: configuration)
            units = try PreparationUnit.all(of: configuration, named)
            let keys = units.map(\.cleaningKey).joined(separator: "\n")
            return SHA256.digest(of: Array(keys.utf8))
        }
        if let other = digests.firstIndex(where: { $0 != digests[0] }) {
            throw DatasetError(
                .mismatch,
                "input.files: expected the same files with the same times on every process, found others on "
                    + "process \(other) than on process 0; start again when nothing writes to them")
        }
        return (units, named)
    }

    private func sharedTokenizer() throws(DatasetError) -> Tokenizer {
        var tokenizer = Tokenizer.byte(ByteTokenizer())
        let digests = try workers.together(on: "reading the tokenizer") {
            () throws(DatasetError) -> [UInt8] in
            if let named = try configuration.output.tokenizer.load() {
                tokenizer = .pipeline(named)
            }
            return tokenizer.digestBytes
        }
        if let other = digests.firstIndex(where: { $0 != digests[0] }) {
            throw DatasetError(
                .mismatch,
                "output.tokenizer: expected the same on every process, found another on process \(other) "
                    + "than on process 0; start again when nothing writes to it")
        }
        return tokenizer
    }

    /// The report of a folder that holds what is to be made; throws where it holds something else that stays. Collective.
    private func existing(_ output: OutputFolder) throws(DatasetError) -> PreparationReport? {
        try workers.told(on: "looking for what is there") {
            () throws(DatasetError) -> PreparationReport? in
            let state = try output.state()
            try work.own()
            switch state {
            case .finished(let report): return report
            case .replaceable(let damage?): note("making \(output.path) anew: \(damage)")
            case .free, .replaceable: break
            }
            return nil
        }
    }

    /// SHA-256 of everything that decides what the folder holds.
    private func identity(of units: [PreparationUnit], _ tokenizer: Tokenizer) -> String {
        let output = configuration.output
        let lines =
            [
                "murmuration preparation 1", tokenizer.digest,
                "\(output.validationFraction.bitPattern) \(output.testFraction.bitPattern)",
                "\(output.shardTokens) \(configuration.duplicates.threshold.bitPattern)",
            ] + units.map(\.cleaningKey)
        return SHA256.digest(of: Array(lines.joined(separator: "\n").utf8)).hexadecimal
    }

    // MARK: Stages

    /// Cleans the units of this process that are not there yet. Collective.
    private func clean(
        _ units: [PreparationUnit], _ named: NamedFiles
    ) throws(DatasetError) {
        try workers.all(on: "cleaning") { () throws(DatasetError) in
            let missing = units.indices.filter { !work.isCleaned(units[$0]) }
            let words = configuration.contamination.words
            var contamination = ContaminationIndex(words: words, shortest: min(8, words))
            if !missing.isEmpty { try add(named.tests, to: &contamination) }
            let own = share(
                of: units.map(\.byteCount), number: workers.number, count: workers.count)
            let todo = own.filter { missing.contains($0) }
            note(
                "cleaning: \(todo.count) of \(own.count) units"
                    + (todo.count < own.count ? ", the others are there" : ""))
            if todo.isEmpty { return }
            let stage = try CleaningStage(
                configuration, named, contamination: contamination, threads: options.threads)
            try forEach(todo, "cleaned", sizes: units.map(\.byteCount)) {
                (number) throws(DatasetError) in
                try stage.run(units[number], into: work.cleaned(units[number]))
            }
        }
    }

    private func add(
        _ tests: [String], to contamination: inout ContaminationIndex
    ) throws(DatasetError) {
        var reading = ReadingOptions()
        reading.textDocuments = .line
        for path in tests {
            var reader = try DocumentReader(path: path, options: reading)
            while let document = try reader.next() {
                for part in document.parts { contamination.insert(part.text) }
            }
        }
    }

    /// The duplicates among all units. Collective.
    private func findDuplicates(
        among units: [PreparationUnit]
    ) throws(DatasetError) -> DuplicateForest {
        let signatures = units.map { work.signatures($0) }
        let path = duplicatesPath(units)
        try workers.first(on: "looking for duplicates") { () throws(DatasetError) in
            let isThere = try? DuplicateForest(
                reading: path, signatures: signatures, options: configuration.duplicates)
            if isThere != nil { return }
            unlink(path)
            note("looking for duplicates")
            let (forest, _) = try DuplicateSearch.forest(
                signatures: signatures, options: configuration.duplicates,
                memory: options.memory, threads: options.threads)
            let temporary = Folder.temporary(beside: path)
            try forest.write(to: temporary)
            if rename(temporary, path) != 0 {
                throw FileDescriptor.error(path, "rename \(temporary) to")
            }
        }
        var forest: DuplicateForest?
        try workers.all(on: "reading duplicates") { () throws(DatasetError) in
            forest = try DuplicateForest(
                reading: path, signatures: signatures, options: configuration.duplicates)
        }
        guard let forest else { preconditionFailure("PreparationRun: no duplicates were read") }
        return forest
    }

    private func duplicatesPath(_ units: [PreparationUnit]) -> String {
        work.duplicates(units, threshold: configuration.duplicates.threshold)
    }

    /// Makes the shards of the units of this process that are not there yet. Collective.
    private func tokenize(
        _ units: [PreparationUnit], _ forest: DuplicateForest, _ tokenizer: Tokenizer,
        classes: Int, _ keys: [String]
    ) throws(DatasetError) {
        try workers.all(on: "tokenising") { () throws(DatasetError) in
            let own = share(
                of: units.map(\.byteCount), number: workers.number, count: workers.count)
            let todo = own.filter { !work.isTokenized(keys[$0]) }
            note(
                "tokenising: \(todo.count) of \(own.count) units"
                    + (todo.count < own.count ? ", the others are there" : ""))
            if todo.isEmpty { return }
            let stage = TokenStage(
                configuration, tokenizer: tokenizer, classes: classes, threads: options.threads)
            try forEach(todo, "tokenised", sizes: units.map(\.byteCount)) {
                (number) throws(DatasetError) in
                try stage.run(
                    cleaned: work.cleaned(units[number]),
                    dropped: forest.dropped(inUnit: number), into: work.tokens(keys[number]))
            }
        }
    }

    /// Of the labelled texts in all units: the names, or up to the greatest label. It decides how wide ids are. Collective.
    private func classCount(_ units: [PreparationUnit]) throws(DatasetError) -> Int {
        guard configuration.input.kind == .labelled else { return 0 }
        if !configuration.input.classes.isEmpty { return configuration.input.classes.count }
        return try workers.told(on: "counting classes") { () throws(DatasetError) -> Int in
            var highest = -1
            for unit in units { highest = max(highest, try work.cleaningReport(unit).highestLabel) }
            return highest + 1
        }
    }

    /// Does the pieces `numbers`; an error in one does not keep the others from being done, and their work kept.
    private func forEach(
        _ numbers: [Int], _ done: String, sizes: [Int],
        _ body: (Int) throws(DatasetError) -> Void
    ) throws(DatasetError) {
        var errors: [DatasetError] = []
        var clock = ContinuousClock.now
        for (index, number) in numbers.enumerated() {
            do throws(DatasetError) {
                try body(number)
            } catch {
                errors.append(error)
                if error.kind == .inputOutput { break }
            }
            if clock.duration(to: .now) > .seconds(10) {
                clock = .now
                note("\(done): \(index + 1) of \(numbers.count) units")
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
    }

    // MARK: The folder

    private func publish(
        _ units: [PreparationUnit], _ forest: DuplicateForest, _ keys: [String],
        _ prepared: PreparedFolder
    ) throws(DatasetError) -> PreparationReport {
        var report = PreparationReport(kind: configuration.sampleKind)
        var shards: [PreparedFolder.Shard] = []
        for (number, unit) in units.enumerated() {
            let folder = work.tokens(keys[number])
            let cleaned = try work.cleaningReport(unit)
            let tokens = try work.tokenReport(keys[number])
            try work.verify(tokens, of: keys[number])
            report.add(cleaned, tokens)
            for split in PreparedSplit.allCases {
                for shard in tokens[split].shards {
                    shards.append(
                        .init(
                            path: Folder.join(folder, shard.file), split: split,
                            tokens: shard.tokens, fingerprint: shard.fingerprint))
                }
            }
        }
        try addDuplicateExamples(to: &report, units, forest)
        let others = report.tokens.validation.documents + report.tokens.test.documents
        guard report.tokens.train.tokens > 0 || others == 0 else {
            throw DatasetError(
                .tooSmall,
                "\(configuration.output.directory): expected texts to train on, found that all \(others) "
                    + "documents fell to validation or test; lower output.validation_fraction, or cut texts into "
                    + "more documents (input.documents)")
        }
        guard report.tokens.train.tokens > 0 else {
            throw DatasetError(
                .tooSmall,
                "\(configuration.output.directory): expected texts to train on, found that of "
                    + "\(report.cleaning.documents) documents none is left; what took them: "
                    + report.losses.prefix(4).map { "\($0.name) \($0.count)" }.joined(
                        separator: ", "))
        }
        try prepared.write(shards: shards, configuration: configuration, report: report)
        return report
    }

    /// A few duplicates with what they are duplicates of.
    private func addDuplicateExamples(
        to report: inout PreparationReport, _ units: [PreparationUnit], _ forest: DuplicateForest
    ) throws(DatasetError) {
        for (number, unit) in units.enumerated() {
            let dropped = forest.dropped(inUnit: number).filter { report.wantsExample(of: $0) }
            var wanted = dropped.prefix(CleaningReport.mostExamples)[...]
            if wanted.isEmpty { continue }
            let texts = try PreparedTextsReader(
                path: Folder.join(work.cleaned(unit), CleaningStage.textsName))
            var place = 0
            while let next = wanted.first, let document = try texts.read() {
                defer { place += 1 }
                guard place == next.number else { continue }
                report.addExample(of: next, document, in: unit, kept: units[next.keptUnit])
                wanted = wanted.dropFirst()
            }
            if report.hasDuplicateExamples { return }
        }
    }
}
