import Foundation

/// The processors this process may run on.
public enum AvailableProcessors {
    /// Processors of the affinity mask; all of the machine where the mask cannot be read.
    public static var count: Int {
        // The C function for it is hidden behind a macro that Swift's Glibc does not set.
        guard let status = try? String(contentsOfFile: "/proc/thread-self/status", encoding: .utf8),
            let line = status.split(separator: "\n").first(where: {
                $0.hasPrefix("Cpus_allowed:")
            })
        else { return onMachine }
        let mask = line.dropFirst("Cpus_allowed:".count).compactMap(\.hexDigitValue)
        return max(1, mask.reduce(0) { $0 + $1.nonzeroBitCount })
    }

    /// Processors of the machine.
    public static var onMachine: Int { max(1, ProcessInfo.processInfo.processorCount) }
}

extension RunConfiguration.Run {
    /// Threads of a rank: as configured, or the processors it may use divided by the ranks that share
    /// them. `ranksOnHost` counts the ranks of this host; ranks that a launcher has bound apart
    /// (`isBound`) share none.
    public func threadCount(ranksOnHost: Int, isBound: Bool = false) -> Int {
        let sharing = isBound ? 1 : max(1, ranksOnHost)
        return threads ?? max(1, AvailableProcessors.count / sharing)
    }
}
