import Foundation
import TestSupport

/// A call by which a run changes its folder, and how the run dies there (Tests/FileCalls).
struct FileCall: CustomStringConvertible {
    enum Moment: String {
        case before, within, after
    }

    /// The call's name, the file, and how often the file has seen it.
    let line: String
    let moment: Moment

    var description: String { "killed \(moment) \(line)" }

    /// Every way to die at each call of a log: before it; within it, where it writes; else after it.
    static func all(in log: String) -> [FileCall] {
        lines(of: log).flatMap { line in
            let writes = ["write ", "pwrite64 "].contains(where: line.hasPrefix)
            return [
                FileCall(line: line, moment: .before),
                FileCall(line: line, moment: writes ? .within : .after),
            ]
        }
    }

    static func lines(of log: String) -> [String] {
        let text = try? String(contentsOfFile: log, encoding: .utf8)
        return (text ?? "").split(separator: "\n").map(String.init)
    }

    /// Whether programs can be traced here.
    static let isPossible: Bool = {
        guard let folder = try? TemporaryFolder(), let program = try? Program("FileCalls") else {
            return false
        }
        let launch = try? program.run(
            [
                folder.path, folder.file("log"), "--before", "mkdir made 1", "/bin/mkdir",
                folder.file("made"),
            ],
            timeout: 10)
        return launch?.exitCode == 137 && FileCall.lines(of: folder.file("log")).last == "killed"
            && (try? folder.names()) == ["log"]
    }()
}
