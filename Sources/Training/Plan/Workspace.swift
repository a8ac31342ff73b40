/// Memory outside the pool, of one rank.
struct Workspace {
    /// Panels and partial results that the kernels' threads keep (`Kernels/Scratch.swift`).
    let scratch: Int
    /// Operands of the product that measures the machine, and OpenBLAS's copies of them.
    let matrixLibrary: Int
    /// Chunks of gradients on their way between ranks, and the message library itself.
    let communication: Int

    /// The program with its libraries, before it does anything; measured.
    static let process = 31 << 20

    /// What Open MPI takes for a rank and for each of its peers on the host; measured.
    private static let messageLibrary = (rank: 6 << 20, peer: 4 << 20)

    init(
        _ configuration: RunConfiguration, _ shape: GPTMemory, _ layout: FlatEstimate, ranks: Int,
        threads: Int
    ) {
        scratch = plannedBytes(Workspace.scratchCount(configuration, shape, threads: threads))
        matrixLibrary =
            threads * Workspace.packedBytes(threads: threads) + Workspace.measurement
        let library = Workspace.messageLibrary
        communication =
            ranks == 1 ? 0 : library.rank + (ranks - 1) * library.peer + layout.arrivingBytes
    }

    // MARK: Parts

    /// What the caller shares and the largest block a thread asks for: panels of a product, partial sums of
    /// one that is cut along its inner axis; a head's panels (`AttentionBackward.swift`), column sums of the
    /// caller alone.
    private static func scratchCount(
        _ configuration: RunConfiguration, _ shape: GPTMemory, threads: Int
    ) -> Double {
        let vector = 16
        let (tile, block, tokenBlock) = (64, 64, 64)
        let product = productCount(shape, threads: threads)
        let keys = (configuration.model.contextLength + tile - 1) / tile * tile
        let features = (shape.width / shape.heads + vector - 1) / vector * vector
        let head = Double(
            5 * keys * features + 3 * block * features + 2 * block * tile + block + tile)
        let columns = max(3 * shape.width, shape.inner)
        let sums = Double(shape.rows / tokenBlock + shape.slices) * Double(columns)
        return max(product, Double(threads) * head, sums + Double(threads - 1) * head)
    }

    /// Of the largest product, as `Kernels/ProductPanel.swift` takes it: a panel of B, partial sums of all
    /// rows where several panels follow each other along the inner axis, and each thread's rows of A with
    /// its levels of the tree.
    private static func productCount(_ shape: GPTMemory, threads: Int) -> Double {
        let (panel, panelInner, rows, columns) = (3.0 * 0x1p20, 3072.0, 96.0, 256.0)
        let (width, tokens) = (Double(shape.width), Double(shape.rows))
        let widest = max(3 * width, Double(max(shape.inner, shape.vocabulary)))
        let levels = Double(shape.slices.trailingZeroBitCount + 1)
        let partials = widest > panelInner ? levels * tokens * width : 0
        let block = rows * min(panelInner, max(widest, tokens)) + levels * rows * columns
        return min(panel, width * max(widest, tokens)) + partials + Double(threads) * block
    }

    /// A thread's packed panels in `BLAS.sgemmRate`: P rows of one operand and its share of the other, Q of
    /// the inner axis at a time (the largest that OpenBLAS has for AVX-512).
    private static func packedBytes(threads: Int) -> Int {
        let (p, q, columns) = (640, 448, 3072)
        return 4 * q * (p + columns / threads)
    }

    /// Operands and result of `BLAS.sgemmRate`.
    private static let measurement = 4 * (1024 * 768 + 768 * 3072 + 1024 * 3072)
}
