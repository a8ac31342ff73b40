import Files
import Foundation
import Training

/// What a launcher told this process before MPI was entered.
enum Launch {
    private static let environment = ProcessInfo.processInfo.environment

    /// What stands between a person and this process; nil where nothing does.
    static let launcher = Launcher(environment: environment)

    /// This process among the ranks; nil where no launcher started it. Slurm numbers its tasks also where they know
    /// nothing of each other; a batch script's own shell is 0.
    static let rank = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"].lazy
        .compactMap { environment[$0].flatMap { Int($0) } }.first

    /// The number of ranks, where the launcher tells.
    static let size = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].lazy
        .compactMap { environment[$0].flatMap { Int($0) } }.first

    static var isFirst: Bool { (rank ?? 0) == 0 }
}

/// Errors and warnings on standard error, each once however many ranks there are.
enum Report {
    /// Prints an error and ends the process with its exit code.
    static func end(_ error: RunError) -> Never {
        show(error)
        exit(error.exitCode)
    }

    /// Prints an error, one line a problem.
    ///
    /// The first rank speaks at once. Another one waits: where the first has the same error, the
    /// launcher ends this process meanwhile; where it has none, this rank speaks and says who it is.
    /// A stop was agreed on by all: the first alone says so.
    static func show(_ error: RunError) {
        var error = error
        if !Launch.isFirst {
            if error.isShared { return }
            Thread.sleep(forTimeInterval: 5)
            error = error.located(rank: Launch.rank, host: ProcessInfo.processInfo.hostName)
        }
        write(error.lines)
    }

    /// One line each, from the first rank.
    static func warn(_ messages: [String]) {
        if Launch.isFirst { write(messages.map { "warning: \($0.printableMessage)" }) }
    }

    /// Lines for a person, beside the result on standard output.
    static func table(_ lines: [String]) { if Launch.isFirst { write(lines) } }

    private static func write(_ lines: [String]) {
        let text = lines.map { $0 + "\n" }.joined()
        try? FileHandle.standardError.write(contentsOf: Data(text.utf8))
    }
}
