// Which processes there are, from /proc.

import Foundation
import Glibc

/// The processes of `program` whose arguments name `word`.
package func processes(of program: String, naming word: String) -> [pid_t] {
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return entries.compactMap { pid_t($0) }.filter { process in
        guard let bytes = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") else {
            return false
        }
        let words = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        return words.first.map { $0 == program || $0.hasSuffix("/\(program)") } ?? false
            && words.contains { $0.contains(word) } && isAlive(process)
    }.sorted()
}

/// A process that has ended but has not been collected is no longer alive.
package func isAlive(_ process: pid_t) -> Bool {
    guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else {
        return false
    }
    return status.split(separator: ")").last?.split(separator: " ").first != "Z"
}

/// Waits until a condition holds, at most so many seconds; whether it did.
package func waitUntil(seconds: Double = 60, _ condition: () -> Bool) -> Bool {
    let end = monotonicSeconds() + seconds
    while monotonicSeconds() < end {
        if condition() { return true }
        usleep(20_000)
    }
    return condition()
}
