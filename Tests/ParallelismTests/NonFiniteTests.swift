import Kernels
import Layers
import Parallelism
import Tensors
import Testing

@Suite struct NonFiniteTests {
    @Test(
        arguments: [DType.float32, .float16, .bfloat16],
        [(0, Float.nan), (6, .infinity), (40, -.infinity), (99, .nan)])
    func theFirstElementIsFound(dtype: DType, planted: (index: Int, value: Float)) throws {
        let buffer = Buffer(count: 100, dtype: dtype)
        func set(_ index: Int, _ value: Float) {
            switch dtype {
            case .float16: buffer.halves[index] = Float16(value)
            case .bfloat16: buffer.brains[index] = BFloat16(value)
            default: buffer.floats[index] = value
            }
        }
        for index in 0..<100 { set(index, index % 2 == 0 ? 65504 : -0.0) }
        #expect(buffer.firstNonFinite == nil, "control")
        for index in planted.index..<100 where index % 7 == planted.index % 7 {
            set(index, planted.value)
        }
        let found = try #require(buffer.firstNonFinite)
        #expect(found.index == planted.index)
        #expect(found.value == planted.value || found.value.isNaN && planted.value.isNaN)
        #expect(buffer[planted.index..<100].firstNonFinite?.index == 0)
        #expect(buffer[0..<planted.index].firstNonFinite == nil)
    }

    /// A fused, sliced weight: every place in memory has the place that its run gives it.
    @Test func elementsAreNamedInLogicalOrder() {
        let spec = ShardSpec(
            [3, 30], axis: 1, segments: [.init(units: 5, unitSize: 2), .init(units: 20)], slices: 4)
        func places(_ spec: ShardSpec) -> [Int] {
            let parameter = Parameter("weight", spec, initializer: .zeros)
            return (0..<spec.shape.count).map { parameter.logicalIndex(of: $0) }
        }
        let found = places(spec)
        let expected = spec.runs.flatMap { $0.logicalOffset..<$0.logicalOffset + $0.count }
        #expect(found == expected && Set(found) == Set(0..<90))
        #expect(found != Array(0..<90), "control: memory order is another one")
        #expect(places(ShardSpec(replicated: [7, 3])) == Array(0..<21))
    }
}
