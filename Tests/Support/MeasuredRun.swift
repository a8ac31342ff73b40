import Foundation
import Glibc

/// A program that ran to its end, and what it took of the machine.
package struct MeasuredRun: Sendable {
    package let exitCode: Int32
    /// Standard output and error together.
    package let text: String
    /// The most memory that it held at once.
    package let peakBytes: Int
    /// Of the processor, so that a busy machine does not count.
    package let seconds: Double
    package let timedOut: Bool

    /// Whether the system tells what a process waits for.
    package static let isPossible =
        FileManager.default.contents(atPath: "/proc/self/syscall") != nil

    /// Runs a program whose last words are all that it says. They go to a pipe that is full, so that the program
    /// still is there, all its work done, when its memory is looked at.
    package init(_ program: Program, _ arguments: [String], timeout: Double = Program.patience) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            throw NotFound(description: "pipe: expected one, found errno \(errno)")
        }
        let (reading, writing) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(reading) }
        let filling = MeasuredRun.fill(writing)

        let process = Process()
        process.executableURL = URL(fileURLWithPath: program.path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: packageRoot)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(fileDescriptor: writing, closeOnDealloc: false)
        process.standardError = process.standardOutput
        do {
            defer { close(writing) }
            try withSignalsUnblocked { try process.run() }
        }
        let folder = "/proc/\(process.processIdentifier)"
        let end = monotonicSeconds() + timeout
        var peak = 0
        while process.isRunning, monotonicSeconds() < end {
            // Its own since it was started: before that the process is a copy of this one.
            if case let seen = MeasuredRun.peakBytes(folder), seen > 0 { peak = seen }
            if MeasuredRun.isWriting(folder) { break }
            usleep(2000)
        }
        if case let seen = MeasuredRun.peakBytes(folder), seen > 0 { peak = seen }
        let seconds = MeasuredRun.seconds(folder)
        timedOut = process.isRunning && monotonicSeconds() >= end
        if timedOut { kill(process.processIdentifier, SIGKILL) }
        let said = FileHandle(fileDescriptor: reading, closeOnDealloc: false).readDataToEndOfFile()
        process.waitUntilExit()
        let isSignal = process.terminationReason == .uncaughtSignal
        exitCode = process.terminationStatus + (isSignal ? 128 : 0)
        text = String(decoding: said.dropFirst(filling), as: UTF8.self)
        (peakBytes, self.seconds) = (peak, seconds)
    }

    /// Fills a pipe; returns with how many bytes.
    private static func fill(_ pipe: Int32) -> Int {
        let flags = fcntl(pipe, F_GETFL)
        _ = fcntl(pipe, F_SETFL, flags | O_NONBLOCK)
        defer { _ = fcntl(pipe, F_SETFL, flags) }
        let block = [UInt8](repeating: 0, count: 4096)
        var count = 0
        while true {
            let written = write(pipe, block, block.count)
            guard written > 0 else { return count }
            count += written
        }
    }

    private static func text(_ file: String) -> String {
        String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }

    /// Whether it waits in `write` (1 on x86-64, 64 on arm64) on standard output or error.
    private static func isWriting(_ folder: String) -> Bool {
        let words = text("\(folder)/syscall").split(separator: " ")
        return words.count > 2 && ["1", "64"].contains(words[0])
            && ["0x1", "0x2"].contains(words[1])
    }

    private static func peakBytes(_ folder: String) -> Int {
        let line = text("\(folder)/status").split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        let words = line?.split { $0 == " " || $0 == "\t" } ?? []
        return words.count > 1 ? (Int(words[1]) ?? 0) << 10 : 0
    }

    /// User and system time, in ticks of 1/100 s.
    private static func seconds(_ folder: String) -> Double {
        let words = text("\(folder)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard words.count > 13 else { return 0 }
        return ((Double(words[11]) ?? 0) + (Double(words[12]) ?? 0)) / 100
    }
}
