/// The factor of the loss in the backward pass (Micikevicius et al. 2018): it keeps small gradients from
/// vanishing in Float16. Always a power of two, so that dividing by it again is exact.
///
/// The dynamic rule is Megatron's: the scale doubles after 2,000 good steps in a row, up to 2²⁴; an
/// overflow starts that count anew. The first overflow since the scale last grew (or the run began) is
/// tolerated; the second, and each one after it until 2,000 good steps have passed, halves the scale,
/// down to 1. With any rule a step that overflows is skipped.
public struct LossScale: Hashable, Sendable {
    public enum Policy: String, Hashable, Sendable, CaseIterable {
        /// The factor is 1.
        case none
        /// The factor is the configuration's and stays.
        case `static`
        case dynamic
    }

    /// Where the dynamic scale starts.
    public static let start = 1 << 16
    /// The highest scale.
    public static let limit = 1 << 24
    /// Good steps in a row after which the scale doubles.
    public static let growthInterval = 2000
    /// The overflow, counted from the last growth, at which the scale is first halved.
    public static let tolerance = 2
    /// Bad steps in a row that end a run whose scale cannot be lowered.
    public static let patience = 8

    public let policy: Policy
    public private(set) var scale: Int
    /// Good steps since the last overflow or growth; counted by the dynamic rule alone.
    public private(set) var goodSteps = 0
    /// At which overflow from now the scale is halved: 1 is the next.
    public private(set) var hysteresis = LossScale.tolerance
    /// Bad steps in a row that were taken with a scale that cannot be lowered. Saved with a dynamic scale,
    /// so that a run that is started again every few steps ends all the same. Of the other policies a
    /// checkpoint holds nothing, which keeps its digest the same whatever the scale: there it counts anew.
    public private(set) var lostSteps = 0

    /// - Parameter staticScale: a power of two up to `limit`; of no effect on the other policies.
    public init(_ policy: Policy, staticScale: Int = LossScale.start) {
        self.policy = policy
        switch policy {
        case .none: scale = 1
        case .static: scale = staticScale
        case .dynamic: scale = LossScale.start
        }
        precondition(
            LossScale.isScale(scale), "LossScale: expected a power of two, got \(scale)")
    }

    /// A dynamic scale as it was saved; nil where it cannot have been.
    public init?(savedScale scale: Int, goodSteps: Int, hysteresis: Int, lostSteps: Int = 0) {
        guard LossScale.isScale(scale), (0..<LossScale.growthInterval).contains(goodSteps),
            (1...LossScale.tolerance).contains(hysteresis),
            (0..<LossScale.patience).contains(lostSteps),
            lostSteps == 0 || (scale == 1 && goodSteps == 0)
        else { return nil }
        policy = .dynamic
        (self.scale, self.goodSteps) = (scale, goodSteps)
        (self.hysteresis, self.lostSteps) = (hysteresis, lostSteps)
    }

    /// Whether a bad step cannot be answered by a lower scale.
    private var isAtFloor: Bool { policy != .dynamic || scale == 1 }

    /// Whether a bad step would be the last one.
    public var isLastChance: Bool { isAtFloor && lostSteps == LossScale.patience - 1 }

    /// Whether so many steps in a row were bad, with nothing left to lower, that the run has diverged.
    public var hasDiverged: Bool { lostSteps >= LossScale.patience }

    /// Takes note of a step: whether its losses and gradients were finite on every rank.
    public mutating func update(isFinite: Bool) {
        guard isFinite else {
            lostSteps = isAtFloor ? lostSteps + 1 : 0
            if policy == .dynamic { overflow() }
            return
        }
        lostSteps = 0
        guard policy == .dynamic else { return }
        goodSteps += 1
        guard goodSteps == LossScale.growthInterval else { return }
        (goodSteps, hysteresis) = (0, LossScale.tolerance)
        scale = min(LossScale.limit, 2 * scale)
    }

    private mutating func overflow() {
        goodSteps = 0
        if hysteresis > 1 {
            hysteresis -= 1
        } else {
            scale = max(1, scale / 2)
        }
    }

    private static func isScale(_ scale: Int) -> Bool {
        (1...limit).contains(scale) && scale & (scale - 1) == 0
    }
}
