import Kernels
import Tensors

/// The pool's bookkeeping without its memory: what a sequence of tensors that come and go leaves it
/// with. Follows `StoragePool`: size classes, the newest free block first, nothing given back.
struct PoolReplay {
    /// A block's number.
    typealias Block = Int

    private static let page = 4 << 10

    private var classes: [Int] = []
    /// The most bytes of each block that a tensor has covered: pages beyond are never touched.
    private var touched: [Int] = []
    private var free: [Int: [Block]] = [:]
    private(set) var liveBytes = 0
    /// As `StoragePool.Counters.peakBytes` counts it.
    private(set) var peakBytes = 0

    /// A tensor of `size` bytes an element, the product of `extents`.
    mutating func take(_ extents: Int..., size: Int = 4) -> Block {
        let bytes = plannedBytes(extents.reduce(1) { $0 * Double($1) }, size: size)
        let sizeClass = StoragePool.sizeClass(of: bytes)
        liveBytes += sizeClass
        peakBytes = max(peakBytes, liveBytes)
        if let block = free[sizeClass]?.popLast() {
            touched[block] = max(touched[block], bytes)
            return block
        }
        classes.append(sizeClass)
        touched.append(bytes)
        return classes.count - 1
    }

    mutating func give(_ blocks: Block...) { give(blocks) }

    mutating func give(_ blocks: [Block]) {
        for block in blocks {
            liveBytes -= classes[block]
            free[classes[block], default: []].append(block)
        }
    }

    /// Bytes of memory behind all blocks ever taken: pages that were touched, huge ones where a block
    /// has room for them.
    var residentBytes: Int {
        zip(classes, touched).reduce(0) { $0 + PoolReplay.resident($1.1, of: $1.0) }
    }

    private static func resident(_ bytes: Int, of sizeClass: Int) -> Int {
        let huge = HugePages.roundedUp(bytes)
        if huge <= sizeClass { return huge }
        return bytes < page ? bytes : (bytes + page - 1) / page * page
    }
}

/// Bytes of so many elements. No more than 16 TiB: far above any machine, and low enough that no
/// sum of such sizes overflows, whatever a configuration says.
func plannedBytes(_ elements: Double, size: Int = 4) -> Int {
    Int(min(Double(size) * elements, Double(1 << 44)))
}
