import Optimizers

/// What all ranks know at the end of a step.
public struct StepAgreement: Sendable {
    /// One record a rank.
    public let records: [[Double]]
    /// Of the summed gradient, before clipping; not finite if any element is not.
    public let gradientNorm: Double
    /// Of the first norm block of the summed gradient, in canonical order, that has an element that is not
    /// finite; where all are, of the greatest block.
    public let worstBlockNorm: Double
    /// Whose block that is; nil where the model has no parameter.
    public let worstParameter: String?

    /// Whether the summed gradient may update anything after scaling by `factor`: an update with one that is
    /// not finite, or whose squares would not be, is skipped on every rank.
    public func canEnter(factor: Float) -> Bool {
        GradientNorm.canEnter(blockNorm: worstBlockNorm, factor: factor)
    }
}
