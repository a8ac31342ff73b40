// A panel: some columns of B over some links, packed once by all threads, and what every row of A makes
// of them. A product whose B is larger than a panel is done panel by panel.

import COpenBLAS
import CTiles

extension VectorKernels {
    package static var nativeTile: TileShape { .native }

    package static func compute(_ tasks: [ProductTask], tile: TileShape?) {
        var tasks = tasks.filter { $0.rows > 0 && $0.columns > 0 }
        if tile == nil {
            for task in tasks where task.hasFewRows { computeFewRows(task) }
            tasks.removeAll { $0.hasFewRows }
        }
        computePacked(tasks.map { ($0, tile ?? .best(for: $0.rule)) })
    }
}

private func computePacked(_ tasks: [(task: ProductTask, tile: TileShape)]) {
    let threads = Threads.count
    let sizes = tasks.map { task, tile in
        roundUp(task.columns, tile.width) * task.packedInner(0..<task.links.count, tile)
    }
    if sizes.reduce(0, +) <= Blocking.panel {
        withScratch(sizes.reduce(0, +)) { scratch in
            var packed = scratch
            let panels = tasks.indices.map { index in
                defer { packed += sizes[index] }
                let (task, tile) = tasks[index]
                // The last product evens out what the others leave.
                return ProductPanel(
                    task, columns: 0..<task.columns, links: 0..<task.links.count, packed: packed,
                    partials: nil, tile: tile, threads: index == tasks.count - 1 ? threads : 1)
            }
            run(panels)
        }
        return
    }
    for (task, tile) in tasks { computeByPanels(task, tile: tile, threads: threads) }
}

/// Columns are cut, or links, or both. Where links are, partial sums of all rows wait between panels.
private func computeByPanels(_ task: ProductTask, tile: TileShape, threads: Int) {
    let groups = groupsOfLinks(task)
    let longest = groups.map { task.packedInner($0, tile) }.max() ?? 0
    let tiles = (task.columns + tile.width - 1) / tile.width
    let panelCount = max(1, (tiles * tile.width * longest + Blocking.panel - 1) / Blocking.panel)
    let panelWidth = (tiles + panelCount - 1) / panelCount * tile.width
    let keepsC = groups.count > 1 && task.c == nil
    let levels = groups.count > 1 ? task.levelCount + (keepsC ? 1 : 0) : 0
    let partialCount = levels * task.rows * panelWidth
    withScratch(panelWidth * longest + partialCount) { scratch in
        let partials = levels > 0 ? scratch + panelWidth * longest : nil
        // All panels take the same scratch: a dry log sees the first.
        let end = WorkLog.dry == nil ? task.columns : min(task.columns, panelWidth)
        for first in stride(from: 0, to: end, by: panelWidth) {
            let columns = first..<min(task.columns, first + panelWidth)
            for group in groups {
                run([
                    ProductPanel(
                        task, columns: columns, links: group, packed: scratch,
                        partials: partials.map { ($0, panelWidth) }, tile: tile, threads: threads)
                ])
            }
        }
    }
}

/// Runs of links that are packed together: all of them, or as many as a panel takes.
private func groupsOfLinks(_ task: ProductTask) -> [Range<Int>] {
    if task.inner <= Blocking.panelInner { return [0..<task.links.count] }
    var groups: [Range<Int>] = []
    var first = 0
    for index in task.links.indices
    where task.innerExtent(first..<index + 1) > Blocking.panelInner && index > first {
        groups.append(first..<index)
        first = index
    }
    groups.append(first..<task.links.count)
    return groups
}

/// Packs all panels, then multiplies them.
private func run(_ panels: [ProductPanel]) {
    let work = panels.reduce(0) { $0 + $1.work }
    forEachPiece(of: panels.map(\.packingCount), work: work) { panels[$0].pack(piece: $1) }
    let scratch = panels.reduce(0) { max($0, $1.largestBlock.count) }
    forEachPiece(of: panels.map(\.blockCount), work: work, scratch: scratch) {
        panels[$0].multiply(piece: $1)
    }
}

/// Calls `body(list, index)` for the pieces of several lists, on the pool if there is work enough.
private func forEachPiece(
    of counts: [Int], work: Int, scratch: Int = 0, _ body: (Int, Int) -> Void
) {
    func call(_ piece: Int) {
        var (list, index) = (0, piece)
        while index >= counts[list] {
            index -= counts[list]
            list += 1
        }
        body(list, index)
    }
    let total = counts.reduce(0, +)
    if work <= Blocking.inlineWork && WorkLog.dry == nil {
        for piece in 0..<total { call(piece) }
    } else {
        parallelFor(total, scratch: scratch) { call($0) }
    }
}

private func roundUp(_ count: Int, _ unit: Int) -> Int { (count + unit - 1) / unit * unit }

extension ProductTask {
    func innerExtent(_ range: Range<Int>) -> Int {
        links[range].reduce(0) { $0 + $1.inner.count }
    }

    /// Floats of a packed line over these links.
    func packedInner(_ range: Range<Int>, _ tile: TileShape) -> Int {
        links[range].reduce(0) { $0 + tile.packed(inner: $1.inner.count) }
    }
}

struct ProductPanel {
    private let task: ProductTask
    private let tile: TileShape
    private let columns: Range<Int>
    private let links: Range<Int>
    private let packed: UnsafeMutablePointer<Float>
    /// Floats of a packed line of the panel.
    private let packedInner: Int
    private let rule: ChainRule

    /// Levels that outlast the panel, [levels × rows × width].
    private let partials: (pointer: UnsafeMutablePointer<Float>, width: Int)?

    /// Slivers of B, and how many of them are packed as one piece.
    private let sliverCount: Int
    private static let sliversAtOnce = 8
    private let packingsPerLink: Int

    /// Blocks of rows times blocks of columns are the pieces of work.
    private let rowBorders: [Int]
    private let columnBlocks: Int

    init(
        _ task: ProductTask, columns: Range<Int>, links: Range<Int>,
        packed: UnsafeMutablePointer<Float>,
        partials: (pointer: UnsafeMutablePointer<Float>, width: Int)?, tile: TileShape, threads: Int
    ) {
        (self.task, self.tile, self.columns, self.links) = (task, tile, columns, links)
        (self.packed, self.partials) = (packed, partials)
        packedInner = task.packedInner(links, tile)
        rule = task.rule
        sliverCount = (columns.count + tile.width - 1) / tile.width
        packingsPerLink = (sliverCount + Self.sliversAtOnce - 1) / Self.sliversAtOnce
        rowBorders = Blocking.rowBorders(task.rows, tile: tile, threads: threads)
        let rowBlocks = max(1, rowBorders.count - 1)
        columnBlocks = min(sliverCount, (threads + rowBlocks - 1) / rowBlocks)
    }

    /// Multiply-adds.
    var work: Int { task.rows * columns.count * task.innerExtent(links) }

    // MARK: Packing B

    var packingCount: Int { links.count * packingsPerLink }

    func pack(piece: Int) {
        let (index, part) = piece.quotientAndRemainder(dividingBy: packingsPerLink)
        let link = task.links[links.lowerBound + index]
        let slivers = part * Self.sliversAtOnce..<min(sliverCount, (part + 1) * Self.sliversAtOnce)
        let last = min(columns.upperBound, columns.lowerBound + slivers.upperBound * tile.width)
        Lines(columnsOf: task.slices[link.slice].b).pack(
            columns.lowerBound + slivers.lowerBound * tile.width..<last, of: task.columns,
            inner: link.inner, for: tile,
            into: sliver(slivers.lowerBound, of: link))
    }

    /// A link's part of a sliver of B.
    @inline(__always)
    private func sliver(_ index: Int, of link: Link) -> UnsafeMutablePointer<Float> {
        let before = packed(before: link) * sliverCount
        return packed + (before + index * tile.packed(inner: link.inner.count)) * tile.width
    }

    /// Floats of a packed line over the panel's links before one.
    @inline(__always)
    private func packed(before link: Link) -> Int {
        tile.packed(before: link) - tile.packed(before: task.links[links.lowerBound])
    }

    // MARK: Multiplying

    var blockCount: Int { (rowBorders.count - 1) * columnBlocks }

    func multiply(piece: Int) {
        let (rowBlock, columnBlock) = piece.quotientAndRemainder(dividingBy: columnBlocks)
        let (first, last) = (rowBorders[rowBlock], rowBorders[rowBlock + 1])
        let slivers =
            sliverCount * columnBlock / columnBlocks..<sliverCount * (columnBlock + 1)
            / columnBlocks
        let block = scratch(rows: last - first)
        let height = block.height
        withScratch(block.count) { scratch in
            let a = scratch
            for link in task.links[links] {
                Lines(rowsOf: task.slices[link.slice].a).pack(
                    first..<last, of: task.rows, inner: link.inner, for: tile,
                    into: a + packed(before: link) * height)
            }
            let work = RowBlock(
                panel: self, rows: first..<last, a: a, levels: a + height * packedInner,
                block: a + height * packedInner + block.levels,
                spare: scratch + block.count - 2 * TileShape.mostElements)
            if tile == .matrix { tiles_begin() }
            work.multiply(slivers)
            if tile == .matrix { tiles_end() }
        }
    }

    /// Floats for a block of so many rows, in all and of its levels, with its rows rounded up to whole tiles.
    private func scratch(rows: Int) -> (count: Int, levels: Int, height: Int) {
        let height = roundUp(rows, tile.height)
        let levels = partials == nil ? task.levelCount * height * Blocking.columns : 0
        let keepsC = task.c == nil && partials == nil
        let blockCount = keepsC ? height * Blocking.columns : 0
        let spare = 2 * TileShape.mostElements
        return (height * packedInner + levels + blockCount + spare, levels, height)
    }

    /// The first block has the most rows.
    var largestBlock: (count: Int, levels: Int, height: Int) {
        scratch(rows: rowBorders.count > 1 ? rowBorders[1] : 0)
    }

    /// A block of rows of A, packed, and its scratch.
    private struct RowBlock {
        let panel: ProductPanel
        let rows: Range<Int>
        let a: UnsafeMutablePointer<Float>
        let levels: UnsafeMutablePointer<Float>
        let block: UnsafeMutablePointer<Float>
        let spare: UnsafeMutablePointer<Float>

        /// Some columns of C at a time, so that they and their levels stay in cache, for the epilogue too.
        func multiply(_ slivers: Range<Int>) {
            let (task, tile) = (panel.task, panel.tile)
            let isLast = panel.links.upperBound == task.links.count
            let atOnce = Blocking.columns / tile.width
            for first in stride(from: slivers.lowerBound, to: slivers.upperBound, by: atOnce) {
                let slivers = first..<min(slivers.upperBound, first + atOnce)
                let start = slivers.lowerBound * tile.width
                let end = min(panel.columns.count, slivers.upperBound * tile.width)
                let target = self.target(column: start)
                var a = UnsafePointer(self.a)
                for link in task.links[panel.links] {
                    multiply(link, slivers, a, into: target.pointer, target.stride)
                    a += roundUp(rows.count, tile.height) * tile.packed(inner: link.inner.count)
                }
                guard isLast, let epilogue = task.epilogue else { continue }
                let offset = panel.columns.lowerBound
                epilogue(
                    ProductBlock(
                        rows: rows, columns: offset + start..<offset + end, values: target.pointer,
                        stride: target.stride))
            }
        }

        /// Where level 0 of these rows is, from a column of the panel on.
        private func target(column: Int) -> (pointer: UnsafeMutablePointer<Float>, stride: Int) {
            if let c = panel.task.c {
                let stride = panel.task.stride
                return (c + rows.lowerBound * stride + panel.columns.lowerBound + column, stride)
            }
            guard let (partials, width) = panel.partials else { return (block, Blocking.columns) }
            let level = panel.task.levelCount * panel.task.rows * width
            return (partials + level + rows.lowerBound * width + column, width)
        }

        /// One link of some slivers of B, over all tiles of the block.
        private func multiply(
            _ link: Link, _ slivers: Range<Int>, _ a: UnsafePointer<Float>,
            into c: UnsafeMutablePointer<Float>, _ stride: Int
        ) {
            let tile = panel.tile
            let inner = link.inner.count
            let packed = tile.packed(inner: inner)
            let first = slivers.lowerBound * tile.width
            let levels = Levels(self, column: first, c, stride)
            // The next sliver of B comes nearer while this one is used, a share of it with each tile.
            let tiles = max(1, rows.count / tile.height)
            let share = (tile.width + tiles - 1) / tiles
            // A sliver of A is used by two of B in turn where it would else be read faster than the second-level cache gives.
            let together = tile == .matrix ? 2 : 1
            for pair in Swift.stride(
                from: slivers.lowerBound, to: slivers.upperBound, by: together)
            {
                let pair = pair..<min(slivers.upperBound, pair + together)
                for row in Swift.stride(from: 0, to: rows.count, by: tile.height) {
                    for index in pair {
                        let b = UnsafePointer(panel.sliver(index, of: link))
                        let ahead = SliverAhead(
                            start: b + (together * tile.width + row / tile.height * share) * packed,
                            step: share)
                        var sum = levels.sum(of: link, column: index * tile.width - first)
                        sum.advance(rows: row)
                        multiplyTile(
                            inner, row, index, a + row * packed, b, ahead: ahead, into: sum)
                    }
                }
            }
        }

        @inline(__always)
        private func multiplyTile(
            _ inner: Int, _ row: Int, _ sliver: Int, _ a: UnsafePointer<Float>,
            _ b: UnsafePointer<Float>, ahead: SliverAhead, into sum: TileSum
        ) {
            let tile = panel.tile
            let height = min(tile.height, rows.count - row)
            let columns = min(tile.width, panel.columns.count - sliver * tile.width)
            if height == tile.height && columns == tile.width {
                tile.multiply(panel.rule, inner: inner, a, b, ahead: ahead, into: sum)
            } else {
                tile.multiplyPart(
                    panel.rule, rows: height, columns: columns, inner: inner, a, b, into: sum)
            }
        }
    }

    /// Where the levels of a block of C are.
    private struct Levels {
        let c: UnsafeMutablePointer<Float>
        let stride: Int
        /// Level 1.
        let first: UnsafeMutablePointer<Float>
        let width: Int
        let levelStride: Int
        let spare: UnsafeMutablePointer<Float>

        init(_ block: RowBlock, column: Int, _ c: UnsafeMutablePointer<Float>, _ stride: Int) {
            (self.c, self.stride, spare) = (c, stride, block.spare)
            let panel = block.panel
            if let (partials, panelWidth) = panel.partials {
                first = partials + block.rows.lowerBound * panelWidth + column
                (width, levelStride) = (panelWidth, panel.task.rows * panelWidth)
            } else {
                (first, width) = (block.levels, Blocking.columns)
                levelStride = roundUp(block.rows.count, panel.tile.height) * width
            }
        }

        private func level(_ index: Int) -> (pointer: UnsafeMutablePointer<Float>, stride: Int) {
            index == 0 ? (c, stride) : (first + (index - 1) * levelStride, width)
        }

        /// The sum of the first tile of a sliver.
        func sum(of link: Link, column: Int) -> TileSum {
            let target = level(link.written)
            let start = level(link.deepest + 1)
            return TileSum(
                target: target.pointer + column, stride: target.stride,
                addsTarget: link.ends && link.deepest >= link.target, continues: !link.begins,
                start: start.pointer + column, startStride: start.stride,
                partial: first + (link.deepest - 1) * levelStride + column, partialStride: width,
                levelStride: levelStride,
                partialCount: link.ends ? max(0, link.deepest - link.target) : 0, spare: spare)
        }
    }
}
