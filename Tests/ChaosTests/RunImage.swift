import Foundation
import TestSupport

/// All files of a run directory, to be put down again elsewhere.
struct RunImage: Sendable {
    /// Bytes by the path within the directory.
    private(set) var files: [String: [UInt8]] = [:]

    init(of run: RunFolder) throws {
        let names = try FileManager.default.subpathsOfDirectory(atPath: run.directory)
        for name in names {
            var isFolder: ObjCBool = false
            let path = "\(run.directory)/\(name)"
            _ = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
            if !isFolder.boolValue { files[name] = try bytes(of: path) }
        }
    }

    /// Writes those that are in `folder` ("" for all) into the directory of `run`; returns it.
    @discardableResult
    func write(to run: RunFolder, folder: String = "") throws -> RunFolder {
        for (name, bytes) in files where name.hasPrefix(folder) {
            try write(bytes, to: "\(run.directory)/\(name)")
        }
        return run
    }

    /// The image without what is in a folder.
    func without(_ folder: String) -> RunImage {
        var image = self
        image.files = files.filter { !$0.key.hasPrefix("\(folder)/") }
        return image
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let file = URL(fileURLWithPath: path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }
}

func bytes(of path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
}
