/// β · old + (1 − β) · new, from the one with the greater weight towards the other: rounded once, between
/// the two, and with β and 1 − β that add up to 1.
struct MovingMean {
    /// The smaller of the two weights.
    let share: Vector
    let isSlow: Bool

    @inline(__always)
    init(keeping beta: Double) {
        isSlow = beta >= 0.5
        share = Vector(repeating: Float(isSlow ? 1 - beta : beta))
    }

    @inline(__always)
    func mean(_ old: Vector, _ new: Vector) -> Vector {
        isSlow
            ? old.addingProduct(share, new - old) : new.addingProduct(share, old - new)
    }
}
