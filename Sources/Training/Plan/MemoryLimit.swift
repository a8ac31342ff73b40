/// The memory that processes on this machine may use, and what sets the limit.
public struct MemoryLimit: Sendable, Equatable {
    public let bytes: Int
    /// As it stands in a sentence.
    public let reason: String

    /// The smaller one of the memory that is free and the control group's limit; nil where neither can be
    /// read.
    package init?(_ files: SystemFiles = SystemFiles()) {
        let limits = [
            files.memory("MemAvailable").map { ($0, "available on this machine") },
            ControlGroup(files).memoryLimit.map { ($0, "the limit of the container or job") },
        ].compactMap(\.self)
        guard let smallest = limits.min(by: { $0.0 < $1.0 }) else { return nil }
        (bytes, reason) = smallest
    }

    /// This machine's.
    public static var current: MemoryLimit? { MemoryLimit() }
}

extension Plan {
    /// The plan of ranks of which `ranksHere` are on this machine. Where the configuration leaves it open and the
    /// copy that saves are written from does not fit, there is none.
    public init(
        _ configuration: RunConfiguration, vocabulary: Int, ranks: Int, threads: Int,
        ranksHere: Int, limit: MemoryLimit? = .current
    ) {
        self.init(configuration, vocabulary: vocabulary, ranks: ranks, threads: threads) {
            $0.fits(ranksHere: ranksHere, limit)
        }
    }

    /// Each rank counted with weights of its own: whether ranks will see each other's memory shows only when they are there.
    private func fits(ranksHere: Int, _ limit: MemoryLimit?) -> Bool {
        let (needed, overflow) = memoryTotal.multipliedReportingOverflow(by: ranksHere)
        return limit.map { !overflow && needed <= $0.bytes } ?? true
    }

    /// What a save is like where there is no copy to write from.
    static let streaming = "training waits while a save is written"

    /// Throws, with the figures, where `ranksHere` ranks on one machine do not fit into its memory.
    public func requireMemory(
        ranksHere: Int, limit: MemoryLimit? = .current
    ) throws(RunError) {
        guard let limit, !fits(ranksHere: ranksHere, limit) else { return }
        let (needed, overflow) = memoryTotal.multipliedReportingOverflow(by: ranksHere)
        let largest = memory.parts.max { $0.bytes < $1.bytes }
        let hint =
            switch largest?.name {
            case "activations", "logits", "backward pass": "lower batch.micro_batch"
            case "evaluation": "lower evaluation.micro_batch"
            case "checkpoint's copy": "set checkpoint.copy to auto or never, and saves do without"
            default: ranksHere > 1 ? "use more machines, or a smaller model" : "use a smaller model"
            }
        throw RunError(
            .outOfMemory,
            "memory: expected at most \(Plan.mebibytes(limit.bytes)) (\(limit.reason)), found "
                + "\(Plan.mebibytes(overflow ? .max : needed)) needed by \(ranksHere) "
                + "\(ranksHere == 1 ? "rank" : "ranks"), most of it "
                + "\(largest?.name ?? "") (\(Plan.mebibytes(largest?.bytes ?? 0)) a rank); \(hint)")
    }

    static func mebibytes(_ bytes: Int) -> String { "\(bytes >> 20) MiB" }
}
