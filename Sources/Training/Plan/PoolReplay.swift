import Kernels
import Tensors

/// The pool's bookkeeping without its memory: what a sequence of tensors that come and go leaves it
/// with. Follows `StoragePool`: size classes, the newest free block first, nothing given back.
struct PoolReplay {
    private static let page = 4 << 10

    private var classes: [Int] = []
    /// The most bytes of each block that a tensor has covered: pages beyond are never touched.
    private var touched: [Int] = []
    private var free: [Int: [Int]] = [:]
    private(set) var liveBytes = 0
    /// As `StoragePool.Counters.peakBytes` counts it.
    private(set) var peakBytes = 0

    /// A block for `count` elements of `size` bytes, which stays.
    mutating func take(_ count: Int, size: Int = 4) {
        take(bytes: plannedBytes(Double(count), size: size))
    }

    /// What a log says, each block `scale` times as large. Every block that it takes must come back in it, but
    /// for those of a first part.
    ///
    /// - Parameter blocks: of the log's, those that are taken; kept from one part of a log to the next.
    mutating func replay(
        _ events: some Sequence<WorkLog.Event>, scale: Double = 1, _ blocks: inout [Int]
    ) {
        for event in events {
            switch event {
            case .take(let bytes):
                blocks.append(take(bytes: plannedBytes(Double(bytes) * scale, size: 1)))
            case .give(let number): give(blocks[number])
            }
        }
    }

    /// The block's number here.
    @discardableResult
    mutating func take(bytes: Int) -> Int {
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

    private mutating func give(_ block: Int) {
        liveBytes -= classes[block]
        free[classes[block], default: []].append(block)
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
