// What may happen to a run and its checkpoints, made to happen: processes killed, power cut, disks that
// fill, fail or rot. `launch/chaos` goes through all of it; with all tests a few trials of each are made.

import Foundation
import TestSupport
import Testing

/// Everything here; one trial at a time, because each takes the machine's cores and disks.
@Suite(.serialized) enum Chaos {
    /// Whether all trials are made, as `launch/chaos` asks by MURMUR_CHAOS=long.
    static let isLong = ProcessInfo.processInfo.environment["MURMUR_CHAOS"] == "long"

    /// How many trials to make.
    static func trials(_ long: Int, short: Int) -> Int { isLong ? long : short }

    /// Prints a result as `launch/chaos` shows it.
    static func report(_ what: String) { print("chaos: \(what)") }
}

extension Chaos {
    /// The long form is asked for to find something: what it cannot try, it says.
    @Test(.enabled(if: isLong, "of the long form"))
    static func nothingIsLeftOut() {
        #expect(SmallDisk.isPossible, "full and read-only disks: a tmpfs cannot be mounted here")
        #expect(Injection.isPossible, "failing disks: \(Injection.requirement)")
        #expect(FewDescriptors.program != nil, "few descriptors: prlimit is missing")
        #expect(FileCall.isPossible, "kills: ptrace is not possible here, or this is no x86-64")
        #expect(PowerCutDisk.isPossible, "power cuts: \(PowerCuts.needs)")
    }
}
