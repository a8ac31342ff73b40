import Foundation
import Training

/// Prompts from a file, or from standard input where it is called `-`: one a line, as it stands, or as JSON with a key
/// `prompt`.
struct PromptFile {
    let prompts: [String]

    init(_ path: String) throws(RunError) {
        let data: Data
        do {
            data =
                path == "-"
                ? try FileHandle.standardInput.readToEnd() ?? Data()
                : try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw RunError(
                .usage, "--prompts: \(path): expected to read, found \(systemReason(error))")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw RunError(.usage, "--prompts: \(path): expected UTF-8")
        }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        guard !lines.isEmpty else {
            throw RunError(.usage, "--prompts: \(path): expected at least one prompt, found none")
        }
        var prompts: [String] = []
        for (number, line) in lines.enumerated() {
            guard line.hasPrefix("{") else {
                prompts.append(String(line))
                continue
            }
            let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            guard let prompt = object?["prompt"] as? String else {
                throw RunError(
                    .usage,
                    "--prompts: \(path): line \(number + 1): expected JSON with a text prompt, or a "
                        + "line that does not begin with {")
            }
            prompts.append(prompt)
        }
        self.prompts = prompts
    }
}
