import Glibc
import Kernels
import Testing

@Suite(.everyCompilation)
struct RandomTests {
    /// The known answers that the authors publish with Random123 (kat_vectors, philox4x32 10).
    @Test(arguments: [
        (
            UInt64(0), UInt64(0), UInt64(0),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8] as [UInt32]
        ),
        (
            UInt64.max, UInt64.max, UInt64.max,
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd] as [UInt32]
        ),
        (
            0x85a3_08d3_243f_6a88, 0x0370_7344_1319_8a2e, 0x299f_31d0_a409_3822,
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1] as [UInt32]
        ),
    ])
    func knownAnswers(counter: UInt64, stream: UInt64, key: UInt64, expected: [UInt32]) {
        let words = Philox.words(counter: counter, stream: stream, key: key)
        #expect((0..<4).map { words[$0] } == expected)
        let random = RandomStream(seed: key, stream: stream)
        if counter < 1 << 62 {  // an element's index is at least four times its counter
            #expect((0..<4).map { random.word(at: counter * 4 + $0) } == expected)
        }
        #expect((0..<4).map { words[$0] } != expected.reversed())
    }

    private let stream = RandomStream(seed: 1337, stream: RandomStream.stream(named: "wte"))

    @Test func streamsAndSeedsDiffer() {
        let names = (0..<1000).map { "blocks.\($0).weight" }
        #expect(Set(names.map(RandomStream.stream(named:))).count == 1000)
        let word = stream.word(at: 5)
        #expect(word != RandomStream(seed: 1338, stream: stream.stream).word(at: 5))
        #expect(word != RandomStream(seed: 1337, stream: 0).word(at: 5))
        #expect(word != stream.word(at: 6))
    }

    /// A run of 10¹⁰ steps has as many streams a site; two that met would drop the same elements.
    @Test func streamsOfStepsAndSitesDiffer() {
        let steps = Array(0..<2000) + (0..<2000).map { 9_999_999_999 - $0 }
        let sites = ["embedding"] + (0..<24).map { "h.\($0).attn.scores" }
        let streams = steps.flatMap { step in
            sites.map { RandomStream.stream(named: "dropout/\(step)/\($0)") }
        }
        #expect(Set(streams).count == streams.count)
        #expect(
            Set(streams.map { UInt32(truncatingIfNeeded: $0) }).count < streams.count, "control")
    }

    @Test func uniformStaysBelowOneAndIsUniform() {
        var histogram = [Int](repeating: 0, count: 10)
        for index in 0..<100_000 {
            let value = stream.uniform(at: UInt64(index))
            #expect(value >= 0 && value < 1)
            histogram[Int(value * 10)] += 1
        }
        #expect(histogram.allSatisfy { abs($0 - 10_000) < 500 })
    }

    /// The low word of the counter turns over at 2³⁴ elements, the index itself nowhere.
    @Test(arguments: [0, 5, 1 << 40, 1 << 33 - 7, 1 << 34 - 7, .max - 1001] as [UInt64])
    func normalFollowsItsFormula(first: UInt64) {
        let count = 1001
        var found = [Float](repeating: .nan, count: count)
        kernels.normal(
            stream, into: &found, count: count, firstIndex: first, mean: 2, deviation: 3)
        let exact = (0..<count).map { offset in
            let index = first + UInt64(offset)
            let u = (Double(stream.word(at: index & ~1)) + 0.5) * 0x1p-32
            let angle = Double(stream.word(at: index | 1)) * 0x1p-32 * 2 * Double.pi
            let radius = (-2 * log(u)).squareRoot()
            return 2 + 3 * radius * (index % 2 == 0 ? cos(angle) : sin(angle))
        }
        // Where u is near 1 its rounding to Float32 shows in the small radius.
        #expect(close(found, exact, absolute: 2e-4, relative: 1e-6))
        #expect(!close(found, exact.reversed(), absolute: 2e-4, relative: 1e-6))
    }

    @Test func momentsAreThoseOfTheNormalDistribution() {
        let count = 1_000_000
        var x = [Float](repeating: 0, count: count)
        kernels.normal(stream, into: &x, count: count, firstIndex: 3)
        let n = Double(count)
        let mean = x.reduce(0) { $0 + Double($1) } / n
        let moments = (2...4).map { power in
            x.reduce(0) { $0 + pow(Double($1) - mean, Double(power)) } / n
        }
        #expect(abs(mean) < 0.005)
        #expect(abs(moments[0] - 1) < 0.01)
        #expect(abs(moments[1]) < 0.015)
        #expect(abs(moments[2] - 3) < 0.05)
        let beyond = x.count { abs($0) > 1.959964 }
        #expect(abs(Double(beyond) / n - 0.05) < 0.001)
        let products = zip(x, x.dropFirst()).reduce(0) { $0 + Double($1.0 * $1.1) } / n
        #expect(abs(products) < 0.005)
    }

    @Test func dropoutKeepsByIndexAndScales() {
        let count = 10_007
        let x = values(count, seed: 3)
        var y = x
        kernels.dropout(stream, x, into: &y, count: count, firstIndex: 11, rate: 0.25)
        var scales = x
        kernels.dropoutScales(stream, into: &scales, count: count, firstIndex: 11, rate: 0.25)
        for index in 0..<count {
            let isKept = stream.uniform(at: UInt64(index) + 11) >= 0.25
            #expect(scales[index] == (isKept ? 1 / 0.75 : 0))
            #expect(y[index] == (isKept ? x[index] * (1 / 0.75) : 0))
        }
        #expect(abs(Double(scales.count { $0 == 0 }) / Double(count) - 0.25) < 0.02)
        kernels.dropout(stream, x, into: &y, count: count, firstIndex: 11, rate: 0)
        #expect(same(y, x))
        let bad = [Float](repeating: .nan, count: 64)
        y = bad
        kernels.dropout(stream, bad, into: &y, count: 64, firstIndex: 0, rate: 0.5)
        #expect(y.count { $0 == 0 } > 10)
    }

    /// A half is dropped where a float is, and otherwise scaled in Float32 and rounded once.
    @Test(arguments: pieceLengths + [1_003])
    func dropoutOfHalves(length: Int) {
        let x = rounded(values(1_003, seed: 3), to: .float16)
        let y = withMemory { memory in
            let run = memory.elements(x, .float16)
            inPieces(of: length, x.count) {
                kernels.dropout(
                    stream, run + $0.lowerBound, into: run + $0.lowerBound, count: $0.count,
                    firstIndex: 11 + UInt64($0.lowerBound), rate: 0.25)
            }
            return array(run, x.count)
        }
        var floats = x
        kernels.dropout(stream, x, into: &floats, count: x.count, firstIndex: 11, rate: 0.25)
        #expect(same(y, rounded(floats, to: .float16)))
        #expect(!same(y, floats))
    }

    @Test(arguments: pieceLengths + [45])
    func piecesGiveTheSameBits(length: Int) {
        let count = 517
        let first: UInt64 = 1_000_003
        let x = values(count, seed: 3)
        var whole = [Float](repeating: 0, count: 3 * count)
        var pieces = whole
        x.withUnsafeBufferPointer { x in
            func run(_ out: UnsafeMutablePointer<Float>, _ range: Range<Int>) {
                let start = range.lowerBound
                let index = first + UInt64(start)
                kernels.normal(stream, into: out + start, count: range.count, firstIndex: index)
                kernels.dropout(
                    stream, x.baseAddress! + start, into: out + count + start, count: range.count,
                    firstIndex: index, rate: 0.1)
                kernels.dropoutScales(
                    stream, into: out + 2 * count + start, count: range.count, firstIndex: index,
                    rate: 0.1)
            }
            whole.withUnsafeMutableBufferPointer { run($0.baseAddress!, 0..<count) }
            pieces.withUnsafeMutableBufferPointer { out in
                inPieces(of: length, count) { run(out.baseAddress!, $0) }
            }
        }
        #expect(same(whole, pieces))
        var shifted = whole
        shifted.withUnsafeMutableBufferPointer {
            kernels.normal(stream, into: $0.baseAddress!, count: count, firstIndex: first + 1)
        }
        #expect(!same(whole, shifted))
    }
}
