import Datasets
import Foundation

/// A folder for one test, removed with it.
final class TestFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "murmuration-datasets-\(UUID().uuidString)"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file, with its folders, and returns its path.
    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let path = file(name)
        try FileManager.default.createDirectory(
            atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try write(name, Array(text.utf8))
    }

    func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: URL(fileURLWithPath: file(name))))
    }

    /// Names of what the folder holds, sorted, locks left out.
    func names(in folder: String = "") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: file(folder)).sorted()
            .filter { !$0.hasSuffix(".lock") }
    }

    /// Writes a shard of `tokens` and returns its path.
    @discardableResult
    func shard(
        _ name: String, _ tokens: [Int32], vocabulary: Int, blockByteCount: Int = 64,
        digest: [UInt8] = [UInt8](repeating: 7, count: 32)
    ) throws -> String {
        var writer = try TokenShardWriter(
            path: file(name), vocabularySize: vocabulary, tokenizerDigest: digest,
            blockByteCount: blockByteCount)
        try writer.append(tokens[...])
        try writer.finish()
        return file(name)
    }
}

extension TokenStream {
    func all() throws(DatasetError) -> [Int32] {
        var tokens = [Int32](repeating: -1, count: count)
        try copy(0..<count, into: &tokens)
        return tokens
    }
}

/// The error of `body`, nil where there was none.
func datasetError(_ body: () throws -> Void) -> DatasetError? {
    do {
        try body()
        return nil
    } catch {
        return error as? DatasetError
    }
}

/// Pseudo-random numbers of a test, the same in every run.
struct TestRandom: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}

/// The corpus of char-rnn and nanoGPT, looked for as `shared/data/tinyshakespeare.txt` in the folders
/// above the package.
let tinyShakespeare: String? = {
    var folder = URL(fileURLWithPath: #filePath)
    while folder.path != "/" {
        folder.deleteLastPathComponent()
        let candidate = folder.appendingPathComponent("shared/data/tinyshakespeare.txt").path
        if FileManager.default.fileExists(atPath: candidate) { return candidate }
    }
    return nil
}()
