/// The shingles of a document, or a sample of them, for the Jaccard similarity of two.
struct ShingleSet: Sendable {
    /// Ascending, each once.
    let hashes: [UInt32]
    /// Whether there are more than these, the least.
    let isSample: Bool

    /// - Parameter hashes: in any order, some perhaps twice; as they shall be where they are a sample.
    init(_ hashes: [UInt32], isSample: Bool) {
        self.isSample = isSample
        if isSample {
            self.hashes = hashes
            return
        }
        var hashes = hashes
        hashes.sort()
        var count = 0
        for index in hashes.indices where count == 0 || hashes[index] != hashes[count - 1] {
            hashes[count] = hashes[index]
            count += 1
        }
        hashes.removeLast(hashes.count - count)
        self.hashes = hashes
    }

    /// |A ∩ B| / |A ∪ B|. Where one is a sample, of the hashes up to the last that both would have kept: the estimator of
    /// bottom-k sketches (Cohen and Kaplan 2007).
    func similarity(_ other: ShingleSet) -> Double {
        let limit = min(last, other.last)
        var (mine, theirs, common, all) = (0, 0, 0, 0)
        hashes.withUnsafeBufferPointer { one in
            other.hashes.withUnsafeBufferPointer { two in
                while mine < one.count, theirs < two.count {
                    let (left, right) = (one[mine], two[theirs])
                    guard min(left, right) <= limit else { return }
                    all += 1
                    if left == right { common += 1 }
                    // Without branches: which is less is as good as random.
                    mine += left <= right ? 1 : 0
                    theirs += right <= left ? 1 : 0
                }
                while mine < one.count, one[mine] <= limit { (mine, all) = (mine + 1, all + 1) }
                while theirs < two.count, two[theirs] <= limit {
                    (theirs, all) = (theirs + 1, all + 1)
                }
            }
        }
        return all == 0 ? 0 : Double(common) / Double(all)
    }

    /// The last hash up to which nothing is left out.
    private var last: UInt32 { isSample ? hashes.last ?? .max : .max }
}
