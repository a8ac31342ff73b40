// What lies under the name of the folder to make: nothing, what is to be made, or something else that may go or may not.

import Datasets
import Files
import Foundation

struct OutputFolder: Sendable {
    enum State {
        /// Its name is free.
        case free
        /// It holds what is to be made.
        case finished(PreparationReport)
        /// Another one takes its place; what is damaged in it, where it is what is to be made.
        case replaceable(damage: String?)
    }

    let path: String
    /// SHA-256 of everything that decides what the folder is to hold.
    let identity: String
    /// Whether a prepared folder of other content is replaced.
    let replaces: Bool

    /// Throws where it holds something else that stays.
    func state() throws(DatasetError) -> State {
        guard Folder.exists(path), !Folder.isEmpty(path) else {
            try requireNoLink()
            return .free
        }
        let index = try? DatasetIndex.load(folder: path)
        if index?.preparation == identity {
            guard let damage = try damage() else {
                return .finished(try PreparationReport.read(from: path))
            }
            try requireOurs(in: path)
            try requireNoLink()
            return .replaceable(damage: damage)
        }
        // A preparation's whose index is damaged has its report.
        let isReported = [PreparationReport.jsonName, PreparationReport.pageName].contains {
            Folder.exists(Folder.join(path, $0))
        }
        guard index?.preparation != nil || index == nil && isReported else {
            throw DatasetError(
                .outputExists,
                "\(path): expected a new folder, found "
                    + (index == nil ? "something else" : "a dataset that no preparation made")
                    + "; name another output.directory")
        }
        try requireOurs(in: path)
        guard replaces else {
            let found =
                index == nil
                ? "a prepared one whose index is missing or damaged"
                : "one that was prepared from other files or by other rules"
            throw DatasetError(
                .outputExists,
                "\(path): expected a new folder, found \(found); add --replace, or name another "
                    + "output.directory")
        }
        try requireNoLink()
        return .replaceable(damage: nil)
    }

    /// What is damaged in a folder that is what is to be made, as far as headers tell; nil where all is well.
    private func damage() throws(DatasetError) -> String? {
        do throws(DatasetError) {
            try PreparedDataset.check(folder: path)
            _ = try PreparationReport.read(from: path)
            return nil
        } catch {
            // What the system refuses it may allow again.
            if error.kind == .inputOutput { throw error }
            return error.problems[0]
        }
    }

    /// Throws where `folder` holds what no preparation leaves.
    func requireOurs(in folder: String) throws(DatasetError) {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw DatasetError(
                .inputOutput, "\(folder): expected to look into it, found that it cannot be read")
        }
        guard let other = names.sorted().first(where: { !PreparedFolder.isOurs($0) }) else {
            return
        }
        throw DatasetError(
            .outputExists,
            "\(path): expected what a preparation leaves, found \(other) too; move it away, or name "
                + "another output.directory")
    }

    /// A folder is renamed to its name when it is whole, which a link would not survive.
    private func requireNoLink() throws(DatasetError) {
        var status = stat()
        guard lstat(path.withoutSlashes, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else {
            return
        }
        throw DatasetError(
            .outputExists,
            "\(path): expected a new folder, found a symbolic link; name the folder that it leads to"
        )
    }

    /// Gives `temporary`, which is whole, its name. What has come there since somebody looked is looked at again.
    func publish(_ temporary: String) throws(DatasetError) {
        if try Folder.publish(temporary, as: path) { return }
        switch try state() {
        // Another process has made the same.
        case .finished: return
        case .free: throw taken("one that came and went meanwhile; prepare again")
        case .replaceable: break
        }
        // The old one goes when the new one has its place.
        let old = Folder.temporary(beside: path)
        if rename(path, old) != 0 { throw FileDescriptor.error(path, "rename") }
        do throws(DatasetError) {
            // From now on nobody puts anything into it by its name.
            try requireOurs(in: old)
        } catch {
            guard rename(old, path) == 0 else {
                throw taken("another than before, which is \(old) now; look at it")
            }
            throw error
        }
        guard try Folder.publish(temporary, as: path) else {
            throw taken("that another process took its name; the folder that was there is \(old)")
        }
        Folder.discard(old)
    }

    private func taken(_ found: String) -> DatasetError {
        DatasetError(.outputExists, "\(path): expected its name to be free, found \(found)")
    }
}
