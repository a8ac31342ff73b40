import Files
import Foundation

/// The few operations on folders that preparing a dataset needs.
package enum Folder {
    /// Makes `path` and its parents where they are missing.
    package static func create(_ path: String) throws(DatasetError) {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
            let found = FileKind.name(of: status.st_mode)
            throw DatasetError(.inputOutput, "\(path): expected a folder, found \(found)")
        }
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch {
            throw DatasetError(
                .inputOutput,
                "\(path): expected to make this folder, found the error \"\(reason(error))\"")
        }
    }

    /// Writes a whole small file and makes it durable.
    package static func write(_ bytes: [UInt8], to path: String) throws(DatasetError) {
        var file = try FileDescriptor(creating: path)
        try file.append(bytes)
        try file.synchronize()
        try file.close()
    }

    /// Reads a whole file of at most `limit` bytes.
    package static func read(_ path: String, limit: Int) throws(DatasetError) -> [UInt8] {
        let file = try FileDescriptor(reading: path)
        let byteCount = try file.byteCount()
        guard byteCount <= limit else {
            throw DatasetError(
                .corrupt, "\(path): expected at most \(limit) bytes, found \(byteCount)")
        }
        return try file.readExactly(byteCount, at: 0)
    }

    /// Whether `path` is a folder with nothing in it.
    package static func isEmpty(_ path: String) -> Bool {
        (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty == true
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Gives a file a further name; where the file system has none of that kind, copies it.
    package static func link(_ source: String, as destination: String) throws(DatasetError) {
        if Foundation.link(source, destination) == 0 { return }
        do {
            try FileManager.default.copyItem(atPath: source, toPath: destination)
        } catch {
            throw DatasetError(
                .inputOutput,
                "\(destination): expected to copy \(source), found the error \"\(reason(error))\"")
        }
    }

    /// Renames `source` to `destination` at once and durably; false where `destination` is taken by
    /// another file or by a folder with something in it.
    package static func publish(_ source: String, as destination: String) throws(DatasetError)
        -> Bool
    {
        try FileDescriptor(folder: source).synchronize()
        if rename(source, destination) != 0 {
            if errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR { return false }
            throw FileDescriptor.error(destination, "rename \(source) to")
        }
        try FileDescriptor(folder: parent(of: destination)).synchronize()
        return true
    }

    /// Removes a folder and what is in it. Failing does no harm: it only leaves a temporary folder.
    package static func discard(_ path: String) {
        try? FileManager.default.removeItem(atPath: path)
    }

    package static func parent(of path: String) -> String {
        let parent = (path as NSString).deletingLastPathComponent
        return parent.isEmpty ? "." : parent
    }

    /// A name beside `path` that no other process uses.
    package static func temporary(beside path: String) -> String {
        join(parent(of: path), temporaryPrefix(of: path) + UUID().uuidString.lowercased())
    }

    /// Removes temporary folders beside `path` that a killed process left: those untouched for a day,
    /// as a younger one may still be in use.
    package static func discardAbandoned(beside path: String) {
        let (folder, prefix) = (parent(of: path), temporaryPrefix(of: path))
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        for name in names where name.hasPrefix(prefix) {
            var status = stat()
            let abandoned = join(folder, name)
            if stat(abandoned, &status) == 0, time(nil) - status.st_mtim.tv_sec > 86_400 {
                discard(abandoned)
            }
        }
    }

    private static func temporaryPrefix(of path: String) -> String {
        ".tmp-\((path as NSString).lastPathComponent)-"
    }

    package static func join(_ folder: String, _ name: String) -> String {
        (folder as NSString).appendingPathComponent(name)
    }

    /// The system's own words where it has some.
    private static func reason(_ error: any Error) -> String {
        let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? any Error
        let cause = (underlying ?? error) as NSError
        guard cause.domain == NSPOSIXErrorDomain else { return cause.localizedDescription }
        return String(cString: strerror(Int32(cause.code)))
    }
}
