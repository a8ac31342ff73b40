// Sharding is data on the parameter: this file says how a logical tensor lies in memory, and which part
// of it a slice is. Checkpoints, the optimizer and parallelism read it; no layer does.

import Tensors

/// How a tensor's global logical shape is cut into the canonical slices of one axis.
///
/// The axis is an ordered list of *segments* (q, k, v; gate, up), each cut into the same number of
/// slices at whole *units* (a head, an element): slice i of a segment of n units holds units
/// ⌊i·n/S⌋ ..< ⌊(i+1)·n/S⌋. In memory a sharded tensor is slice-major: slice 0 of every segment, then
/// slice 1 of every segment, each slice row-major. So a slice, and any run of slices that a rank
/// holds, is one contiguous range, and one product. Checkpoints and digests have the logical order.
public struct ShardSpec: Hashable, Sendable {
    /// One segment of the sharded axis.
    public struct Segment: Hashable, Sendable {
        public let units: Int
        /// Elements of the axis a unit takes.
        public let unitSize: Int

        public init(units: Int, unitSize: Int = 1) {
            (self.units, self.unitSize) = (units, unitSize)
        }

        public var extent: Int { units * unitSize }
    }

    /// A run of elements that is contiguous in memory and in logical order alike.
    public struct Run: Hashable, Sendable {
        public let memoryOffset: Int
        public let logicalOffset: Int
        public let count: Int
    }

    /// Global logical shape, without padding.
    public let shape: Shape
    /// The axis that may be split across ranks; nil: replicated.
    public let axis: Int?
    public let segments: [Segment]
    /// S, `numerics.slices`; 1 for a replicated tensor.
    public let sliceCount: Int

    /// A tensor of which every rank holds the whole.
    public init(replicated shape: Shape) {
        (self.shape, axis, segments, sliceCount) = (shape, nil, [], 1)
    }

    /// A tensor cut along `axis` into `slices`; without segments the axis is one, of single elements.
    public init(_ shape: Shape, axis: Int, segments: [Segment]? = nil, slices: Int) {
        let segments = segments ?? [Segment(units: shape[axis])]
        let extent = segments.reduce(0) { $0 + $1.extent }
        precondition(
            extent == shape[axis],
            "ShardSpec: segments cover \(extent) of axis \(axis) of \(shape)")
        precondition(slices > 0, "ShardSpec: expected at least one slice, got \(slices)")
        (self.shape, self.axis, self.segments, sliceCount) = (shape, axis, segments, slices)
    }

    /// Elements of the sharded axis that slice `index` holds, summed over the segments.
    public func extent(ofSlice index: Int) -> Int {
        segments.reduce(0) { $0 + range(of: $1, slice: index).count }
    }

    /// Borders of the slices along the sharded axis in memory order: `sliceCount` + 1 offsets.
    public var axisBorders: [Int] {
        (0..<sliceCount).reduce(into: [0]) { $0.append($0.last! + extent(ofSlice: $1)) }
    }

    /// Where each slice lies in memory, in elements.
    public var memoryRanges: [Range<Int>] {
        guard let axis else { return [0..<shape.count] }
        let perElement = shape.count / max(1, shape[axis])
        let borders = axisBorders
        return (0..<sliceCount).map { borders[$0] * perElement..<borders[$0 + 1] * perElement }
    }

    /// Every contiguous run, in memory order. Together they cover the tensor once.
    public var runs: [Run] {
        guard let axis else {
            return [Run(memoryOffset: 0, logicalOffset: 0, count: shape.count)]
        }
        let outer = shape.extents[..<axis].reduce(1, *)
        let inner = shape.extents[(axis + 1)...].reduce(1, *)
        var runs: [Run] = []
        var memory = 0
        for slice in 0..<sliceCount {
            for row in 0..<outer {
                var segmentStart = 0
                for segment in segments {
                    let part = range(of: segment, slice: slice)
                    let logical = (row * shape[axis] + segmentStart + part.lowerBound) * inner
                    let count = part.count * inner
                    if count > 0 {
                        runs.append(Run(memoryOffset: memory, logicalOffset: logical, count: count))
                    }
                    memory += count
                    segmentStart += segment.extent
                }
            }
        }
        return runs
    }

    /// Where the segments of some slices lie along the sharded axis in memory, counted from the first of
    /// these slices: by slice, then by segment.
    public func segmentRanges(ofSlices slices: Range<Int>) -> [[Range<Int>]] {
        var position = 0
        return slices.map { slice in
            segments.map { segment in
                let start = position
                position += range(of: segment, slice: slice).count
                return start..<position
            }
        }
    }

    private func range(of segment: Segment, slice: Int) -> Range<Int> {
        let lower = slice * segment.units / sliceCount
        let upper = (slice + 1) * segment.units / sliceCount
        return lower * segment.unitSize..<upper * segment.unitSize
    }
}
