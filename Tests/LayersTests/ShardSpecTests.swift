import Layers
import Tensors
import Testing

@Suite struct ShardSpecTests {
    typealias Segment = ShardSpec.Segment

    static let specs: [ShardSpec] = [
        ShardSpec(replicated: [5, 7]),
        ShardSpec(replicated: []),
        ShardSpec([65, 3], axis: 0, slices: 4),
        ShardSpec([3, 65], axis: 1, slices: 4),
        ShardSpec([2, 5, 3], axis: 1, slices: 2),
        ShardSpec([3, 4], axis: 0, slices: 8),
        ShardSpec([0, 4], axis: 0, slices: 4),
        ShardSpec(
            [24, 5], axis: 0, segments: Array(repeating: Segment(units: 4, unitSize: 2), count: 3),
            slices: 4),
        ShardSpec(
            [5, 18], axis: 1,
            segments: [Segment(units: 5), Segment(units: 1), Segment(units: 6, unitSize: 2)],
            slices: 4),
        ShardSpec(
            [48], axis: 0,
            segments: [Segment(units: 6, unitSize: 4), Segment(units: 3, unitSize: 8)], slices: 3),
    ]

    @Test(arguments: specs)
    func runsCoverMemoryAndLogicalOrderOnce(_ spec: ShardSpec) {
        var memory = [Int](repeating: 0, count: spec.shape.count)
        var logical = memory
        for run in spec.runs {
            for index in 0..<run.count {
                memory[run.memoryOffset + index] += 1
                logical[run.logicalOffset + index] += 1
            }
        }
        #expect(memory.allSatisfy { $0 == 1 })
        #expect(logical.allSatisfy { $0 == 1 })
        #expect(spec.runs.map(\.memoryOffset) == spec.runs.map(\.memoryOffset).sorted())
    }

    @Test(arguments: specs)
    func slicesAreAdjacentRangesOfMemory(_ spec: ShardSpec) {
        var end = 0
        for range in spec.memoryRanges {
            #expect(range.lowerBound == end)
            end = range.upperBound
        }
        #expect(end == spec.shape.count)
        #expect(spec.memoryRanges.count == spec.sliceCount)
    }

    /// Every element against the definition: the slice, then the row, then the segment, then the unit.
    @Test(arguments: specs.filter { $0.axis != nil })
    func memoryOrderIsTheDefinition(_ spec: ShardSpec) throws {
        let axis = try #require(spec.axis)
        let outer = spec.shape.extents[..<axis].reduce(1, *)
        let inner = spec.shape.extents[(axis + 1)...].reduce(1, *)
        var expected: [Int] = []
        for slice in 0..<spec.sliceCount {
            for row in 0..<outer {
                var start = 0
                for segment in spec.segments {
                    for unit in 0..<segment.units
                    where slice
                        == (0..<spec.sliceCount).last(where: {
                            $0 * segment.units / spec.sliceCount <= unit
                        })
                    {
                        for element in 0..<segment.unitSize {
                            let position = start + unit * segment.unitSize + element
                            for column in 0..<inner {
                                expected.append(
                                    (row * spec.shape[axis] + position) * inner + column)
                            }
                        }
                    }
                    start += segment.extent
                }
            }
        }
        var found = [Int](repeating: -1, count: spec.shape.count)
        for run in spec.runs {
            for index in 0..<run.count {
                found[run.memoryOffset + index] = run.logicalOffset + index
            }
        }
        #expect(found == expected)
    }

    @Test func sixtyFiveIntoFourIsUnequal() {
        let spec = ShardSpec([65, 2], axis: 0, slices: 4)
        #expect(spec.axisBorders == [0, 16, 32, 48, 65])
        #expect(spec.memoryRanges == [0..<32, 32..<64, 64..<96, 96..<130])
    }

    @Test func aFusedWeightIsSliceMajor() {
        // q0 q1 | k0 k1 | v0 v1, one element each: memory is q0 k0 v0 q1 k1 v1.
        let spec = ShardSpec(
            [6], axis: 0, segments: Array(repeating: Segment(units: 2), count: 3), slices: 2)
        #expect(spec.runs.map(\.logicalOffset) == [0, 2, 4, 1, 3, 5])
        // The control: without segments the order is the logical one.
        #expect(ShardSpec([6], axis: 0, slices: 2).runs.map(\.logicalOffset) == [0, 3])
    }
}
