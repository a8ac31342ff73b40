/// The perfect binary tree over `slices` (a power of two) partial results, root in the first.
package func treeAdd(
    _ partials: UnsafeMutablePointer<Float>, slices: Int, stride: Int, count: Int
) {
    var gap = 1
    while gap < slices {
        for slice in Swift.stride(from: 0, to: slices, by: 2 * gap) {
            let target = partials + slice * stride
            let source = partials + (slice + gap) * stride
            for index in 0..<count { target[index] += source[index] }
        }
        gap *= 2
    }
}
