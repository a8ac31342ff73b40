/// Memory outside the pool, of one rank.
struct Workspace {
    /// Panels and partial results that the kernels' threads keep (`Kernels/Scratch.swift`).
    let scratch: Int
    /// OpenBLAS's copies of operands, and the operands of the product that measures the machine.
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
            threads * Workspace.packedBytes(shape, threads: threads) + Workspace.measurement
        let library = Workspace.messageLibrary
        communication =
            ranks == 1 ? 0 : library.rank + (ranks - 1) * library.peer + layout.arrivingBytes
    }

    // MARK: Parts

    /// The largest block a thread asks for, over all threads: partial sums of a product that is cut along
    /// its inner axis, a head's panels (`AttentionBackward.swift`), column sums of the caller alone.
    private static func scratchCount(
        _ configuration: RunConfiguration, _ shape: GPTMemory, threads: Int
    ) -> Double {
        let vector = 16
        let (tile, block, tokenBlock) = (64, 64, 64)
        let partials =
            Double(partialCount(shape, threads: threads)) * Double(shape.rows) * Double(shape.width)
        let keys = (configuration.model.contextLength + tile - 1) / tile * tile
        let features = (shape.width / shape.heads + vector - 1) / vector * vector
        let head = Double(
            5 * keys * features + 3 * block * features + 2 * block * tile + block + tile)
        let columns = max(3 * shape.width, shape.inner)
        let sums = Double(shape.rows / tokenBlock + shape.slices) * Double(columns)
        return max(partials, Double(threads) * head, sums + Double(threads - 1) * head)
    }

    /// Partial results of tokens × width at once: one a level of the tree where every thread has a block of
    /// the product, all S where threads share the terms first (`Kernels/Product.swift`).
    private static func partialCount(_ shape: GPTMemory, threads: Int) -> Int {
        let (grain, smallProduct) = (16, 1_100_000.0)
        let extent = max(shape.rows, shape.width)
        let inner = Double(max(1, shape.width / shape.slices))
        let unit = Double(grain * min(shape.rows, shape.width)) * inner
        let pieces = extent / grain / (Int(smallProduct / unit) + 1)
        return pieces < threads && shape.slices > 1
            ? shape.slices : shape.slices.trailingZeroBitCount
    }

    /// A thread's packed panels: P rows of one operand and all of its own of the other, Q of the inner
    /// axis at a time (the largest that OpenBLAS has for AVX-512).
    private static func packedBytes(_ shape: GPTMemory, threads: Int) -> Int {
        let (p, q, most) = (640, 448, 100_000)
        let rows = max(
            shape.rows, (max(shape.vocabulary, shape.inner, 3 * shape.width)) / threads)
        return 4 * q * (p + min(rows, most))
    }

    /// Operands and result of `BLAS.sgemmRate`.
    private static let measurement = 4 * (1024 * 768 + 768 * 3072 + 1024 * 3072)
}
