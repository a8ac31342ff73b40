import Glibc

/// Where a rank runs: the host, and its place among the job's ranks there, who share its cores.
public struct HostPlacement: Sendable, Equatable {
    public let hostName: String
    /// From 0.
    public let localRank: Int
    public let localSize: Int
    /// The lowest rank there, by its number in the world: what tells hosts apart, since names may be equal.
    public let hostLeader: Int

    init(
        hostName: String = HostPlacement.thisHost, localRank: Int, localSize: Int, hostLeader: Int
    ) {
        (self.hostName, self.localRank, self.localSize) = (hostName, localRank, localSize)
        self.hostLeader = hostLeader
    }

    /// A process without others.
    public static var alone: HostPlacement {
        HostPlacement(localRank: 0, localSize: 1, hostLeader: 0)
    }

    static var thisHost: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        return String(
            decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
