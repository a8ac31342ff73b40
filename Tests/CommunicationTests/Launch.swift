// Starts `RankTests` with and without mpirun, bounded in time, and keeps what it says.

import Foundation
import Glibc
import Testing

enum Backend: String, CaseIterable, CustomTestStringConvertible {
    case inProcess
    case mpi

    var testDescription: String { rawValue }
}

struct Launch {
    let exitCode: Int32
    let output: String
    let errors: String
    let seconds: Double
    /// It was ended because it did not end.
    let timedOut: Bool

    var summary: String { "exit code \(exitCode) after \(seconds) s\n\(output)\(errors)" }

    func passed(_ scenario: String) -> Bool {
        output.split(separator: "\n").contains("PASS \(scenario)")
    }

    /// What follows `word` on the first line that starts with it.
    func value(after word: String) -> String? {
        output.split(separator: "\n").first { $0.hasPrefix(word + " ") }
            .map { String($0.dropFirst(word.count + 1)) }
    }
}

/// Runs scenarios on `ranks` ranks; `whileRunning` sees the process and its output from time to time
/// until it returns true.
func launch(
    _ backend: Backend, ranks: Int, _ arguments: [String], timeout: Double = 120,
    whileRunning: (Process, () -> String) -> Bool = { _, _ in true }
) throws -> Launch {
    let folder = FileManager.default.temporaryDirectory
        .appendingPathComponent("rank-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (output, errors) = (
        folder.appendingPathComponent("out"), folder.appendingPathComponent("err")
    )
    for file in [output, errors] { try Data().write(to: file) }

    let process = Process()
    let program = try rankTestsPath()
    switch backend {
    case .inProcess:
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["--in-process", "\(ranks)"] + arguments
    case .mpi:
        process.executableURL = URL(fileURLWithPath: try mpirunPath())
        process.arguments =
            ["-q", "--bind-to", "none", "--oversubscribe", "-n", "\(ranks)", program] + arguments
    }
    var environment = ProcessInfo.processInfo.environment
    environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
    environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    process.environment = environment
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)

    func text(_ file: URL) -> String { (try? String(contentsOf: file, encoding: .utf8)) ?? "" }
    let start = monotonicSeconds()
    try process.run()
    var (hasSeen, timedOut) = (false, false)
    while process.isRunning {
        usleep(10_000)
        if !hasSeen { hasSeen = whileRunning(process) { text(output) } }
        if monotonicSeconds() - start > timeout {
            timedOut = true
            kill(process.processIdentifier, SIGKILL)
            break
        }
    }
    process.waitUntilExit()
    return Launch(
        exitCode: process.terminationStatus, output: text(output), errors: text(errors),
        seconds: monotonicSeconds() - start, timedOut: timedOut)
}

func monotonicSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

struct NotFound: Error, CustomStringConvertible {
    let description: String
}

/// SwiftPM puts the scenarios' executable next to the test bundle.
private func rankTestsPath() throws -> String {
    let bundles =
        [try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")]
        + CommandLine.arguments
    let folders = bundles.compactMap { path in
        path.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }
    }
    return try firstExecutable("RankTests", in: folders + [".build/release", ".build/debug"])
}

private func mpirunPath() throws -> String {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let folders = path.split(separator: ":").map(String.init)
    return try firstExecutable("mpirun", in: folders + ["/usr/bin", "/usr/lib64/openmpi/bin"])
}

private func firstExecutable(_ name: String, in folders: [String]) throws -> String {
    let paths = folders.map { "\($0)/\(name)" }
    guard let path = paths.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
        throw NotFound(description: "\(name): expected in one of \(folders), found in none")
    }
    return path
}
