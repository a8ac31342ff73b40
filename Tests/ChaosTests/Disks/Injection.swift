import Foundation
import Glibc
import TestSupport

/// strace, which makes system calls of a process fail.
struct Injection {
    /// A call that was made to fail, as strace tells it.
    struct Hit: Sendable, CustomStringConvertible {
        let line: String

        var description: String { line }
    }

    static let program = ["/usr/bin/strace", "/usr/local/bin/strace", "/bin/strace"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    /// Whether it can be attached to a process here.
    static let isPossible: Bool = {
        guard let program, let folder = try? TemporaryFolder() else { return false }
        let log = folder.file("log")
        let launch = try? Program(path: program).run(
            ["-f", "-o", log, "-e", "trace=execve", "/bin/true"])
        return launch?.exitCode == 0
    }()

    static let requirement = "strace is missing, or may not trace here"

    /// The words before a program's own that make its threads' `number`-th `call` fail. The calls of a thread are
    /// counted from its beginning, or from when strace came.
    static func words(_ call: String, _ number: Int, error: String = "EIO", log: String) -> [String]
    {
        [
            "-f", "-y", "-s", "0", "-o", log, "-e", "trace=\(call)", "-e",
            "inject=\(call):error=\(error):when=\(number)",
        ]
    }

    private let process = Process()
    private let log: String

    /// Attaches to a process, which is stopped meanwhile so that it does not run ahead.
    init(into target: pid_t, _ call: String, _ number: Int, log: String) throws {
        guard let program = Injection.program else {
            throw NotFound(description: "strace: expected it installed, found none")
        }
        self.log = log
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = Injection.words(call, number, log: log) + ["-p", "\(target)"]
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        kill(target, SIGSTOP)
        defer { kill(target, SIGCONT) }
        try withSignalsUnblocked { try process.run() }
        guard waitUntil({ Injection.isTraced(target) || !isAlive(target) }) else {
            end()
            throw NotFound(
                description: "strace: expected to attach to \(target), found it does not")
        }
    }

    /// What has been made to fail so far.
    var hits: [Hit] { Injection.hits(in: log) }

    /// Leaves the process as it is. strace waits for ever for a process that was killed under it, unless it is
    /// killed too.
    func end() {
        if process.isRunning { process.terminate() }
        if !waitUntil({ !process.isRunning }) { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
    }

    /// Every thread of it has a tracer.
    private static func isTraced(_ process: pid_t) -> Bool {
        let folder = "/proc/\(process)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return !threads.isEmpty
            && threads.allSatisfy { thread in
                let status = try? String(
                    contentsOfFile: "\(folder)/\(thread)/status", encoding: .utf8)
                return status?.contains("TracerPid:\t0\n") == false
            }
    }

    /// The calls of a log that were made to fail; one that another thread's line has cut in two is put together.
    static func hits(in log: String) -> [Hit] {
        calls(in: log).filter { $0.contains("(INJECTED)") }.map { Hit(line: $0) }
    }

    /// The calls of a log, whole, each with its thread before it.
    static func calls(in log: String) -> [String] {
        let text = FileManager.default.contents(atPath: log) ?? Data()
        var unfinished: [Substring: Substring] = [:]
        var calls: [String] = []
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let thread = line.prefix { $0 != " " }
            if let cut = line.firstRange(of: " <unfinished ...>") {
                unfinished[thread] = line[..<cut.lowerBound]
            } else if line.contains("resumed>"), let start = unfinished.removeValue(forKey: thread),
                let cut = line.firstRange(of: "resumed>")
            {
                calls.append(String(start + line[cut.upperBound...]))
            } else {
                calls.append(String(line))
            }
        }
        return calls
    }
}
