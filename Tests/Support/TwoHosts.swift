// Two hosts on one machine, by launch/two-hosts.

/// Ranks that have nothing but a network between them.
package enum TwoHosts {
    /// Whether this machine lets us make network namespaces.
    package static let isPossible: Bool = {
        guard let launch = try? script.run(["--check"]) else { return false }
        return launch.exitCode == 0
    }()

    /// Runs a program on so many ranks, half of them on each host, in the package's root.
    package static func run(
        _ program: Program, _ arguments: [String], ranks: Int, timeout: Double = Program.patience
    ) throws -> Launch {
        try script.run(["\(ranks)", program.path] + arguments, timeout: timeout)
    }

    private static let script = Program(path: "\(packageRoot)/launch/two-hosts")
}
