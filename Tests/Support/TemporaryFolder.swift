import Foundation

/// A folder for one test, removed with the value that made it.
package final class TemporaryFolder: Sendable {
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "murmuration-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    package func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file and returns its path.
    @discardableResult
    package func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: file(name)))
        return file(name)
    }

    @discardableResult
    package func write(_ name: String, _ text: String) throws -> String {
        try write(name, Array(text.utf8))
    }

    /// Copies what a file or folder holds, whoever owns it, and returns the copy's path.
    package func copy(_ source: String, to name: String) throws -> String {
        let files = FileManager.default
        var isFolder: ObjCBool = false
        guard files.fileExists(atPath: source, isDirectory: &isFolder), isFolder.boolValue else {
            try write(name, Array(try Data(contentsOf: URL(fileURLWithPath: source))))
            let mode = try files.attributesOfItem(atPath: source)[.posixPermissions] ?? 0o644
            try files.setAttributes([.posixPermissions: mode], ofItemAtPath: file(name))
            return file(name)
        }
        try files.createDirectory(atPath: file(name), withIntermediateDirectories: true)
        for item in try files.contentsOfDirectory(atPath: source) {
            _ = try copy("\(source)/\(item)", to: "\(name)/\(item)")
        }
        return file(name)
    }

    /// Makes a named pipe, at which nobody writes, and returns its path.
    package func pipe(_ name: String) throws -> String {
        guard mkfifo(file(name), 0o600) == 0 else { throw CocoaError(.fileWriteUnknown) }
        return file(name)
    }

    package func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: file(name))))
    }

    /// Names of what a folder of it holds, sorted.
    package func names(in folder: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: file(folder)).sorted()
    }
}
