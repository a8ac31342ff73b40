import Foundation
import Training

/// Enters the world of ranks, does the work and leaves; an error ends the processes of all ranks with
/// its exit code.
///
/// Ranks that run another program, were started with other options, or read another configuration, are
/// found first. `options` are those of the command line that the configuration does not hold, the
/// command first.
func withWorld(
    timeout: Double, options: [SharedValue],
    configuration: RunConfiguration? = nil,
    _ body: (World) throws(RunError) -> Void
) throws(RunError) {
    let world = try World.enter(timeout: timeout) {
        Report.table(["waiting for ranks to start (MPI_Init)"])
    }
    do throws(RunError) {
        try world.requireEqualRanks(options: options, configuration: configuration)
        try body(world)
    } catch {
        // Before any rank leaves: one that ends with an exit code has the launcher end the others.
        Report.show(error)
        // All ranks have stopped in the same place, and nothing is on its way.
        if error.isShared {
            try world.leave()
            exit(error.exitCode)
        }
        world.abort(code: error.exitCode)
        exit(error.exitCode)
    }
    try world.leave()
}
