import Kernels
import Testing

private let counts = [0, 1, 15, 16, 17, 1003, 5000]

@Suite(.everyCompilation)
struct ElementwiseTests {
    @Test(arguments: counts)
    func sumsAndScales(count: Int) {
        let a = values(count, seed: 1)
        let b = values(count, seed: 2)
        var out = [Float](repeating: .nan, count: count)
        kernels.add(a, b, into: &out, count: count)
        #expect(same(out, zip(a, b).map(+)))
        kernels.accumulate(b, into: &out, count: count)
        #expect(same(out, zip(a, b).map { $0 + $1 + $1 }))
        out = a
        kernels.scale(&out, by: 0.3, count: count)
        #expect(same(out, a.map { $0 * 0.3 }))
    }

    @Test(arguments: [1, 2, 4, 8], [0, 1, 100, 2500])
    func treeIsThePerfectBinaryOne(slices: Int, count: Int) {
        let stride = count + 3
        let original = values(slices * stride, seed: 1)
        var partials = original
        kernels.treeAdd(&partials, slices: slices, stride: stride, count: count)
        func root(_ range: Range<Int>, _ index: Int) -> Float {
            if range.count == 1 { return original[range.lowerBound * stride + index] }
            let middle = range.lowerBound + range.count / 2
            return root(range.lowerBound..<middle, index) + root(middle..<range.upperBound, index)
        }
        let expected = (0..<count).map { root(0..<slices, $0) }
        #expect(same(Array(partials[..<count]), expected))
        if slices > 2 && count == 2500 {
            let inOrder = (0..<count).map { index in
                (0..<slices).reduce(Float(0)) { $0 + original[$1 * stride + index] }
            }
            #expect(!same(inOrder, expected))
        }
    }

    @Test(arguments: [0, 1, 7, 16, 4095, 4096])
    func sumOfSquaresIsFloat64(count: Int) {
        let x = values(count, seed: 1)
        let exact = x.reduce(0) { $0 + Double($1) * Double($1) }
        let found = kernels.sumOfSquares(x, count: count)
        #expect(abs(found - exact) <= 1e-14 * exact)
        if count > 0 {
            var other = x
            other[count / 2] += 0.001
            #expect(abs(kernels.sumOfSquares(other, count: count) - exact) > 1e-14 * exact)
        }
    }

    @Test(arguments: pieceLengths)
    func piecesGiveTheSameBits(length: Int) {
        let count = 1003
        let a = values(count, seed: 1)
        let b = values(count, seed: 2)
        var whole = [Float](repeating: 0, count: count)
        var pieces = whole
        func compare(_ body: (UnsafeMutablePointer<Float>, Range<Int>) -> Void) {
            whole = b
            pieces = b
            whole.withUnsafeMutableBufferPointer { body($0.baseAddress!, 0..<count) }
            pieces.withUnsafeMutableBufferPointer { out in
                inPieces(of: length, count) { body(out.baseAddress! + $0.lowerBound, $0) }
            }
            #expect(same(whole, pieces))
            pieces[count / 2] = pieces[count / 2].nextUp
            #expect(!same(whole, pieces))
        }
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                let (a, b) = (a.baseAddress!, b.baseAddress!)
                compare { out, range in
                    kernels.add(
                        a + range.lowerBound, b + range.lowerBound, into: out, count: range.count)
                }
                compare { out, range in
                    kernels.accumulate(a + range.lowerBound, into: out, count: range.count)
                }
                compare { out, range in kernels.scale(out, by: 0.7, count: range.count) }
            }
        }
    }
}
