import Communication
import Kernels

/// Memory outside the pool, of one rank.
struct Workspace {
    /// Packed operands, panels and partial results that the kernels' threads keep
    /// (`Kernels/Scratch.swift`).
    let scratch: Int
    /// Chunks of gradients on their way between ranks, and the message library itself.
    let communication: Int

    /// The program with its libraries, before it does anything; measured.
    static let process = 27 << 20

    /// What Open MPI takes for a rank and for each of its peers on the host; measured on 2 and 4 ranks.
    private static let messageLibrary = (rank: 9 << 20, peer: 1 << 19)

    init(
        _ configuration: RunConfiguration, _ shape: GPTMemory, _ layout: FlatEstimate, ranks: Int,
        threads: Int
    ) {
        let library = Workspace.messageLibrary
        scratch = Workspace.scratchBytes(configuration, shape, threads: threads)
        communication =
            ranks == 1
            ? 0
            : library.rank + (ranks - 1) * library.peer + layout.arrivingBytes
                + Workspace.tensorSumBytes(shape)
    }

    // MARK: Parts

    /// The memory that ranks of the tensor dimension share for their sums: a block of each, all of which count
    /// as memory of every one. (Over several hosts: rings of chunks, about as many bytes.)
    private static func tensorSumBytes(_ shape: GPTMemory) -> Int {
        let degree = shape.share.degree
        guard degree > 1 else { return 0 }
        return CommunicationOptions().sharedMemory.mappedBytes(groupSize: degree)
    }

    /// The largest block that each thread asks for, at each depth of nesting: the caller has a product's
    /// panel and, below it, rows of its own like the other threads.
    private static func scratchBytes(
        _ configuration: RunConfiguration, _ shape: GPTMemory, threads: Int
    ) -> Int {
        let product = shape.products.reduce(ProductMemory()) {
            $0.union(ProductMemory($1, threads: threads))
        }
        let head = headCount(configuration, shape)
        let sums = max(
            tokenSums(shape, rows: shape.rows, columns: max(3 * shape.headWidth, shape.inner)),
            tokenSums(shape, rows: shape.heldRows, columns: 2 * shape.width))
        let rows = block(Double(product.thread))
        let caller = block(max(Double(product.panel), sums, head)) + rows
        return caller + (threads - 1) * max(rows, block(head))
    }

    /// Floats of sums over tokens: a row for each block of 64 in each slice.
    private static func tokenSums(_ shape: GPTMemory, rows: Int, columns: Int) -> Double {
        Double(rows / 64 + shape.slices) * Double(columns)
    }

    /// Bytes of a block of so many floats: in whole huge pages where it has room for one.
    private static func block(_ count: Double) -> Int {
        let bytes = plannedBytes(count)
        return bytes < HugePages.size ? bytes : HugePages.roundedUp(bytes)
    }

    /// A head's panels in a pass of attention, the larger of the two.
    private static func headCount(_ configuration: RunConfiguration, _ shape: GPTMemory) -> Double {
        let length = configuration.model.gpt.contextLength
        let geometry = AttentionGeometry(
            batch: 1, queryHeads: shape.heads, keyHeads: shape.heads, queryLength: length,
            keyLength: length, headDimension: shape.headWidth / shape.heads, scale: 1)
        return Double(
            max(attentionForwardScratch(geometry), attentionBackwardScratch(geometry)))
    }
}

extension GPTMemory {
    /// The products of a micro-batch that are computed at once, in no order.
    fileprivate var products: [[ProductExtents]] {
        columnParallel(outputs: 3 * headWidth) + rowParallel(inputs: headWidth)
            + columnParallel(outputs: inner) + rowParallel(inputs: inner)
            + columnParallel(outputs: vocabulary)
    }

    /// Forward, input's gradient, weight's gradient of a map from `width`.
    private func columnParallel(outputs: Int) -> [[ProductExtents]] {
        [
            [ProductExtents(rows: rows, columns: outputs, inner: [width], keepsResult: false)],
            [
                ProductExtents(
                    rows: rows, columns: width, inner: sliced(outputs),
                    keepsResult: share.isSplit)
            ],
            [ProductExtents(rows: outputs, columns: width, inner: [rows], keepsResult: true)],
        ]
    }

    /// The same of a map to `width`, whose inputs are cut.
    private func rowParallel(inputs: Int) -> [[ProductExtents]] {
        [
            [
                ProductExtents(
                    rows: rows, columns: width, inner: sliced(inputs),
                    keepsResult: share.isSplit)
            ],
            sliced(inputs).map {
                ProductExtents(rows: rows, columns: $0, inner: [width], keepsResult: false)
            },
            sliced(inputs).map {
                ProductExtents(rows: width, columns: $0, inner: [rows], keepsResult: true)
            },
        ]
    }

    /// What is here of an axis, cut into the slices that are.
    private func sliced(_ extent: Int) -> [Int] {
        let count = share.held(of: slices)
        return (0..<count).map { ($0 + 1) * extent / count - $0 * extent / count }
    }
}
