/// A pseudo-random permutation of 0 ..< `count` that needs no memory: any element is computed by itself.
///
/// A balanced Feistel network over the smallest even number of bits that holds `count`, applied again
/// while the result lies outside ("cycle walking", Black and Rogaway 2002): at most four times on average.
package struct Permutation: Sendable {
    private static let rounds: UInt64 = 8

    package let count: Int
    private let key: UInt64
    private let halfBits: UInt64

    package init(count: Int, key: UInt64) {
        precondition(count > 0, "Permutation: expected at least 1 element, got \(count)")
        self.count = count
        self.key = key
        let bits = Int.bitWidth - (count - 1).leadingZeroBitCount
        halfBits = UInt64(max(1, (bits + 1) / 2))
    }

    package subscript(index: Int) -> Int {
        precondition(index >= 0 && index < count, "Permutation: index \(index) of \(count)")
        var value = UInt64(index)
        repeat { value = encrypt(value) } while value >= UInt64(count)
        return Int(value)
    }

    private func encrypt(_ value: UInt64) -> UInt64 {
        let mask = (1 as UInt64) << halfBits - 1
        var (left, right) = (value >> halfBits, value & mask)
        for round in 0..<Permutation.rounds {
            (left, right) = (right, left ^ (CounterHash.bits(key, round, right) & mask))
        }
        return left << halfBits | right
    }
}
