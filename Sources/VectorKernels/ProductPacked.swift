// Products whose right factor is packed once for many of them, as that of a recurrent layer is for all time steps: with a
// few dozen rows a step, packing would take as long as multiplying. The factor is one panel, however large: each step
// reads it from end to end anyway.

extension VectorKernels {
    package static func pack(_ task: ProductTask, into packed: UnsafeMutablePointer<Float>) {
        let panel = ProductPanel(whole: task, packed: packed)
        parallelFor(panel.packingCount) { panel.pack(piece: $0) }
    }

    package static func compute(_ task: ProductTask, packed: UnsafeMutablePointer<Float>) {
        guard task.rows > 0 && task.columns > 0 else { return }
        let panel = ProductPanel(whole: task, packed: packed)
        if panel.work <= Blocking.inlineWork && WorkLog.dry == nil {
            for piece in 0..<panel.blockCount { panel.multiply(piece: piece) }
        } else {
            parallelFor(panel.blockCount, scratch: panel.largestBlock.count, label: "product") {
                panel.multiply(piece: $0)
            }
        }
    }
}

extension ProductPanel {
    /// All columns over all links, whose right factors are, or will be, packed at `packed`.
    fileprivate init(whole task: ProductTask, packed: UnsafeMutablePointer<Float>) {
        self.init(
            task, columns: 0..<task.columns, links: 0..<task.links.count, packed: packed,
            partials: nil, tile: .best(for: task.rule), threads: Threads.count)
    }
}
