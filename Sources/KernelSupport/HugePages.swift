/// The pages that large blocks of memory lie in where the system gives them.
package enum HugePages {
    /// Bytes of one: a block of at least as many is aligned to it.
    package static let size = 2 << 20

    /// `byteCount` in whole huge pages.
    package static func roundedUp(_ byteCount: Int) -> Int {
        (byteCount + size - 1) / size * size
    }
}
