import Optimizers
import Tensors
import Testing

@Suite struct GradientNormTests {
    @Test func slicesAreCutIntoBlocks() {
        #expect(
            GradientNorm.blocks(of: 100..<10_100)
                == [100..<4196, 4196..<8292, 8292..<10_100])
        #expect(GradientNorm.blocks(of: 7..<4103) == [7..<4103])
        #expect(GradientNorm.blocks(of: 7..<7).isEmpty)
    }

    @Test func sumsOfSquaresAreThoseOfTheirBlocks() {
        var values = (0..<10_000).map { Float(($0 &* 7919) % 2003) / 1000 - 1 }
        let blocks = GradientNorm.blocks(of: 3..<9_990)
        func check() -> [Bool] {
            let found = GradientNorm.sumsOfSquares(
                Tensor(values, shape: [10_000]).buffer, blocks: blocks)
            return zip(found, expected).map { abs($0 - $1) <= 1e-12 * $1 + 1e-300 }
        }
        let expected = blocks.map { block in
            block.reduce(0) { $0 + Double(values[$1]) * Double(values[$1]) }
        }
        #expect(check() == [true, true, true])
        values[5000] += 0.01
        #expect(check() == [true, false, true], "control: a changed element is not seen")
    }

    /// 100 ones vanish beside 10¹⁶ one by one, and count when they come first.
    @Test func sumsAreAddedInTheirOrder() {
        let sums = [1e16] + [Double](repeating: 1, count: 100)
        #expect(GradientNorm.norm(ofSums: sums) == 1e8)
        #expect(GradientNorm.norm(ofSums: sums.reversed()) > 1e8)
        #expect(GradientNorm.norm(ofSums: []) == 0)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func anyElementThatIsNotFiniteShows(value: Float) {
        var values = [Float](repeating: 1, count: 5000)
        values[4999] = value
        let sums = GradientNorm.sumsOfSquares(
            Tensor(values, shape: [5000]).buffer, blocks: GradientNorm.blocks(of: 0..<5000))
        #expect(sums[0] == 4096 && !GradientNorm.norm(ofSums: sums).isFinite)
    }

    /// The greatest finite gradient does not overflow on its way.
    @Test func greatGradientsAreFinite() {
        let values = [Float](repeating: .greatestFiniteMagnitude, count: 5000)
        let sums = GradientNorm.sumsOfSquares(
            Tensor(values, shape: [5000]).buffer, blocks: GradientNorm.blocks(of: 0..<5000))
        #expect(GradientNorm.norm(ofSums: sums).isFinite)
    }

    /// The second moment takes squares in Float32.
    @Test(
        arguments: [
            (1.7e19, 1, true), (1.9e19, 1, false), (1.9e19, 0.5, true), (1.7e23, 0x1p-16, true),
            (1.9e24, 0x1p-16, false), (.infinity, 0, false), (.infinity, 1e-30, false),
            (.nan, 1, false), (1, 0, false), (1, .nan, false), (0, 1, true),
        ] as [(Double, Float, Bool)])
    func whatEntersHasAFiniteSquare(norm: Double, factor: Float, enters: Bool) {
        #expect(GradientNorm.canEnter(blockNorm: norm, factor: factor) == enters)
        let entering = Float(norm) * factor
        #expect(!enters || (entering * entering).isFinite, "control")
    }

    @Test(
        arguments: [
            (4, 1, 1 / (4 + 1e-6)), (1, 1, 1 / (1 + 1e-6)), (0.5, 1, 1), (0, 1, 1), (4, 0, 1),
        ] as [(Double, Double, Double)])
    func clipping(norm: Double, limit: Double, factor: Double) {
        #expect(GradientNorm.clipFactor(norm: norm, limit: limit) == factor)
    }
}
