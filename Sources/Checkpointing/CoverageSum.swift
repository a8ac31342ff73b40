/// Whether parts cover tensors once, found out without bringing them together: sums of shares add up.
///
/// A part adds the mark of where it begins and takes that of where it ends away; where one ends and the next begins,
/// the two cancel. Parts that cover their tensors leave the marks of the tensors' own ends. And what leaves these is
/// such a cover: as many parts begin as end at every other place, so that they form one chain from end to end and
/// circles, and parts that go forward form no circle. Other parts have the same sum by a chance of 2⁻⁶⁴.
struct CoverageSum: Sendable, Equatable {
    private(set) var value: UInt64 = 0

    /// - Parameter elements: not empty, or without effect.
    mutating func add(tensor: Int, _ elements: Range<Int>) {
        value &+= CoverageSum.mark(tensor, elements.lowerBound)
        value &-= CoverageSum.mark(tensor, elements.upperBound)
    }

    static func + (one: CoverageSum, other: CoverageSum) -> CoverageSum {
        CoverageSum(value: one.value &+ other.value)
    }

    /// As ranks exchange it, in 8 bytes.
    var encoded: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }

    /// - Parameter encoded: 8 bytes that a rank of this program has encoded.
    init(encoded: ArraySlice<UInt8>) {
        value = encoded.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    init(value: UInt64 = 0) { self.value = value }

    /// Of tensors of so many elements, covered once.
    init(whole counts: [Int]) {
        for (tensor, count) in counts.enumerated() { add(tensor: tensor, 0..<count) }
    }

    /// Of parts of tensors.
    init(_ parts: some Sequence<(tensor: Int, elements: Range<Int>)>) {
        for part in parts { add(tensor: part.tensor, part.elements) }
    }

    /// The finalizer of SplitMix64 (Steele, Lea, Flood 2014), of both numbers.
    private static func mark(_ tensor: Int, _ position: Int) -> UInt64 {
        mixed(mixed(UInt64(tensor) &+ 1) ^ UInt64(position))
    }

    private static func mixed(_ value: UInt64) -> UInt64 {
        var bits = value &+ 0x9E37_79B9_7F4A_7C15
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return bits ^ bits >> 31
    }
}
