import TestSupport
import Testing

enum Backend: String, CaseIterable, CustomTestStringConvertible {
    case inProcess
    case mpi

    var testDescription: String { rawValue }
}

extension Launch {
    func passed(_ scenario: String) -> Bool {
        output.split(separator: "\n").contains("PASS \(scenario)")
    }

    /// What follows `word` on the first line that starts with it.
    func value(after word: String) -> String? {
        output.split(separator: "\n").first { $0.hasPrefix(word + " ") }
            .map { String($0.dropFirst(word.count + 1)) }
    }
}

/// Runs scenarios of `RankTests` on `ranks` ranks.
func launch(
    _ backend: Backend, ranks: Int, _ arguments: [String], timeout: Double = Program.patience,
    whileRunning: (Program.Running) -> Bool = { _ in true }
) throws -> Launch {
    let program = try Program("RankTests")
    switch backend {
    case .inProcess:
        return try program.run(
            ["--in-process", "\(ranks)"] + arguments, timeout: timeout, whileRunning: whileRunning)
    case .mpi:
        let first = try program.run(
            arguments, ranks: ranks, timeout: timeout, whileRunning: whileRunning)
        // In about one launch of a hundred in which a rank aborts while another leaves, Open MPI 4.1's
        // mpirun hangs or crashes (139) in its own clean-up, after the ranks have said why they end. A
        // rank of ours that hangs or crashes says otherwise, and is not tried again.
        let hasEndedItself = first.errors.contains("error: ")
        let hasCrashed = ["crashed", "free()", "Fatal"].contains { first.errors.contains($0) }
        guard first.timedOut || first.exitCode == 139, hasEndedItself, !hasCrashed else {
            return first
        }
        return try program.run(
            arguments, ranks: ranks, timeout: timeout, whileRunning: whileRunning)
    }
}
