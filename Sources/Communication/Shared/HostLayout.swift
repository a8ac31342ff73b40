/// How the members of a group stand on hosts: neighbours in rank on each, as many as there are.
///
/// Between hosts, members exchange in columns, one a host; the host with the fewest members has one in each.
package struct HostLayout: Equatable, Sendable {
    /// The members of each host.
    package let hosts: [Range<Int>]
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
    ) -> Result<HostLayout, Refusal> {
        let starts = hosts.indices.filter { $0 == 0 || hosts[$0] != hosts[$0 - 1] }
        let ranges = zip(starts, starts.dropFirst() + [hosts.count]).map { $0..<$1 }
        guard ranges.count == Set(hosts).count else {
            return .failure(Refusal(description: "ranks of a host that are not neighbours"))
        }
        guard ranges.count < hosts.count else {
            return .failure(Refusal(description: "each rank on a host of its own"))
        }
        if let (room, needed) = zip(room, needed).first(where: { $0 < $1 }) {
            return .failure(
                Refusal(
                    description:
                        "/dev/shm with \(room) bytes free, where \(needed) are wanted; enlarge it")
            )
        }
        let host = ranges.firstIndex { $0.contains(rank) }!
        return .success(
            HostLayout(hosts: ranges, host: host, place: rank - ranges[host].lowerBound))
    }

    /// This host's members by rank in the group.
    var members: Range<Int> { hosts[host] }

    /// Whether all hosts have as many members.
    var isEven: Bool { hosts.allSatisfy { $0.count == members.count } }

    var columnCount: Int { hosts.map(\.count).min()! }

    /// Members by rank in the group that have this rank's place, one a host; nil where some host has none.
    var column: [Int]? { place < columnCount ? hosts.map { $0.lowerBound + place } : nil }
}
