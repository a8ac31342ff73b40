import Foundation
import Training

/// Texts from a file, or from standard input where it is called `-`: one a line, as it stands, or as JSON with a key
/// that holds it.
struct TextFile {
    let texts: [String]

    /// - Parameters:
    ///   - option: of the command line, for errors.
    ///   - key: of the JSON.
    ///   - isPlain: whether lines are JSON only in a file named `.jsonl`, as texts may begin with anything, and there may be
    ///     none.
    init(_ path: String, option: String, key: String, isPlain: Bool = false) throws(RunError) {
        let data: Data
        do {
            data =
                path == "-"
                ? try FileHandle.standardInput.readToEnd() ?? Data()
                : try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw RunError(
                .usage, "\(option): \(path): expected to read, found \(systemReason(error))")
        }
        guard let whole = String(validating: data, as: UTF8.self) else {
            throw RunError(.usage, "\(option): \(path): expected UTF-8")
        }
        var lines = whole.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        guard !lines.isEmpty || isPlain else {
            throw RunError(.usage, "\(option): \(path): expected at least one \(key), found none")
        }
        var texts: [String] = []
        for (number, line) in lines.enumerated() {
            guard isPlain ? path.hasSuffix(".jsonl") : line.hasPrefix("{") else {
                texts.append(String(line))
                continue
            }
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            guard let text = object?[key] as? String else {
                throw RunError(
                    .usage,
                    "\(option): \(path): line \(number + 1): expected JSON with a text \(key), or a "
                        + "line that does not begin with {")
            }
            texts.append(text)
        }
        self.texts = texts
    }
}
