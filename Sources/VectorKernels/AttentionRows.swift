// Rows of heads where they lie.

extension HeadView {
    /// The rows of one head of one sequence.
    func rows(sequence: Int, head: Int) -> HeadRows {
        HeadRows(
            base: base + sequence * batchStride + headOffsets[head], stride: rowStride)
    }
}

/// The rows of one head of one sequence, `stride` elements apart.
struct HeadRows {
    let base: Elements
    let stride: Int

    @inline(__always)
    func row<Element: StoredElement>(
        _ row: Int, of type: Element.Type
    ) -> UnsafeMutablePointer<Element> {
        base.pointer(to: type) + row * stride
    }
}
