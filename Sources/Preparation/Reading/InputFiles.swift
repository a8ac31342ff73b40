// The files of a preparation in units: what is done at once, and done again after a crash. Where a unit ends follows from
// what is near, so that a file more or less leaves the other units, and what is kept of their work, as they were.

import Datasets
import Files
import Foundation

/// A file as it was when its name was found.
package struct InputFile: Sendable, Equatable {
    package let path: String
    package let byteCount: Int
    /// Since 1970.
    package let modificationNanoseconds: Int

    package init(path: String, byteCount: Int, modificationNanoseconds: Int) {
        (self.path, self.byteCount) = (path, byteCount)
        self.modificationNanoseconds = modificationNanoseconds
    }
}

/// Files that are worked on together, in the order of their paths' bytes.
package struct InputUnit: Sendable, Equatable {
    package let files: [InputFile]

    package init(files: [InputFile]) { self.files = files }

    package var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }
}

package enum InputFiles {
    /// A file of so many bytes is a unit by itself.
    package static let largeByteCount = 8 << 20
    /// The others are together while they have fewer bytes, and at most so many files.
    package static let unitByteCount = 32 << 20
    package static let unitFileCount = 4096

    /// The files that `patterns` name, in units. See `FilePattern.expand`.
    package static func units(_ patterns: [String]) throws(DatasetError) -> [InputUnit] {
        units(of: try files(patterns))
    }

    /// The files that `patterns` name, each once, sorted by the bytes of their paths.
    package static func files(_ patterns: [String]) throws(DatasetError) -> [InputFile] {
        var files: [InputFile] = []
        for path in try FilePattern.expand(patterns) { files.append(try file(path)) }
        return files
    }

    /// The files that each of `patterns` names, sorted by the bytes of their paths, pattern after pattern.
    package static func files(inOrderOf patterns: [String]) throws(DatasetError) -> [InputFile] {
        var files: [InputFile] = []
        for path in try FilePattern.expand(inOrderOf: patterns) { files.append(try file(path)) }
        return files
    }

    /// The file at `path` itself, whatever characters are in it.
    package static func file(_ path: String) throws(DatasetError) -> InputFile {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw DatasetError(
                .missing,
                "\(path.printablePath): expected this file, found it gone; start again when nothing "
                    + "moves files")
        }
        let time = status.st_mtim
        return InputFile(
            path: path, byteCount: Int(status.st_size),
            modificationNanoseconds: Int(time.tv_sec) &* 1_000_000_000 &+ Int(time.tv_nsec))
    }

    /// Cuts files, which are sorted by their paths, into units: behind a large file and before it, where a unit is full, and
    /// behind a path whose SHA-256 begins with a zero byte, one in 256.
    package static func units(of files: [InputFile]) -> [InputUnit] {
        var (units, unit, bytes): ([InputUnit], [InputFile], Int) = ([], [], 0)
        func end() {
            if !unit.isEmpty { units.append(InputUnit(files: unit)) }
            (unit, bytes) = ([], 0)
        }
        for file in files {
            let isLarge = file.byteCount >= largeByteCount
            let isFull = bytes + file.byteCount >= unitByteCount || unit.count == unitFileCount
            if isLarge || isFull { end() }
            unit.append(file)
            bytes += file.byteCount
            if isLarge || SHA256.digest(of: Array(file.path.utf8))[0] == 0 { end() }
        }
        end()
        return units
    }
}
