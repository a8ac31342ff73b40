import Foundation
import Training

/// Enters the world of ranks, does the work and leaves; an error ends the processes of all ranks with
/// its exit code.
///
/// Ranks that were started with other options, or read another configuration, are found first.
func withWorld(
    timeout: Double, configuration: RunConfiguration? = nil,
    _ body: (World) throws(RunError) -> Void
) throws(RunError) {
    let world = try World.enter(timeout: timeout)
    do throws(RunError) {
        let lines = configuration?.yaml.split(separator: "\n") ?? []
        try world.requireEqual(
            [("command line", CommandLine.arguments.dropFirst().joined(separator: " "))]
                + lines.map { ("configuration", $0.trimmingCharacters(in: .whitespaces)) })
        try body(world)
    } catch {
        // All ranks have stopped in the same place, and nothing is on its way.
        if error.isShared {
            try world.leave()
            throw error
        }
        Report.show(error)
        world.abort(code: error.exitCode)
        exit(error.exitCode)
    }
    try world.leave()
}
