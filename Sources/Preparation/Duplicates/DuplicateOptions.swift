import Datasets

/// What counts as a duplicate, and how such are looked for.
package struct DuplicateOptions: Sendable, Equatable {
    /// Whether documents of the same bytes are dropped.
    package var exact = true
    /// Whether documents of nearly the same words are dropped.
    package var near = true
    /// The Jaccard similarity of two documents' shingles from which on they are duplicates: above 0, up to 1.
    package var threshold = 0.8
    /// Words of a shingle: 1 to 64.
    package var shingle = 5
    /// Minima taken of a document's shingles: 1 to 4096.
    package var permutations = 128
    /// Bands of the minima and rows of a band; chosen by `threshold` and `permutations` where there is none.
    package var bands: (count: Int, rows: Int)?
    /// Shingles kept of a document to verify what the bands have found: 64 to 2²⁰. Up to so many are compared
    /// exactly; of longer documents as many hashes are a sample, whose similarity has a standard deviation of
    /// √(s(1−s)/sketch).
    package var sketch = 4096
    package var seed: UInt64 = 0

    package init() {}

    /// Documents before a document in its bucket that it is compared with.
    static let window = 64
    /// The share of pairs at the threshold itself that shall meet in at least one band.
    static let recall = 0.99

    /// Bands and rows in use.
    package var shape: (count: Int, rows: Int) {
        bands ?? DuplicateOptions.shape(threshold: threshold, permutations: permutations)
    }

    /// Of all r with ⌊permutations/r⌋ = b bands the largest at which pairs of similarity t = `threshold` meet with a
    /// probability 1 − (1 − tʳ)ᵇ of at least 0.99.
    ///
    /// False positives cost no more than their verification, so they are not weighed against the false negatives,
    /// which nothing mends. The larger r, the fewer there are.
    package static func shape(
        threshold: Double, permutations: Int
    ) -> (count: Int, rows: Int) {
        var best = (count: permutations, rows: 1)
        var power = 1.0
        for rows in 1...permutations {
            power *= threshold
            let count = permutations / rows
            var missed = 1.0
            for _ in 0..<count { missed *= 1 - power }
            if 1 - missed >= recall { best = (count, rows) }
        }
        return best
    }

    package static func == (one: DuplicateOptions, other: DuplicateOptions) -> Bool {
        one.exact == other.exact && one.near == other.near && one.threshold == other.threshold
            && one.permutations == other.permutations && one.makesSameSignatures(as: other)
    }

    /// Whether signatures that were made with `other` serve.
    package func makesSameSignatures(as other: DuplicateOptions) -> Bool {
        exact == other.exact && near == other.near && shingle == other.shingle
            && shape == other.shape && sketch == other.sketch && seed == other.seed
    }

    func check() {
        let (count, rows) = shape
        precondition(
            threshold > 0 && threshold <= 1 && 1...64 ~= shingle && 1...4096 ~= permutations
                && count >= 1 && rows >= 1 && count * rows <= 4096 && 64...1 << 20 ~= sketch,
            "DuplicateOptions: expected values within their bounds, got \(self)")
    }
}
