// Programs run from outside, as a user runs them: bounded in time, with all that they say.

import Foundation
import Glibc

/// How a program ended, and what it said.
package struct Launch: Sendable {
    package let exitCode: Int32
    package let output: String
    package let errors: String
    package let seconds: Double
    /// It was ended because it did not end.
    package let timedOut: Bool

    package var summary: String {
        "exit code \(exitCode) after \(seconds) s\(timedOut ? ", ended by the test" : "")\n"
            + output + errors
    }

    /// What it said on standard error, line by line.
    package var errorLines: [String] { errors.split(separator: "\n").map(String.init) }
}

/// An executable of this package.
package struct Program: Sendable {
    /// Seconds after which a program is taken to hang: many times what any takes on a machine that is busy.
    package static let patience = 120.0

    package let path: String

    /// Finds it beside the test bundle, where SwiftPM puts it, or in the folder of a build.
    package init(_ name: String) throws {
        let programs =
            [try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")]
            + CommandLine.arguments
        let folders = programs.compactMap { path in
            path.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }
        }
        let builds = [".build/release", ".build/debug"].map { "\(packageRoot)/\($0)" }
        path = try firstExecutable(name, in: folders + builds)
    }

    /// One that is somewhere else.
    package init(path: String) { self.path = path }

    /// Runs it and waits, at most `timeout` seconds: after that it is killed.
    ///
    /// - Parameters:
    ///   - ranks: starts so many under mpirun; nil: one process without it.
    ///   - folder: the current directory; nil: the package's root.
    ///   - whileRunning: sees it from time to time, until it returns true.
    package func run(
        _ arguments: [String], ranks: Int? = nil, in folder: String? = nil, timeout: Double = Program.patience,
        whileRunning: (Running) -> Bool = { _ in true }
    ) throws -> Launch {
        let mpirun = try ranks.map {
            [try Program.mpirun()] + Program.mpirunArguments + ["-n", "\($0)"]
        }
        return try Program.launch(
            (mpirun ?? []) + [path] + arguments, in: folder ?? packageRoot, timeout: timeout,
            whileRunning: whileRunning)
    }

    /// One rank of a job whose ranks are not all started alike.
    package struct Rank: Sendable {
        let program: String
        let arguments: [String]
        let environment: [String: String]

        package init(_ program: String, _ arguments: [String], environment: [String: String] = [:])
        {
            (self.program, self.arguments, self.environment) = (program, arguments, environment)
        }
    }

    /// Runs ranks together under mpirun, in the package's root.
    package static func run(_ ranks: [Rank], timeout: Double = Program.patience) throws -> Launch {
        let contexts = ranks.map { rank in
            let variables = rank.environment.sorted { $0.key < $1.key }
                .flatMap { ["-x", "\($0.key)=\($0.value)"] }
            return ["-n", "1"] + variables + [rank.program] + rank.arguments
        }
        let arguments = mpirunArguments + contexts.joined(separator: [":"])
        return try launch(
            [try mpirun()] + arguments, in: packageRoot, timeout: timeout,
            whileRunning: { _ in true })
    }

    private static func launch(
        _ words: [String], in folder: String, timeout: Double, whileRunning: (Running) -> Bool
    ) throws -> Launch {
        let files = try TemporaryFolder()
        let (output, errors) = (files.file("out"), files.file("err"))
        for file in [output, errors] { try Data().write(to: URL(fileURLWithPath: file)) }

        let process = Process()
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.environment = ProcessInfo.processInfo.environment.merging([
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        ]) { $1 }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: output))
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))

        let start = monotonicSeconds()
        try withSignalsUnblocked { try process.run() }
        let running = Running(
            process: process.processIdentifier, outputFile: output, errorsFile: errors)
        var (hasSeen, timedOut) = (false, false)
        while process.isRunning {
            usleep(10_000)
            if !hasSeen { hasSeen = whileRunning(running) }
            if monotonicSeconds() - start > timeout {
                timedOut = true
                kill(process.processIdentifier, SIGKILL)
                break
            }
        }
        process.waitUntilExit()
        // A shell's way to tell an exit from a signal.
        let isSignal = process.terminationReason == .uncaughtSignal
        return Launch(
            exitCode: process.terminationStatus + (isSignal ? 128 : 0),
            output: contents(of: output),
            errors: contents(of: errors), seconds: monotonicSeconds() - start, timedOut: timedOut)
    }

    /// A program on its way: itself, or the mpirun above it.
    package struct Running {
        package let process: pid_t
        let outputFile: String
        let errorsFile: String

        /// Its standard output so far.
        package var output: String { contents(of: outputFile) }
        /// Its standard error so far.
        package var errors: String { contents(of: errorsFile) }
    }

    private static let mpirunArguments = ["-q", "--bind-to", "none", "--oversubscribe"]

    private static func mpirun() throws -> String {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = path.split(separator: ":").map(String.init)
        return try firstExecutable("mpirun", in: folders + ["/usr/bin", "/usr/lib64/openmpi/bin"])
    }
}

/// What a test needs is not there.
package struct NotFound: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

private func contents(of file: String) -> String {
    String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
}

private func firstExecutable(_ name: String, in folders: [String]) throws -> String {
    let paths = folders.map { "\($0)/\(name)" }
    guard let path = paths.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
        throw NotFound(description: "\(name): expected in one of \(folders), found in none")
    }
    return path
}

/// A thread of the test library blocks signals, and its children would inherit that.
package func withSignalsUnblocked(_ body: () throws -> Void) rethrows {
    var (none, before) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    try body()
}

/// The package's folder.
package let packageRoot = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().path

package func monotonicSeconds() -> Double { seconds(of: CLOCK_MONOTONIC) }

/// What this thread has had of the processor.
package func threadSeconds() -> Double { seconds(of: CLOCK_THREAD_CPUTIME_ID) }

private func seconds(of clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
