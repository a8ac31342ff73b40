import Layers
import Parallelism
import Tensors
import Testing

@Suite struct FlatLayoutTests {
    /// Odd shapes, uneven slices, several norm blocks a slice, slices without elements, and frozen
    /// parameters at both ends and in the middle.
    private static func parameters() -> [Parameter] {
        func parameter(_ name: String, _ spec: ShardSpec, isTrainable: Bool = true) -> Parameter {
            Parameter(name, spec, initializer: .zeros, isTrainable: isTrainable)
        }
        return [
            parameter("first", ShardSpec(replicated: [5]), isTrainable: false),
            parameter("table", ShardSpec([301, 67], axis: 0, slices: 4)),
            parameter("one", ShardSpec(replicated: [1])),
            parameter("none", ShardSpec(replicated: [0])),
            parameter(
                "fused",
                ShardSpec(
                    [36, 7], axis: 0,
                    segments: Array(repeating: .init(units: 3, unitSize: 4), count: 3),
                    slices: 4)),
            parameter("frozen", ShardSpec(replicated: [16]), isTrainable: false),
            parameter("columns", ShardSpec([19, 1031], axis: 1, slices: 2)),
            parameter("bias", ShardSpec(replicated: [16])),
            parameter("exact", ShardSpec([64, 256], axis: 0, slices: 4)),
            parameter("last", ShardSpec(replicated: [33]), isTrainable: false),
        ]
    }

    private static func layout(ranks: Int, bucketBytes: Int) -> FlatLayout {
        FlatLayout(parameters: parameters(), ranks: ranks, bucketBytes: bucketBytes)
    }

    /// How often each element of flat memory is in one of the ranges.
    private static func coverage(_ ranges: [Range<Int>], of count: Int) -> [Int] {
        ranges.reduce(into: Array(repeating: 0, count: count)) { counts, range in
            for index in range { counts[index] += 1 }
        }
    }

    private static func trainable(_ layout: FlatLayout) -> [Int] {
        coverage(
            layout.entries.filter(\.parameter.leaf.isTrainable).map(\.range), of: layout.count)
    }

    @Test func parametersLieBehindEachOtherOnCacheLines() {
        let layout = Self.layout(ranks: 1, bucketBytes: 1024)
        for entry in layout.entries {
            #expect(entry.range.count == Self.parameters()[entry.number].count)
            let isFrozen = !entry.parameter.leaf.isTrainable
            #expect(
                isFrozen
                    ? entry.range.lowerBound >= layout.trainableCount
                    : entry.range.upperBound <= layout.trainableCount)
        }
        #expect(layout.entries.map(\.number) == [1, 2, 3, 4, 6, 7, 8, 0, 5, 9])
        #expect(layout.entries.allSatisfy { $0.range.lowerBound % 16 == 0 })
        #expect(
            zip(layout.entries, layout.entries.dropFirst()).allSatisfy {
                $0.range.upperBound <= $1.range.lowerBound
            })
        #expect(layout.entries.last!.range.upperBound <= layout.count)
    }

    @Test func blocksCoverWhatIsTrainableOnce() {
        let layout = Self.layout(ranks: 1, bucketBytes: 1024)
        let covered = Self.coverage(layout.blocks, of: layout.count)
        #expect(covered == Self.trainable(layout))
        #expect(layout.blocks.allSatisfy { (1...4096).contains($0.count) })
        #expect(
            Self.coverage(Array(layout.blocks.dropLast()), of: layout.count) != covered,
            "control: a block that is left out is not seen")
    }

    @Test(arguments: [1, 2, 3, 4, 5], [1, 1024, 16_384, 50_000, 1 << 30])
    func bucketsAndPiecesCoverEveryBlockOnce(ranks: Int, bucketBytes: Int) throws {
        let layout = Self.layout(ranks: ranks, bucketBytes: bucketBytes)
        #expect(layout.blocks == Self.layout(ranks: 1, bucketBytes: 1024).blocks)

        // From the end of memory to its start, without frozen elements or an element twice.
        let descending = layout.buckets.map(\.range)
        #expect(
            zip(descending, descending.dropFirst()).allSatisfy { $0.lowerBound >= $1.upperBound })
        for block in layout.blocks {
            #expect(descending.count { $0.contains(block.lowerBound) } == 1)
            #expect(descending.contains { $0.clamped(to: block) == block })
        }
        let frozen = layout.entries.filter { !$0.parameter.leaf.isTrainable }
        #expect(!frozen.contains { entry in descending.contains { $0.overlaps(entry.range) } })

        let starts = Set(layout.blocks.map(\.lowerBound))
        for bucket in layout.buckets {
            #expect(
                bucket.pieces.count == ranks && bucket.counts.reduce(0, +) == bucket.range.count)
            var next = bucket.range.lowerBound
            for piece in bucket.pieces {
                #expect(piece.lowerBound == next)
                #expect(starts.contains(next) || next == bucket.range.upperBound)
                next = piece.upperBound
            }
            for (index, entry) in layout.entries.enumerated()
            where entry.range.overlaps(bucket.range) {
                #expect(bucket.entries.contains(index))
            }
        }
        let owned = (0..<ranks).flatMap { layout.toldBlocks(of: $0) }
        #expect(owned.sorted() == Array(layout.blocks.indices))
    }

    @Test func bucketsHaveTheSizeThatWasAskedFor() {
        let one = Self.layout(ranks: 2, bucketBytes: 1)
        #expect(one.buckets.count == one.blocks.count)
        // Frozen parameters in the middle of the model do not cut memory.
        #expect(Self.layout(ranks: 2, bucketBytes: 1 << 30).buckets.count == 1)
        for bucket in Self.layout(ranks: 2, bucketBytes: 40_000).buckets.dropLast() {
            #expect(bucket.range.count < 10_000 + 4096 + 16)
        }
    }

    /// Four even shares of a bucket of many blocks differ by at most a block.
    @Test func piecesAreAboutTheSame() {
        let bucket = Self.layout(ranks: 4, bucketBytes: 1 << 30).buckets[0]
        let share = bucket.range.count / 4
        #expect(bucket.counts.allSatisfy { abs($0 - share) <= 4096 + 16 }, "\(bucket.counts)")
    }

    // MARK: Where the tensor dimension splits parameters

    /// What rank `rank` of `tensor` holds, in the layout of every rank of its data dimension.
    private static func layout(ranks: Int, tensorRank: Int, of tensor: Int) -> FlatLayout {
        let parameters = parameters()
        for parameter in parameters where parameter.spec.axis != nil {
            let count = parameter.spec.sliceCount / tensor
            parameter.hold(
                HeldSlices(
                    sliceCount: parameter.spec.sliceCount,
                    localSlices: tensorRank * count..<(tensorRank + 1) * count))
        }
        return FlatLayout(
            parameters: parameters, ranks: ranks, bucketBytes: 16_384, tensorRank: tensorRank)
    }

    @Test(arguments: [1, 2, 3, 4])
    func everyNormBlockIsToldOnce(ranks: Int) {
        let (whole, tensor) = (Self.layout(ranks: 1, bucketBytes: 1024), 2)
        #expect(whole.blockNumbers == Array(whole.blocks.indices))
        var told: [Int] = []
        var held: [Int] = []
        for tensorRank in 0..<tensor {
            let layout = Self.layout(ranks: ranks, tensorRank: tensorRank, of: tensor)
            #expect(layout.normBlockCount == whole.blocks.count)
            #expect(layout.entries.map(\.normBlocks) == whole.entries.map(\.normBlocks))
            for (block, number) in zip(layout.blocks, layout.blockNumbers) {
                #expect(block.count == whole.blocks[number].count)
            }
            let own = (0..<ranks).flatMap { layout.toldBlocks(of: $0) }
            #expect(Set(own).count == own.count)
            told += own.map { layout.blockNumbers[$0] }
            held += layout.blockNumbers
        }
        #expect(told.sorted() == Array(whole.blocks.indices))
        #expect(held.count > told.count, "control: both ranks hold what is replicated")
    }

    /// Blocks of the ranks lie where the whole model has them.
    @Test func tensorRanksCoverTheModelOnce() {
        let (whole, tensor) = (Self.layout(ranks: 1, bucketBytes: 1024), 2)
        let layouts = (0..<tensor).map { Self.layout(ranks: 1, tensorRank: $0, of: tensor) }
        for (index, entry) in whole.entries.enumerated() {
            let held = layouts.map { $0.entries[index].parameter.heldRange }
            if entry.parameter.spec.axis == nil {
                #expect(held == Array(repeating: 0..<entry.parameter.count, count: tensor))
            } else {
                #expect(held[0].lowerBound == 0 && held[0].upperBound == held[1].lowerBound)
                #expect(held[1].upperBound == entry.parameter.count)
            }
            for (layout, held) in zip(layouts, held) {
                let own = layout.entries[index]
                #expect(own.range.count == held.count)
                // From flat memory of a rank to that of one process.
                let shift = entry.range.lowerBound + held.lowerBound - own.range.lowerBound
                for (block, number) in zip(layout.blocks, layout.blockNumbers)
                where own.range.contains(block.lowerBound) {
                    #expect(whole.blocks[number].lowerBound == block.lowerBound + shift)
                }
            }
        }
    }
}

/// Slices that a rank holds; nothing is ever added.
private final class HeldSlices: SliceSum {
    let sliceCount: Int
    let localSlices: Range<Int>

    init(sliceCount: Int, localSlices: Range<Int>) {
        (self.sliceCount, self.localSlices) = (sliceCount, localSlices)
    }

    func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void { {} }
    func finishMaximum(_ root: Buffer) {}
    func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {}
    func gather(_ elements: Buffer, borders: [Int]) {}
}
