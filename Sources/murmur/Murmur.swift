// The command line: the only place that turns an error into an exit code.

import ArgumentParser
import Training

@main
struct Murmur: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "murmur",
        abstract: "Trains transformers on CPUs: one process, or many under mpirun.",
        discussion: """
            murmur train configs/quickstart.yaml
            mpirun -q --bind-to none -n 2 murmur train configs/quickstart.yaml

            A configuration holds everything that defines a run; --set changes one key of it. The \
            same configuration gives the same bits on any number of ranks and threads.

            Exit codes: 0 done, 2 usage or configuration, 3 data, 4 checkpoint, 5 input or output, \
            6 divergence, 7 replicas differ, 8 communication deadline, 9 out of memory, \
            75 stopped from outside after a checkpoint.
            """,
        version: "murmur \(Training.version)",
        subcommands: [
            TrainCommand.self, PrepareCommand.self, DataCommand.self, LanguageCommand.self,
            TokenizerCommand.self,
            EvaluateCommand.self,
            GenerateCommand.self, TranslateCommand.self, ScoreCommand.self,
            EmbedCommand.self, CheckpointCommand.self, BenchCommand.self, PlanCommand.self,
            DoctorCommand.self,
        ])

    /// A message of ArgumentParser's about a value in the form that all others have: `--option: expected …, found …`.
    static func uniform(_ message: String) -> String {
        let form = /The value '(?<value>.*)' is invalid for '(?<name>[^' ]+)[^']*': (?<expected>.*)/
        guard let match = message.wholeMatch(of: form) else { return message }
        let (expected, value) = (match.expected, match.value)
        let found =
            expected.contains(", found ") ? "" : ", found \(value.isEmpty ? "nothing" : value)"
        return "\(match.name): \(expected)\(found)"
    }

    static func main() {
        // Output that nobody reads ends a command in silence, whatever it was started with; training takes care
        // of itself.
        if Launch.launcher == nil { StopSignal.endOnClosedPipes() }
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as RunError {
            Report.end(error)
        } catch let code as ExitCode {
            exit(withError: code)
        } catch {
            // Help and version: from the first rank alone.
            guard exitCode(for: error) != .success else {
                if Launch.isFirst { exit(withError: error) }
                exit(withError: ExitCode.success)
            }
            let message = uniform(message(for: error).replacing("\n", with: " "))
            Report.end(RunError(.usage, "command line: \(message); see murmur --help"))
        }
    }
}
