import Foundation

/// The learning rate of each step: a linear warm-up, then a decay.
///
/// Step s counts from 0. Warm-up: rate·(s + 1)/W for s < W, so that the first step already learns and
/// step W has the full rate. Then, with u = (s − W)/(D − W) held to 0…1 and f the final ratio:
/// constant 1; linear 1 − (1 − f)·u; cosine f + (1 − f)·(1 + cos πu)/2 (Loshchilov and Hutter 2017);
/// exponential f^u; inverse square root √(W/s) with W at least 1 (Vaswani et al. 2017), not below f.
public struct Schedule: Hashable, Sendable {
    public enum Decay: String, Hashable, Sendable, CaseIterable {
        case constant
        case linear
        case cosine
        case exponential
        case inverseSquareRoot = "inverse_square_root"
    }

    public var learningRate: Double
    /// W.
    public var warmupSteps: Int
    public var decay: Decay
    /// D: the step at which the decay ends.
    public var decaySteps: Int
    /// f: the last rate over the highest.
    public var finalRatio: Double

    public init(
        learningRate: Double, warmupSteps: Int = 0, decay: Decay = .constant, decaySteps: Int = 0,
        finalRatio: Double = 0
    ) {
        (self.learningRate, self.warmupSteps, self.decay) = (learningRate, warmupSteps, decay)
        (self.decaySteps, self.finalRatio) = (decaySteps, finalRatio)
    }

    public func learningRate(at step: Int) -> Double {
        guard step >= warmupSteps else {
            return learningRate * Double(step + 1) / Double(warmupSteps)
        }
        let span = Double(max(1, decaySteps - warmupSteps))
        let progress = min(1, Double(step - warmupSteps) / span)
        let factor =
            switch decay {
            case .constant: 1.0
            case .linear: 1 - (1 - finalRatio) * progress
            case .cosine: finalRatio + (1 - finalRatio) * (1 + cos(.pi * progress)) / 2
            case .exponential: pow(finalRatio, progress)
            case .inverseSquareRoot:
                max(
                    finalRatio,
                    (Double(max(1, warmupSteps)) / Double(max(1, warmupSteps, step))).squareRoot())
            }
        return learningRate * factor
    }
}
