import Foundation

/// The processors this process may use.
public enum AvailableProcessors {
    /// How many the affinity mask has.
    public static var count: Int { mask.processors.count }

    /// The affinity mask; all processors of the machine where it cannot be read.
    package static var mask: ProcessorMask {
        // The C function for it is hidden behind a macro that Swift's Glibc does not set.
        let status = try? String(contentsOfFile: "/proc/thread-self/status", encoding: .utf8)
        let line = status?.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed:") }
        return line.flatMap { ProcessorMask("\($0.dropFirst("Cpus_allowed:".count))") }
            ?? ProcessorMask(processors: Array(0..<onMachine))
    }

    /// Processors of the machine.
    public static var onMachine: Int { max(1, ProcessInfo.processInfo.processorCount) }

    /// Whether Open MPI has given each rank processors of its own.
    public static var areBoundByLauncher: Bool {
        ProcessInfo.processInfo.environment["OMPI_MCA_orte_bound_at_launch"] == "1"
    }
}
