// What a step is compared with, measured on all ranks at once: the processors' peak, OpenBLAS's product and
// the bandwidth of memory.

import Communication
import Kernels

/// The rate of fused multiply-adds in registers of all ranks, FLOP/s. Threads beyond the processors that their
/// ranks may use add nothing. Collective.
func measuredPeak(_ world: World) throws(RunError) -> Double {
    let part = try world.processorShare().part(ofThreads: Threads.count)
    return try measured(world) { part * kernels.peakFlopsPerSecond() }.reduce(0, +)
}

/// The rate of `cblas_sgemm` of all ranks, FLOP/s; nil where a rank's OpenBLAS uses kernels older than its
/// processor. Collective.
func measuredProductRate(_ world: World) throws(RunError) -> Double? {
    let rates = try measured(world) {
        BLAS.lag() == nil ? BLAS.sgemmRate(threads: Threads.count) : 0
    }
    return rates.contains(0) ? nil : rates.reduce(0, +)
}

/// The bandwidth of memory of all ranks, bytes a second, by STREAM's triad. Ranks of one host share its
/// memory, so each counts what it gets of it; threads beyond the processors add nothing. Takes up to 384 MiB a
/// host meanwhile. Collective.
func measuredBandwidth(_ world: World) throws(RunError) -> Double {
    let part = try world.processorShare().part(ofThreads: Threads.count)
    return try measured(world) {
        part * kernels.memoryBytesPerSecond(ranks: world.placement.localSize)
    }.reduce(0, +)
}

/// Each rank's figure, all of them measured in the same moments. Collective.
private func measured(
    _ world: World, _ body: () -> Double
) throws(RunError) -> [Double] {
    try communicating { () throws(CommunicationError) in
        try world.communicator.barrier().wait()
    }
    let figure = try world.communicator.patiently(on: "measuring the processor", body)
    return try world.communicator.gather(figure)
}
