import ArgumentParser
import Foundation
import Training

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Checks machine, MPI, BLAS, binding, memory and disk, and says what to mend.",
        discussion: """
            ✓ is well, ! could be better, ✗ is to be mended. Exit code 0, or 2 where anything is ✗. \
            Under mpirun the first rank answers, so that binding is looked at as a run meets it.
            """)

    @Argument(
        help: ArgumentHelp(
            "A configuration: its threads and run directory are looked at.", valueName: "config"),
        transform: path)
    var file: String?

    @OptionGroup var overrides: OverrideArguments

    func run() throws {
        let configuration = try load()
        guard Launch.isFirst else { return }
        let environment = ProcessInfo.processInfo.environment
        let findings = Doctor(configuration: configuration, environment: environment).examine()
        let width = findings.map(\.subject.count).max() ?? 0
        for finding in findings {
            let mark =
                switch finding.state {
                case .good: "✓"
                case .advice: "!"
                case .bad: "✗"
                }
            let subject = finding.subject.padding(toLength: width, withPad: " ", startingAt: 0)
            print("\(mark) \(subject)  \(finding.found)")
            if let remedy = finding.remedy {
                print("\(String(repeating: " ", count: width + 4))→ \(remedy)")
            }
        }
        if findings.contains(where: { $0.state == .bad }) { throw ExitCode(2) }
    }

    private func load() throws(RunError) -> RunConfiguration? {
        guard let file else { return nil }
        return try overrides.load(file)
    }
}
