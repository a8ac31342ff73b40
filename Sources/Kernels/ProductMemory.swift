// What the scratch of products comes to, by the arithmetic of `ProductPanel.swift`: for a plan of memory.

/// A product, or a sum of products, by its extents.
package struct ProductExtents {
    package let rows: Int
    package let columns: Int
    /// The inner extent of each term.
    package let inner: [Int]
    /// Whether the result has memory of its own: without, only an epilogue sees it.
    package let keepsResult: Bool

    package init(rows: Int, columns: Int, inner: [Int], keepsResult: Bool) {
        (self.rows, self.columns, self.inner) = (rows, columns, inner)
        self.keepsResult = keepsResult
    }
}

/// Floats of scratch: the panel of all threads, and the rows that each of them works on beside it.
package struct ProductMemory: Equatable {
    package private(set) var panel = 0
    package private(set) var thread = 0

    package init() {}

    /// Of products that are computed at once, by so many threads.
    package init(_ products: [ProductExtents], threads: Int) {
        let tile = TileShape.ofThisBuild
        let sizes = products.map { roundUp($0.columns, tile.width) * $0.extent }
        guard sizes.reduce(0, +) > Blocking.panel else {
            panel = sizes.reduce(0, +)
            for (index, product) in products.enumerated() {
                add(
                    product, inner: product.extent, keepsPartials: false, tile,
                    threads: index == products.count - 1 ? threads : 1)
            }
            return
        }
        for product in products { addPanels(of: product, tile, threads: threads) }
    }

    /// What serves this and the other, one after the other.
    package func union(_ other: ProductMemory) -> ProductMemory {
        var result = self
        (result.panel, result.thread) = (max(panel, other.panel), max(thread, other.thread))
        return result
    }

    private mutating func addPanels(
        of product: ProductExtents, _ tile: TileShape, threads: Int
    ) {
        let groups = product.groups
        let longest = groups.max() ?? 0
        let tiles = (product.columns + tile.width - 1) / tile.width
        let count = (tiles * tile.width * longest + Blocking.panel - 1) / Blocking.panel
        let width = (tiles + max(1, count) - 1) / max(1, count) * tile.width
        let keepsPartials = groups.count > 1
        let levels = keepsPartials ? product.levels + (product.keepsResult ? 0 : 1) : 0
        panel = max(panel, width * longest + levels * product.rows * width)
        for inner in groups {
            add(product, inner: inner, keepsPartials: keepsPartials, tile, threads: threads)
        }
    }

    /// A thread's packed rows of the left factor, with the sums that wait for others.
    private mutating func add(
        _ product: ProductExtents, inner: Int, keepsPartials: Bool, _ tile: TileShape, threads: Int
    ) {
        let most = Blocking.blockRows(product.rows, tileHeight: tile.height, threads: threads)
        let height = roundUp(most, tile.height)
        let levels = keepsPartials ? 0 : product.levels * height * Blocking.columns
        let block = product.keepsResult || keepsPartials ? 0 : height * Blocking.columns
        thread = max(thread, height * inner + levels + block)
    }
}

extension ProductExtents {
    fileprivate var extent: Int { inner.reduce(0, +) }

    /// At most so many levels of the tree of terms wait at once: one more where a chain of several links is
    /// added to what is there.
    fileprivate var levels: Int {
        let longest = inner.max() ?? 0
        let waits = longest > chainLength || keepsResult && longest > Blocking.link
        return inner.count.trailingZeroBitCount + (waits ? 1 : 0)
    }

    /// Inner extents that are packed together.
    fileprivate var groups: [Int] {
        if extent <= Blocking.panelInner { return [extent] }
        var groups = [0]
        for term in inner {
            for start in stride(from: 0, to: term, by: Blocking.link) {
                let link = min(Blocking.link, term - start)
                if groups[groups.count - 1] + link > Blocking.panelInner { groups.append(0) }
                groups[groups.count - 1] += link
            }
        }
        return groups
    }
}

private func roundUp(_ count: Int, _ unit: Int) -> Int { (count + unit - 1) / unit * unit }
