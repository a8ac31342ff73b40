import Foundation

/// Whether all ranks work in one and the same run directory, and may write to it: each writes its part of
/// every checkpoint there.
package struct SharedFolder {
    private let directory: String
    private let probe: String
    private let nonce: String

    /// Seconds that a network file system has to show a new file to everybody.
    private static let patience = 1.5

    /// Throws, naming the ranks and their hosts, where a rank does not see what the first one writes, or cannot
    /// write itself. Collective; it ends within two seconds of the slowest rank's coming.
    package static func require(_ directory: String, world: World) throws(RunError) {
        let drawn = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        let nonce = try world.communicator.gather(drawn)[0]
        let folder = SharedFolder(
            directory: directory, probe: "\(directory)/.probe-\(nonce)", nonce: nonce)
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            guard world.isFirst, let reason = folder.write(to: folder.probe) else { return }
            throw RunError(
                .inputOutput,
                "\(directory): expected a folder to write to, found \(reason); check run.directory "
                    + "and its permissions")
        }
        let outcome = try world.communicator.patiently(on: "looking at \(directory)") {
            world.isFirst ? nil : folder.look() ?? folder.write(by: world.rank)
        }
        let outcomes = try world.communicator.gather(
            "\(world.placement.hostName)\t\(outcome ?? "")")
        if world.isFirst { folder.removeProbes() }
        let problems = outcomes.enumerated().compactMap { rank, text -> String? in
            let parts = text.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
            return parts[1].isEmpty ? nil : "rank \(rank) (host \(parts[0])): \(parts[1])"
        }
        guard problems.isEmpty else {
            throw RunError(
                .inputOutput,
                "\(directory): expected one folder that every rank sees and writes to, found "
                    + problems.joined(separator: "; ")
                    + "; put run.directory on a file system that all hosts share",
                isShared: true)
        }
    }

    /// Why this rank does not see the first one's probe; nil where it does.
    private func look() -> String? {
        let end = ContinuousClock.now + .seconds(SharedFolder.patience)
        while true {
            let found = FileManager.default.contents(atPath: probe)
            if found == Data(nonce.utf8) { return nil }
            guard ContinuousClock.now < end else {
                return found == nil ? "not there" : "another folder of that name"
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    private func write(by rank: Int) -> String? {
        let path = "\(probe)-\(rank)"
        if let reason = write(to: path) { return reason }
        return unlink(path) == 0 ? nil : String(cString: strerror(errno))
    }

    /// Why a probe cannot be written durably; nil where it can.
    private func write(to path: String) -> String? {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { return String(cString: strerror(errno)) }
        defer { close(descriptor) }
        let text = Array(nonce.utf8)
        guard Glibc.write(descriptor, text, text.count) == text.count, fsync(descriptor) == 0 else {
            let reason = String(cString: strerror(errno))
            unlink(path)
            return reason
        }
        return nil
    }

    /// This run's, and those of runs that were killed here.
    private func removeProbes() {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        for name in names where name.hasPrefix(".probe-") { unlink("\(directory)/\(name)") }
    }
}
