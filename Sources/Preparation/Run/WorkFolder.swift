// The folder of what units have become, under names made of everything that decides it, and of whose it is.

import Datasets
import Files
import Foundation

struct WorkFolder: Sendable {
    let path: String
    /// The folder that its preparation makes: two that make different ones would remove each other's results.
    let output: String

    init(of configuration: PreparationConfiguration) {
        (path, output) = (configuration.workFolder, configuration.output.directory)
    }

    // MARK: Whose it is

    private var ownerPath: String { Folder.join(path, "owner") }

    /// Throws where another preparation, whose folder is there, keeps its results here.
    func requireOwn() throws(DatasetError) {
        guard let bytes = try? Folder.read(ownerPath, limit: 1 << 16) else { return }
        let owner = String(decoding: bytes.dropLast(), as: UTF8.self)
        guard owner != Self.absolute(output), Folder.exists(owner), !Self.isSame(owner, output)
        else { return }
        throw DatasetError(
            .outputExists,
            "\(path): expected a work folder of this preparation, found that of \(owner); name another "
                + "output.work, or leave it out")
    }

    /// Writes down whose it is.
    func own() throws(DatasetError) {
        let text = Array((Self.absolute(output) + "\n").utf8)
        if let bytes = try? Folder.read(ownerPath, limit: 1 << 16), bytes == text { return }
        let temporary = Folder.temporary(beside: ownerPath)
        try Folder.write(text, to: temporary)
        if rename(temporary, ownerPath) != 0 {
            let error = FileDescriptor.error(ownerPath, "rename \(temporary) to")
            unlink(temporary)
            throw error
        }
    }

    private static func absolute(_ path: String) -> String {
        URL(fileURLWithPath: path).standardizedFileURL.path.withoutSlashes
    }

    /// Whether two names are those of one folder.
    private static func isSame(_ first: String, _ second: String) -> Bool {
        var (one, other) = (stat(), stat())
        return stat(first, &one) == 0 && stat(second, &other) == 0
            && one.st_dev == other.st_dev && one.st_ino == other.st_ino
    }

    // MARK: Names

    func cleaned(_ unit: PreparationUnit) -> String {
        Folder.join(path, "cleaned-\(unit.cleaningKey)")
    }

    func tokens(_ key: String) -> String { Folder.join(path, "tokens-\(key)") }

    func duplicates(_ units: [PreparationUnit], threshold: Double) -> String {
        let keys = units.map(\.cleaningKey).joined(separator: "\n")
        let digest = SHA256.digest(of: Array("\(keys) \(threshold.bitPattern)".utf8)).hexadecimal
        return Folder.join(path, "duplicates-\(digest.prefix(32))")
    }

    func signatures(_ unit: PreparationUnit) -> String {
        Folder.join(cleaned(unit), CleaningStage.signaturesName)
    }

    // MARK: What is there

    func isCleaned(_ unit: PreparationUnit) -> Bool {
        let reportPath = Folder.join(cleaned(unit), CleaningStage.reportName)
        return StageFile.read(CleaningReport.self, from: reportPath) != nil
            && Folder.exists(Folder.join(cleaned(unit), CleaningStage.textsName))
            && Folder.exists(signatures(unit))
    }

    /// Whether shards are there, as far as their headers tell: others have their names too, and may have changed them.
    func isTokenized(_ key: String) -> Bool {
        guard let report = try? tokenReport(key) else { return false }
        return PreparedSplit.allCases.allSatisfy { split in
            report[split].shards.allSatisfy { shard in
                let stream = try? TokenStream(paths: [Folder.join(tokens(key), shard.file)])
                return stream?.shardFingerprints == [shard.fingerprint]
            }
        }
    }

    func cleaningReport(_ unit: PreparationUnit) throws(DatasetError) -> CleaningReport {
        let reportPath = Folder.join(cleaned(unit), CleaningStage.reportName)
        guard let report = StageFile.read(CleaningReport.self, from: reportPath) else {
            throw damaged(reportPath)
        }
        return report
    }

    func tokenReport(_ key: String) throws(DatasetError) -> TokenReport {
        let reportPath = Folder.join(tokens(key), TokenStage.reportName)
        guard let report = StageFile.read(TokenReport.self, from: reportPath) else {
            throw damaged(reportPath)
        }
        return report
    }

    private func damaged(_ path: String) -> DatasetError {
        DatasetError(
            .corrupt,
            "\(path): expected what a preparation wrote, found it missing or changed; remove its folder "
                + "and prepare again")
    }

    /// Reads the shards of a unit through: they may lie there since long, and others have their names too.
    func verify(_ report: TokenReport, of key: String) throws(DatasetError) {
        for split in PreparedSplit.allCases {
            for shard in report[split].shards {
                let shardPath = Folder.join(tokens(key), shard.file)
                do throws(DatasetError) {
                    let stream = try TokenStream(paths: [shardPath])
                    try stream.verify()
                    guard stream.shardFingerprints[0] == shard.fingerprint else {
                        throw DatasetError(
                            .corrupt,
                            "\(shardPath): fingerprint: expected \(shard.fingerprint), found "
                                + stream.shardFingerprints[0])
                    }
                } catch {
                    // The next run makes the unit again.
                    Folder.discard(tokens(key))
                    throw DatasetError(
                        error.kind,
                        error.message
                            + "; the unit's folder is removed: prepare again, and it is made anew")
                }
            }
        }
    }

    /// Removes the results that are not among `needed`, which are paths.
    func sweep(needed: Set<String>) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        where isResult(name) && !needed.contains(Folder.join(path, name)) {
            Folder.discard(Folder.join(path, name))
        }
    }

    /// Whether a preparation gives such names, to results and to what it is about to make one of.
    private func isResult(_ name: String) -> Bool {
        name.wholeMatch(of: /(cleaned|tokens|duplicates)-[0-9a-f]{32}/) != nil
            || name.wholeMatch(of: /\.tmp-(cleaned|tokens|duplicates)-[0-9a-f]{32}-[0-9a-f-]{36}/)
                != nil
    }
}

/// Held while a preparation is under way; a second one of the same folder waits.
final class FileLock {
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
