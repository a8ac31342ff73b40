/// Message tags: point-to-point bit, group, sequence number and phase, from the high bits to the low.
///
/// A sequence number comes round after `sequenceCount` operations; the engine starts none whose tag an
/// older operation still uses, so that the order of messages alone tells them apart.
struct TagSpace: Sendable {
    /// The standard's least value of MPI_TAG_UB.
    static let smallestLimit = 32_767

    let groupBits: Int
    let sequenceBits: Int

    init(upperBound: Int) {
        precondition(
            upperBound >= TagSpace.smallestLimit,
            "tags: expected an upper bound of at least \(TagSpace.smallestLimit), got \(upperBound)"
        )
        let bits = Int.bitWidth - 1 - (min(upperBound, Int(Int32.max)) + 1).leadingZeroBitCount
        groupBits = (bits - 2) / 3
        sequenceBits = bits - 2 - groupBits
    }

    var groupCount: Int { 1 << groupBits }
    var sequenceCount: Int { 1 << sequenceBits }
    /// Tags from 0 that `send` and `receive` may give.
    var userTagCount: Int { sequenceCount << 1 }

    /// The tag of the first phase of a collective; the second phase has the next one.
    func collective(group: Int, sequence: Int) -> Int {
        (group << sequenceBits | sequence & (sequenceCount - 1)) << 1
    }

    func pointToPoint(group: Int, tag: Int) -> Int {
        precondition(
            (0..<userTagCount).contains(tag),
            "point-to-point tag: expected 0..<\(userTagCount), got \(tag)")
        return 1 << (groupBits + sequenceBits + 1) | group << (sequenceBits + 1) | tag
    }
}
