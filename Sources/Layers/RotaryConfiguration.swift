import Kernels
import Tensors

#if canImport(Glibc)
    import Glibc
#endif

/// Rotary positions as a model's file describes them (Su et al. 2021), with the ways of stretching them to
/// contexts longer than those of the training.
///
/// Without scaling the frequency of pair i is f(i) = θ^(−2i/d), and the angle at position p is p·f(i).
/// Frequencies and angles are made in Float32 step by step as transformers makes them, since at position
/// 8,000 one unit in a frequency's last place is 10⁻³ of an angle; cosine and sine of the Float32 angle are
/// taken in Float64 and rounded once.
public struct RotaryConfiguration: Hashable, Sendable {
    /// How frequencies are changed. `original` is the context length of the first training.
    public enum Scaling: Hashable, Sendable {
        case none
        /// f/factor (Chen et al. 2023, position interpolation).
        case linear(factor: Double)
        /// θ·((factor·n/original) − (factor − 1))^(d/(d − 2)) for a table of n > `original` positions.
        case dynamic(factor: Double, original: Int)
        case yarn(YaRN)
        case llama3(Llama3)
    }

    /// YaRN (Peng et al. 2023, section 3): pairs that turn more often than `betaFast` within `original` keep
    /// their frequency, those that turn less than `betaSlow` get f/factor, with a ramp between.
    public struct YaRN: Hashable, Sendable {
        public var factor: Double
        public var original: Int
        public var betaFast = 32.0
        public var betaSlow = 1.0
        /// Multiplies cosines and sines; nil: 0.1·ln(factor) + 1, or what the two below say.
        public var attentionFactor: Double?
        /// (0.1·scale·ln(factor) + 1)/(0.1·scaleOfAll·ln(factor) + 1), where both are given (DeepSeek).
        public var scale: Double?
        public var scaleOfAll: Double?
        /// Whether the ramp's ends are rounded outwards to whole pairs.
        public var truncates = true

        public init(factor: Double, original: Int) {
            (self.factor, self.original) = (factor, original)
        }
    }

    /// Llama 3.1's: by the wavelength 2π/f, long ones f/factor, short ones f, and smooth between
    /// original/`lowFactor` and original/`highFactor`.
    public struct Llama3: Hashable, Sendable {
        public var factor: Double
        public var lowFactor: Double
        public var highFactor: Double
        public var original: Int

        public init(factor: Double, lowFactor: Double, highFactor: Double, original: Int) {
            (self.factor, self.lowFactor, self.highFactor, self.original) =
                (factor, lowFactor, highFactor, original)
        }
    }

    /// θ.
    public var base: Double
    /// d, even: the first features of a head that are rotated.
    public var rotaryDimension: Int
    public var pairs: RotaryPairs
    public var scaling: Scaling

    public init(
        base: Double = 10_000, rotaryDimension: Int, pairs: RotaryPairs = .half,
        scaling: Scaling = .none
    ) {
        precondition(
            rotaryDimension > 0 && rotaryDimension % 2 == 0,
            "RotaryConfiguration: an even number of features expected, found \(rotaryDimension)")
        (self.base, self.rotaryDimension, self.pairs, self.scaling) =
            (base, rotaryDimension, pairs, scaling)
    }

    /// Of each pair, in radians a position, for a context of so many positions (only `dynamic` looks at it).
    public func frequencies(positions: Int) -> [Float] {
        switch scaling {
        case .none: return plainFrequencies(base: base)
        case .linear(let factor): return plainFrequencies(base: base).map { $0 / Float(factor) }
        case .dynamic(let factor, let original):
            guard positions > original else { return plainFrequencies(base: base) }
            let growth = factor * Double(positions) / Double(original) - (factor - 1)
            let exponent = Double(rotaryDimension) / Double(rotaryDimension - 2)
            return plainFrequencies(base: base * pow(growth, exponent))
        case .yarn(let yarn): return frequencies(yarn)
        case .llama3(let llama): return plainFrequencies(base: base).map { scaled($0, llama) }
        }
    }

    /// What cosines and sines are multiplied by, so that scores of longer contexts stay as sharp.
    public var attentionFactor: Double {
        guard case .yarn(let yarn) = scaling else { return 1 }
        if let factor = yarn.attentionFactor { return factor }
        func sharpness(_ scale: Double) -> Double {
            yarn.factor <= 1 ? 1 : 0.1 * scale * log(yarn.factor) + 1
        }
        guard let scale = yarn.scale, let scaleOfAll = yarn.scaleOfAll, scale != 0, scaleOfAll != 0
        else { return sharpness(1) }
        return sharpness(scale) / sharpness(scaleOfAll)
    }

    /// The table of positions 0 ..< `positions`.
    public func table(positions: Int) -> RotaryTable {
        let frequencies = frequencies(positions: positions)
        let shape: Shape = [positions, frequencies.count]
        let (cosines, sines) = (Tensor(uninitialized: shape), Tensor(uninitialized: shape))
        let factor = Float(attentionFactor)
        let (cosineOf, sineOf) = (cosines.buffer, sines.buffer)
        parallelRuns(of: positions, length: 64) { run in
            for position in run {
                for (pair, frequency) in frequencies.enumerated() {
                    let angle = Double(Float(position) * frequency)
                    let index = position * frequencies.count + pair
                    cosineOf.floats[index] = Float(cos(angle)) * factor
                    sineOf.floats[index] = Float(sin(angle)) * factor
                }
            }
        }
        return RotaryTable(cosines: cosines, sines: sines, pairs: pairs)
    }

    /// θ^(2i/d), each rounded to Float32 from the Float32 exponent.
    private func wavelengths(base: Double) -> [Float] {
        (0..<rotaryDimension / 2).map {
            let exponent = Float(2 * $0) / Float(rotaryDimension)
            return Float(pow(Double(Float(base)), Double(exponent)))
        }
    }

    private func plainFrequencies(base: Double) -> [Float] {
        wavelengths(base: base).map { 1 / $0 }
    }

    private func frequencies(_ yarn: YaRN) -> [Float] {
        let dimension = Double(rotaryDimension)
        /// The pair, as a number with a fraction, that turns so often within the original context.
        func pair(turning turns: Double) -> Double {
            dimension * log(Double(yarn.original) / (turns * 2 * Double.pi)) / (2 * log(base))
        }
        var (low, high) = (pair(turning: yarn.betaFast), pair(turning: yarn.betaSlow))
        if yarn.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, dimension - 1))
        if low == high { high += 0.001 }
        return wavelengths(base: base).enumerated().map { pair, wavelength in
            let ramp = (Float(pair) - Float(low)) / Float(high - low)
            let kept = 1 - min(max(ramp, 0), 1)
            let (own, stretched) = (1 / wavelength, 1 / (Float(yarn.factor) * wavelength))
            return stretched * (1 - kept) + own * kept
        }
    }

    private func scaled(_ frequency: Float, _ llama: Llama3) -> Float {
        let original = Float(llama.original)
        let wavelength = Float(2 * Double.pi) / frequency
        let (longest, shortest) = (
            original / Float(llama.lowFactor), original / Float(llama.highFactor)
        )
        if wavelength > longest { return frequency / Float(llama.factor) }
        if wavelength < shortest { return frequency }
        let smooth =
            (original / wavelength - Float(llama.lowFactor))
            / Float(llama.highFactor - llama.lowFactor)
        return (1 - smooth) * frequency / Float(llama.factor) + smooth * frequency
    }
}
