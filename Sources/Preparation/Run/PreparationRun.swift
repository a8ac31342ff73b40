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

    /// - Parameter note: is told what happens, on every process.
    package init(
        _ configuration: PreparationConfiguration, options: Options, workers: any Workers,
        note: @escaping (String) -> Void
    ) {
        (self.configuration, self.options) = (configuration, options)
        (self.workers, self.note) = (workers, note)
    }

    /// Makes the folder; returns what became of everything. Collective.
    package func run() throws(DatasetError) -> PreparationReport {
        let work = configuration.workFolder
        var lock: FileLock?
        try workers.first(on: "waiting for another preparation") { () throws(DatasetError) in
            try Folder.create(work)
            lock = try FileLock(Folder.join(work, "lock")) {
                note("waiting for another preparation that uses \(work)")
            }
        }
        defer { withExtendedLifetime(lock) {} }

        let units = try sameUnits()
        let tokenizer = try sharedTokenizer()
        let identity = identity(of: units, tokenizer)
        let output = configuration.output.directory
        var existing: PreparationReport?
        try workers.all(on: "looking for what is there") { () throws(DatasetError) in
            existing = try finished(output, identity: identity)
        }
        if let existing { return existing }

        try clean(units)
        let forest = try findDuplicates(among: units)
        let keys = units.enumerated().map { number, unit in
            unit.tokenKey(
                dropped: forest.dropped(inUnit: number), tokenizer: tokenizer,
                configuration.output)
        }
        try tokenize(units, forest, tokenizer, keys)
        var report: PreparationReport?
        try workers.first(on: "publishing \(output)") { () throws(DatasetError) in
            report = try publish(
                units, forest, keys, PreparedFolder(tokenizer: tokenizer, identity: identity))
            try sweep(units, keys)
        }
        guard let report else { return try PreparationReport.read(from: output) }
        return report
    }

    // MARK: What there is to do

    /// The units, which all processes must see alike.
    private func sameUnits() throws(DatasetError) -> [PreparationUnit] {
        var units: [PreparationUnit] = []
        let digests = try workers.together(on: "looking for files") {
            () throws(DatasetError) -> [UInt8] in
            units = try PreparationUnit.all(of: configuration)
            let keys = units.map(\.cleaningKey).joined(separator: "\n")
            return SHA256.digest(of: Array(keys.utf8))
        }
        if let other = digests.firstIndex(where: { $0 != digests[0] }) {
            throw DatasetError(
                .mismatch,
                "input.files: expected the same files with the same times on every process, found others on "
                    + "process \(other) than on process 0; start again when nothing writes to them")
        }
        return units
    }

    private func sharedTokenizer() throws(DatasetError) -> Tokenizer {
        var tokenizer = Tokenizer.byte(ByteTokenizer())
        try workers.all(on: "reading the tokenizer") { () throws(DatasetError) in
            if let named = try configuration.output.tokenizer.load() {
                tokenizer = .pipeline(named)
            }
        }
        return tokenizer
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

    /// The report of a folder that holds what is to be made; throws where it holds something else.
    private func finished(
        _ output: String, identity: String
    ) throws(DatasetError) -> PreparationReport? {
        guard Folder.exists(output), !Folder.isEmpty(output) else {
            try requireNoLink(output)
            return nil
        }
        let index = try? DatasetIndex.load(folder: output)
        if let index, index.preparation == identity {
            return try PreparationReport.read(from: output)
        }
        guard let index, index.preparation != nil else {
            throw DatasetError(
                .outputExists,
                "\(output): expected a new folder, found "
                    + (index == nil ? "something else" : "a dataset that no preparation made")
                    + "; name another output.directory")
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: output)) ?? []
        if let other = names.sorted().first(where: { !PreparedFolder.isOurs($0) }) {
            throw DatasetError(
                .outputExists,
                "\(output): expected what a preparation leaves, found \(other) too; move it away, or name "
                    + "another output.directory")
        }
        guard options.replaces else {
            throw DatasetError(
                .outputExists,
                "\(output): expected a new folder, found one that was prepared from other files or by other "
                    + "rules; add --replace, or name another output.directory")
        }
        try requireNoLink(output)
        return nil
    }

    /// A folder is renamed to its name when it is whole, which a link would not survive.
    private func requireNoLink(_ output: String) throws(DatasetError) {
        var status = stat()
        guard lstat(output.withoutSlashes, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else {
            return
        }
        throw DatasetError(
            .outputExists,
            "\(output): expected a new folder, found a symbolic link; name the folder that it leads to"
        )
    }

    // MARK: Stages

    /// Cleans the units of this process that are not there yet. Collective.
    private func clean(_ units: [PreparationUnit]) throws(DatasetError) {
        try workers.all(on: "cleaning") { () throws(DatasetError) in
            let missing = units.indices.filter { !isCleaned(units[$0]) }
            let words = configuration.contamination.words
            var contamination = ContaminationIndex(words: words, shortest: min(8, words))
            if !missing.isEmpty, !configuration.contamination.texts.isEmpty {
                try addTests(to: &contamination)
            }
            let own = share(
                of: units.map(\.byteCount), number: workers.number, count: workers.count)
            let todo = own.filter { missing.contains($0) }
            note(
                "cleaning: \(todo.count) of \(own.count) units"
                    + (todo.count < own.count ? ", the others are there" : ""))
            if todo.isEmpty { return }
            let stage = try CleaningStage(
                configuration, contamination: contamination, threads: options.threads)
            try forEach(todo, "cleaned", sizes: units.map(\.byteCount)) {
                (number) throws(DatasetError) in
                try stage.run(units[number], into: cleanedFolder(units[number]))
            }
        }
    }

    private func addTests(to contamination: inout ContaminationIndex) throws(DatasetError) {
        var reading = ReadingOptions()
        reading.textDocuments = .line
        for file in try InputFiles.files(configuration.contamination.texts) {
            var reader = try DocumentReader(path: file.path, options: reading)
            while let document = try reader.next() {
                for part in document.parts { contamination.insert(part.text) }
            }
        }
    }

    /// The duplicates among all units. Collective.
    private func findDuplicates(
        among units: [PreparationUnit]
    ) throws(DatasetError) -> DuplicateForest {
        let signatures = units.map {
            Folder.join(cleanedFolder($0), CleaningStage.signaturesName)
        }
        let path = Folder.join(configuration.workFolder, duplicatesName(units))
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

    private func duplicatesName(_ units: [PreparationUnit]) -> String {
        let keys = units.map(\.cleaningKey).joined(separator: "\n")
        let digest = SHA256.digest(
            of: Array("\(keys) \(configuration.duplicates.threshold.bitPattern)".utf8)
        ).hexadecimal
        return "duplicates-\(digest.prefix(32))"
    }

    /// Makes the shards of the units of this process that are not there yet. Collective.
    private func tokenize(
        _ units: [PreparationUnit], _ forest: DuplicateForest, _ tokenizer: Tokenizer,
        _ keys: [String]
    ) throws(DatasetError) {
        // A label beyond the names, or the greatest there is, decides how wide ids are: the same on every process.
        let classes = try classCount(units)
        try workers.all(on: "tokenising") { () throws(DatasetError) in
            let own = share(
                of: units.map(\.byteCount), number: workers.number, count: workers.count)
            let todo = own.filter { !isTokenized(keys[$0]) }
            note(
                "tokenising: \(todo.count) of \(own.count) units"
                    + (todo.count < own.count ? ", the others are there" : ""))
            if todo.isEmpty { return }
            let stage = TokenStage(
                configuration, tokenizer: tokenizer, classes: classes, threads: options.threads)
            try forEach(todo, "tokenised", sizes: units.map(\.byteCount)) {
                (number) throws(DatasetError) in
                try stage.run(
                    cleaned: cleanedFolder(units[number]),
                    dropped: forest.dropped(inUnit: number), into: tokenFolder(keys[number]))
            }
        }
    }

    private func classCount(_ units: [PreparationUnit]) throws(DatasetError) -> Int {
        guard configuration.input.kind == .labelled else { return 0 }
        if !configuration.input.classes.isEmpty { return configuration.input.classes.count }
        return 1 + (try cleaningReports(units).map(\.highestLabel).max() ?? -1)
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
            let folder = tokenFolder(keys[number])
            let cleanedPath = Folder.join(cleanedFolder(unit), CleaningStage.reportName)
            guard let cleaned = StageFile.read(CleaningReport.self, from: cleanedPath) else {
                throw damaged(cleanedPath)
            }
            let tokensPath = Folder.join(folder, TokenStage.reportName)
            guard let tokens = StageFile.read(TokenReport.self, from: tokensPath) else {
                throw damaged(tokensPath)
            }
            try verify(tokens, in: folder)
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
        try prepared.write(
            to: configuration.output.directory, shards: shards, configuration: configuration,
            report: report, replaces: options.replaces)
        return report
    }

    /// Reads the shards of a unit through: they may lie there since long, and others have their names too.
    private func verify(_ tokens: TokenReport, in folder: String) throws(DatasetError) {
        for split in PreparedSplit.allCases {
            for shard in tokens[split].shards {
                do throws(DatasetError) {
                    let stream = try TokenStream(paths: [Folder.join(folder, shard.file)])
                    try stream.verify()
                    guard stream.shardFingerprints[0] == shard.fingerprint else {
                        throw DatasetError(
                            .corrupt,
                            "\(Folder.join(folder, shard.file)): fingerprint: expected "
                                + "\(shard.fingerprint), found \(stream.shardFingerprints[0])")
                    }
                } catch {
                    // The next run makes the unit again.
                    Folder.discard(folder)
                    throw DatasetError(
                        error.kind,
                        error.message
                            + "; the unit's folder is removed: prepare again, and it is made anew")
                }
            }
        }
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
                path: Folder.join(cleanedFolder(unit), CleaningStage.textsName))
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

    /// Removes what no unit needs any more.
    private func sweep(_ units: [PreparationUnit], _ keys: [String]) throws(DatasetError) {
        let work = configuration.workFolder
        let needed = Set(
            units.map { "cleaned-\($0.cleaningKey)" } + keys.map { "tokens-\($0)" }
                + [duplicatesName(units)])
        for name in (try? FileManager.default.contentsOfDirectory(atPath: work)) ?? []
        where isResult(name) && !needed.contains(name) {
            Folder.discard(Folder.join(work, name))
        }
    }

    /// Whether a preparation gives such names, to results and to what it is about to make one of.
    private func isResult(_ name: String) -> Bool {
        name.wholeMatch(of: /(cleaned|tokens|duplicates)-[0-9a-f]{32}/) != nil
            || name.wholeMatch(of: /\.tmp-(cleaned|tokens|duplicates)-[0-9a-f]{32}-[0-9a-f-]{36}/)
                != nil
    }

    private func cleaningReports(
        _ units: [PreparationUnit]
    ) throws(DatasetError) -> [CleaningReport] {
        var reports: [CleaningReport] = []
        for unit in units {
            let path = Folder.join(cleanedFolder(unit), CleaningStage.reportName)
            guard let report = StageFile.read(CleaningReport.self, from: path) else {
                throw damaged(path)
            }
            reports.append(report)
        }
        return reports
    }

    private func damaged(_ path: String) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(path): expected what a preparation wrote, found it missing or changed; remove its folder "
                + "and prepare again")
    }

    private func isCleaned(_ unit: PreparationUnit) -> Bool {
        let folder = cleanedFolder(unit)
        let path = Folder.join(folder, CleaningStage.reportName)
        return StageFile.read(CleaningReport.self, from: path) != nil
            && Folder.exists(Folder.join(folder, CleaningStage.textsName))
            && Folder.exists(Folder.join(folder, CleaningStage.signaturesName))
    }

    private func isTokenized(_ key: String) -> Bool {
        let path = Folder.join(tokenFolder(key), TokenStage.reportName)
        return StageFile.read(TokenReport.self, from: path) != nil
    }

    private func cleanedFolder(_ unit: PreparationUnit) -> String {
        Folder.join(configuration.workFolder, "cleaned-\(unit.cleaningKey)")
    }

    private func tokenFolder(_ key: String) -> String {
        Folder.join(configuration.workFolder, "tokens-\(key)")
    }
}

/// Held while a preparation is under way; a second one of the same folder waits.
private final class FileLock {
    private let number: Int32

    /// - Parameter waits: is told where somebody else holds it.
    init(_ path: String, waits: () -> Void) throws(DatasetError) {
        number = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard number >= 0 else { throw FileDescriptor.error(path, "open") }
        if flock(number, LOCK_EX | LOCK_NB) == 0 { return }
        if errno == EWOULDBLOCK { waits() }
        // A file system without locks gives none.
        while flock(number, LOCK_EX) != 0 && errno == EINTR {}
    }

    deinit { close(number) }
}
