import Foundation
import Training

/// Enters the world of ranks, does the work and leaves; an error ends the processes of all ranks with
/// its exit code.
func withWorld(
    timeout: Double, _ body: (World) throws(RunError) -> Void
) throws(RunError) {
    let world = try World.enter(timeout: timeout)
    do throws(RunError) {
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
