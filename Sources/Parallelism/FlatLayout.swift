// All parameters of a rank in one flat memory, cut into buckets, each cut into one piece a rank. The
// layout is arithmetic on shapes alone: every rank computes the same one.

import Layers
import Optimizers
import Tensors

/// Where parameters, norm blocks, buckets and pieces lie in flat memory (in elements).
package struct FlatLayout {
    /// A parameter's place.
    package struct Entry {
        package let parameter: Parameter
        package let range: Range<Int>
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

    package let entries: [Entry]
    /// Elements in all, with the padding that starts each parameter on a cache line.
    package let count: Int
    /// The canonical blocks of the gradient norm, in order: parameter, slice, block.
    package let blocks: [Range<Int>]
    /// In the order in which a backward pass completes them: from the end of memory to its start.
    package let buckets: [Bucket]

    /// - Parameters:
    ///   - parameters: in the model's order; frozen ones have memory, but no bucket.
    ///   - bucketBytes: a bucket is closed when it has reached this size.
    package init(parameters: [Parameter], ranks: Int, bucketBytes: Int) {
        var entries: [Entry] = []
        var blocks: [Range<Int>] = []
        var offset = 0
        for parameter in parameters {
            let count = parameter.leaf.shape.count
            entries.append(Entry(parameter: parameter, range: offset..<offset + count))
            if parameter.leaf.isTrainable {
                for slice in parameter.spec.memoryRanges {
                    blocks += GradientNorm.blocks(
                        of: offset + slice.lowerBound..<offset + slice.upperBound)
                }
            }
            offset = (offset + count + 15) / 16 * 16
        }
        (self.entries, self.blocks, count) = (entries, blocks, offset)
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
            // A bucket is one run of memory: padding may lie inside, a frozen parameter may not.
            while start > 0
                && blocks[end - 1].upperBound - blocks[start].lowerBound < bucketElements
                && blocks[start].lowerBound - blocks[start - 1].upperBound < 16
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

    /// The blocks of the pieces that a rank owns, by number, in order of bucket and block.
    package func ownedBlocks(of rank: Int) -> [Int] {
        var owned: [Int] = []
        for bucket in buckets {
            let piece = bucket.pieces[rank]
            var index = blocks.partitioningIndex { $0.lowerBound >= piece.lowerBound }
            while index < blocks.count && blocks[index].lowerBound < piece.upperBound {
                owned.append(index)
                index += 1
            }
        }
        return owned
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
