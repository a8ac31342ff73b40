/// How the members of a group stand on hosts: the same number of consecutive ones on each.
///
/// The canonical tree halves the ranks from the top while their number is even. So the members of a host
/// are a branch of it exactly where the number of hosts is a power of two, and the tree over the hosts'
/// sums is then the canonical one over as many ranks.
package struct HostGrid: Equatable, Sendable {
    package let hostCount: Int
    /// Members on each host.
    package let hostSize: Int
    /// This rank's host, and its place there.
    package let host: Int
    package let place: Int

    /// Why members cannot share memory.
    package struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// The same verdict on every member: nothing in it depends on where the member itself stands.
    ///
    /// - Parameters:
    ///   - hosts: a number for each member's host, by rank in the group.
    ///   - room: bytes of shared memory that can be had on each member's host.
    ///   - needed: bytes of them that are taken there, which differ where hosts have different numbers of
    ///     ranks.
    package static func arrange(
        hosts: [Int], rank: Int, room: [Int], needed: [Int]
    ) -> Result<HostGrid, Refusal> {
        let size = hosts.count
        let hostSize = hosts.prefix { $0 == hosts[0] }.count
        let hostCount = size / hostSize
        let isGrid =
            size.isMultiple(of: hostSize)
            && hosts.indices.allSatisfy { hosts[$0] == hosts[$0 / hostSize * hostSize] }
            && Set(hosts).count == hostCount
        guard isGrid else {
            return .failure(
                Refusal(description: "hosts with different numbers of neighbouring ranks"))
        }
        guard hostSize > 1 else {
            return .failure(Refusal(description: "each rank on a host of its own"))
        }
        guard hostCount.nonzeroBitCount == 1 else {
            return .failure(
                Refusal(
                    description:
                        "\(hostCount) hosts, where sums of a host fit into the order with 1, 2, 4, …"
                ))
        }
        if let (room, needed) = zip(room, needed).first(where: { $0 < $1 }) {
            return .failure(
                Refusal(
                    description:
                        "/dev/shm with \(room) bytes free, where \(needed) are wanted; enlarge it")
            )
        }
        return .success(
            HostGrid(
                hostCount: hostCount, hostSize: hostSize, host: rank / hostSize,
                place: rank % hostSize))
    }

    /// Members by rank in the group that have this rank's place, one a host.
    var column: [Int] { (0..<hostCount).map { $0 * hostSize + place } }
}
