// What a rank holds of all parameters in one flat memory, cut into buckets, each cut into one piece a
// data-parallel rank. The layout is arithmetic on shapes alone: the data-parallel ranks compute the same
// one, and every rank can compute that of every other.

import Layers
import Optimizers
import Tensors

/// Where parameters, norm blocks, buckets and pieces lie in flat memory (in elements).
package struct FlatLayout {
    /// A parameter's place.
    package struct Entry {
        package let parameter: Parameter
        /// In the model's order.
        package let number: Int
        package let range: Range<Int>
        /// The norm blocks of the whole parameter, by their canonical numbers.
        package let normBlocks: Range<Int>
    }

    /// What is exchanged at once: whole norm blocks, cut at block borders into one piece a rank.
    package struct Bucket {
        package let range: Range<Int>
        /// Piece r belongs to data-parallel rank r.
        package let pieces: [Range<Int>]
        /// The parameters that must be complete before it can be reduced, by position.
        package let entries: Range<Int>

        package var counts: [Int] { pieces.map(\.count) }
    }

    /// In the order of memory: trainable parameters lie together, in the model's order; frozen ones, which have
    /// neither gradients nor masters, come after them.
    package let entries: [Entry]
    /// Elements in all, with the padding that starts each parameter on a cache line.
    package let count: Int
    /// Elements of trainable parameters, which are the first: what gradients cover.
    package let trainableCount: Int
    /// The blocks of the gradient norm that are here, in order: parameter, slice, block.
    package let blocks: [Range<Int>]
    /// Of each its canonical number: its place among the blocks of the whole model.
    package let blockNumbers: [Int]
    /// Blocks of the whole model.
    package let normBlockCount: Int
    /// Whether this rank tells the others of a block: a parameter that every rank of the tensor dimension
    /// holds counts once.
    private let isTold: [Bool]
    /// In the order in which a backward pass completes them: from the end of memory to its start.
    package let buckets: [Bucket]

    /// - Parameters:
    ///   - parameters: in the model's order.
    ///   - ranks: of the data dimension.
    ///   - bucketBytes: a bucket is closed when it has reached this size.
    ///   - tensorRank: whose layout it is.
    package init(parameters: [Parameter], ranks: Int, bucketBytes: Int, tensorRank: Int = 0) {
        var entries: [Entry] = []
        var blocks: [Range<Int>] = []
        var (numbers, isTold): ([Int], [Bool]) = ([], [])
        var (offset, number) = (0, 0)
        var trainableCount = 0
        let numbered = Array(parameters.enumerated())
        let ordered =
            numbered.filter { $0.element.leaf.isTrainable }
            + numbered.filter { !$0.element.leaf.isTrainable }
        for (place, parameter) in ordered {
            let held = parameter.slices(ofTensorRank: tensorRank)
            let slices = parameter.spec.memoryRanges
            let start = offset - slices[held.lowerBound].lowerBound
            let end = start + slices[held.upperBound - 1].upperBound
            let firstNumber = number
            for (index, slice) in slices.enumerated() where parameter.leaf.isTrainable {
                let new = GradientNorm.blocks(
                    of: start + slice.lowerBound..<start + slice.upperBound)
                if held.contains(index) {
                    blocks += new
                    numbers += number..<number + new.count
                    isTold += Array(
                        repeating: tensorRank == 0 || parameter.isSplit, count: new.count)
                }
                number += new.count
            }
            entries.append(
                Entry(
                    parameter: parameter, number: place, range: offset..<end,
                    normBlocks: firstNumber..<number))
            offset = (end + 15) / 16 * 16
            if parameter.leaf.isTrainable { trainableCount = offset }
        }
        self.trainableCount = trainableCount
        (self.entries, self.blocks, count) = (entries, blocks, offset)
        (blockNumbers, self.isTold, normBlockCount) = (numbers, isTold, number)
        buckets = FlatLayout.buckets(
            of: blocks, entries: entries, ranks: ranks, bucketElements: max(1, bucketBytes / 4))
    }

    private static func buckets(
        of blocks: [Range<Int>], entries: [Entry], ranks: Int, bucketElements: Int
    ) -> [Bucket] {
        var buckets: [Bucket] = []
        var end = blocks.count
        while end > 0 {
            var start = end - 1
            while start > 0
                && blocks[end - 1].upperBound - blocks[start].lowerBound < bucketElements
            {
                start -= 1
            }
            let range = blocks[start].lowerBound..<blocks[end - 1].upperBound
            let overlapping = entries.indices.filter {
                entries[$0].range.overlaps(range) && entries[$0].parameter.leaf.isTrainable
            }
            buckets.append(
                Bucket(
                    range: range, pieces: pieces(of: blocks[start..<end], ranks: ranks),
                    entries: overlapping.first!..<overlapping.last! + 1))
            end = start
        }
        return buckets
    }

    /// Cuts a bucket at the block border nearest above each rank's even share.
    private static func pieces(of blocks: ArraySlice<Range<Int>>, ranks: Int) -> [Range<Int>] {
        let (lower, upper) = (blocks.first!.lowerBound, blocks.last!.upperBound)
        var borders = [lower]
        var next = blocks.startIndex
        for rank in 1..<max(1, ranks) {
            let share = lower + (upper - lower) * rank / ranks
            while next < blocks.endIndex && blocks[next].lowerBound < share { next += 1 }
            borders.append(next < blocks.endIndex ? blocks[next].lowerBound : upper)
        }
        borders.append(upper)
        return zip(borders, borders.dropFirst()).map { $0..<$1 }
    }

    /// The blocks whose sums a data-parallel rank tells the others, by place in `blocks`: those of the
    /// pieces it owns, in order of bucket and block.
    package func toldBlocks(of rank: Int) -> [Int] {
        var owned: [Int] = []
        for bucket in buckets {
            let piece = bucket.pieces[rank]
            var index = blocks.partitioningIndex { $0.lowerBound >= piece.lowerBound }
            while index < blocks.count && blocks[index].lowerBound < piece.upperBound {
                if isTold[index] { owned.append(index) }
                index += 1
            }
        }
        return owned
    }
}

extension Parameter {
    /// The slices that a rank of the tensor dimension holds, as many as this process does.
    fileprivate func slices(ofTensorRank rank: Int) -> Range<Int> {
        let count = sum.localSlices.count
        return isSplit ? rank * count..<(rank + 1) * count : 0..<count
    }
}

extension Array {
    /// The first index whose element satisfies a predicate that, once true, stays true.
    func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

extension FlatLayout.Entry {
    /// From flat memory here to the whole parameter's memory.
    var memoryShift: Int { parameter.heldRange.lowerBound - range.lowerBound }
}

extension Range<Int> {
    func shifted(by offset: Int) -> Range<Int> {
        lowerBound + offset..<upperBound + offset
    }
}
