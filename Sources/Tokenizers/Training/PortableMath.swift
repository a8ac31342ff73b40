// A trained vocabulary has the same bits on every machine, so its arithmetic leans on no C library: the logarithms of two
// versions, or of one on two processors, differ in the last bit.

/// Functions of additions, multiplications and divisions alone, exact to about 1e-15 of their value.
package enum PortableMath {
    private static let logarithmOf2 = 0x1.62e42fefa39efp-1
    /// The upper bits of log 2, whose product with a small whole number is exact, and the rest.
    private static let logarithmOf2High = 0x1.62e42feep-1
    private static let logarithmOf2Low = 0x1.a39ef35793c76p-33

    /// log x, for x > 0.
    ///
    /// x = 2^e m with m near 1; log m = 2 artanh s = 2 (s + s³/3 + s⁵/5 + …), s = (m - 1)/(m + 1), |s| < 0.172.
    package static func logarithm(_ x: Double) -> Double {
        var (exponent, significand) = (Double(x.exponent), x.significand)
        if significand > 1.414213562373095 {
            significand *= 0.5
            exponent += 1
        }
        let s = (significand - 1) / (significand + 1)
        let square = s * s
        var series = 1.0 / 23
        for divisor in stride(from: 21, through: 1, by: -2) {
            series = series * square + 1 / Double(divisor)
        }
        return exponent * logarithmOf2 + 2 * s * series
    }

    /// e^x, for x of -700 to 700.
    ///
    /// e^x = 2^k e^r with |r| < 0.35, and e^r = 1 + r (1 + r/2 (1 + r/3 (…))).
    package static func exponential(_ x: Double) -> Double {
        let k = (x / logarithmOf2).rounded()
        let r = (x - k * logarithmOf2High) - k * logarithmOf2Low
        var series = 1.0
        for divisor in (1...16).reversed() { series = 1 + r / Double(divisor) * series }
        return Double(sign: .plus, exponent: Int(k), significand: series)
    }

    /// ψ(x), the derivative of log Γ(x), for x > 0.
    ///
    /// ψ(x) = ψ(x + 1) - 1/x up to 10; there log x - 1/(2x) - 1/(12x²) + 1/(120x⁴) - 1/(252x⁶) + 1/(240x⁸) - 1/(132x¹⁰).
    static func digamma(_ x: Double) -> Double {
        var (x, below) = (x, 0.0)
        while x < 10 {
            below += 1 / x
            x += 1
        }
        let inverse = 1 / (x * x)
        var series = 1.0 / 240 - inverse / 132
        series = 1.0 / 252 - inverse * series
        series = 1.0 / 120 - inverse * series
        series = 1.0 / 12 - inverse * series
        return logarithm(x) - 0.5 / x - inverse * series - below
    }
}

/// The choice of the largest of some values.
enum LargestValues {
    /// Marks the `count` largest of `values`; of equal ones those that come first. No value is NaN.
    static func marks(_ count: Int, of values: [Double]) -> [Bool] {
        guard count < values.count else { return [Bool](repeating: true, count: values.count) }
        guard count > 0 else { return [Bool](repeating: false, count: values.count) }
        let last = value(at: count - 1, of: values)
        var equals = count
        for value in values where value > last { equals -= 1 }
        return values.map { value in
            if value == last {
                equals -= 1
                return equals >= 0
            }
            return value > last
        }
    }

    /// The value that would stand at `rank` if the largest stood first: narrows the range where it lies around a value of
    /// that range (Hoare's selection).
    private static func value(at rank: Int, of values: [Double]) -> Double {
        var values = values
        var (low, high) = (0, values.count)
        while high - low > 1 {
            let ends = (values[low], values[high - 1])
            let middle = values[low + (high - low) / 2]
            let pivot = max(min(ends.0, ends.1), min(max(ends.0, ends.1), middle))
            // Larger ones to low..<larger, equal ones to larger..<next, smaller ones to smaller..<high.
            var (larger, next, smaller) = (low, low, high)
            while next < smaller {
                if values[next] > pivot {
                    values.swapAt(larger, next)
                    larger += 1
                    next += 1
                } else if values[next] < pivot {
                    smaller -= 1
                    values.swapAt(next, smaller)
                } else {
                    next += 1
                }
            }
            if rank < larger {
                high = larger
            } else if rank >= smaller {
                low = smaller
            } else {
                return pivot
            }
        }
        return values[low]
    }
}
