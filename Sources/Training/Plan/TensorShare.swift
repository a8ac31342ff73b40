/// What is on the rank of the tensor dimension that holds most. That is the last one: of an axis of n units
/// rank r has ⌊r·n/T⌋ ..< ⌊(r + 1)·n/T⌋, so the last has ⌈n/T⌉ of each.
struct TensorShare {
    /// T.
    let degree: Int
    /// Whether the ranks share the tokens between the split parts too (sequence parallelism).
    let scattersTokens: Bool

    static let whole = TensorShare(degree: 1, scattersTokens: false)

    init(degree: Int, scattersTokens: Bool) {
        (self.degree, self.scattersTokens) = (degree, scattersTokens && degree > 1)
    }

    init(_ configuration: RunConfiguration) {
        let parallelism = configuration.parallelism
        self.init(degree: parallelism.tensor, scattersTokens: parallelism.sequence)
    }

    /// Every token everywhere, as in evaluation.
    var withWholeTokens: TensorShare { TensorShare(degree: degree, scattersTokens: false) }

    /// Whether sums cross ranks.
    var isSplit: Bool { degree > 1 }

    /// Of an axis that is split, its units or slices.
    func held(of count: Int) -> Int { (count + degree - 1) / degree }

    /// Of the tokens between split parts, or their slices.
    func heldTokens(of count: Int) -> Int { scattersTokens ? held(of: count) : count }
}
