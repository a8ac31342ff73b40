import Testing
import Training

@Suite struct ConsoleTests {
    /// What is no number has no sign, which some processors set.
    @Test(arguments: [
        Double.nan, -Double.nan, Double(sign: .minus, exponent: 0, significand: .nan),
    ])
    func noNumberHasNoSign(value: Double) {
        #expect(Console.number("loss %.4f", value) == "loss nan")
        #expect(Console.number("loss %.4f", -.infinity) == "loss -inf", "control")
    }
}
