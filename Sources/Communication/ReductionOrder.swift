/// The canonical order of a reduction over ranks, and how hosts share it out: what a host can do with its
/// own ranks' parts, it does; what is left is done between the hosts. No bit depends on where that border is.
///
/// The tree over n parts: two halves while n is even, from the first to the last otherwise. The sum of four is
/// (0+1)+(2+3), of three (0+1)+2, of six ((0+1)+2)+((3+4)+5).
struct ReductionOrder: Equatable {
    /// Two parts become one, which takes the place of the left one.
    struct Step: Equatable {
        let left: Int
        let right: Int
    }

    /// How many parts each member has; they are consecutive.
    let partCounts: [Int]
    private(set) var steps: [Step] = []

    /// Over `size` members with a part each.
    init(size: Int) {
        partCounts = Array(repeating: 1, count: size)
        append(0..<size)
    }

    private init(partCounts: [Int], steps: [Step]) {
        (self.partCounts, self.steps) = (partCounts, steps)
    }

    private mutating func append(_ parts: Range<Int>) {
        let first = parts.lowerBound
        if parts.count.isMultiple(of: 2) {
            let middle = first + parts.count / 2
            append(first..<middle)
            append(middle..<parts.upperBound)
            steps.append(Step(left: first, right: middle))
        } else {
            for part in parts.dropFirst() { steps.append(Step(left: first, right: part)) }
        }
    }

    var partCount: Int { partCounts.reduce(0, +) }

    /// The parts in whose places results remain: the first of each branch.
    var roots: [Int] {
        let taken = Set(steps.map(\.right))
        return (0..<partCount).filter { !taken.contains($0) }
    }

    /// The order among the members of each host, which leaves the largest branches of the tree that the host
    /// has whole, and the order over these, of which each host is a member.
    ///
    /// - Parameter hosts: the members of each host, in order. A member has one part.
    func split(over hosts: [Range<Int>]) -> (within: [ReductionOrder], between: ReductionOrder) {
        let hostOf = hosts.indices.flatMap { host in hosts[host].map { _ in host } }
        var within = hosts.map { ReductionOrder(partCounts: $0.map { _ in 1 }, steps: []) }
        var isLocal = hostOf.map { _ in true }
        var rest: [Step] = []
        for step in steps {
            let host = hostOf[step.left]
            if isLocal[step.left] && isLocal[step.right] && hostOf[step.right] == host {
                let start = hosts[host].lowerBound
                within[host].steps.append(
                    Step(left: step.left - start, right: step.right - start))
            } else {
                isLocal[step.left] = false
                rest.append(step)
            }
        }
        let roots = within.map(\.roots)
        let members = zip(hosts, roots).flatMap { host, roots in
            roots.map { host.lowerBound + $0 }
        }
        let number = Dictionary(uniqueKeysWithValues: zip(members, members.indices))
        return (
            within,
            ReductionOrder(
                partCounts: roots.map(\.count),
                steps: rest.map { Step(left: number[$0.left]!, right: number[$0.right]!) })
        )
    }
}
