// The BLAS library: which it is, and how it is used. OpenBLAS's own threads cut the inner dimension and
// so change bits; it runs with one thread, and the kernels' threads call it on blocks.

import COpenBLAS
import Glibc

package enum BLAS {
    private static let oneThread: Void = openblas_set_num_threads(1)

    /// Restricts OpenBLAS to the calling thread, whatever the environment says; once a process.
    static func useOneThread() { oneThread }

    /// The processor family whose kernels OpenBLAS chose, such as `SkylakeX`.
    package static var coreName: String { String(cString: openblas_get_corename()) }

    /// OpenBLAS's version and build options.
    package static var configuration: String { String(cString: openblas_get_config()) }

    /// Whether a product gives the same bits whole and cut by rows and by columns, on this machine, with
    /// this library: what `product` relies on. A short inner dimension, one that is cut in two blocks, and
    /// one in several; pieces just above the size below which `product` does not cut. Some milliseconds.
    package static func splitInvarianceProbe() -> Bool {
        useOneThread()
        return [(201, 261, 97), (46, 70, 700), (24, 60, 1601)].allSatisfy(isSplitInvariant)
    }

    private static func isSplitInvariant(rows m: Int, columns n: Int, inner k: Int) -> Bool {
        let a = probeValues(m * k, seed: 1)
        let b = probeValues(k * n, seed: 2)
        for (transposesA, transposesB) in [
            (false, false), (false, true), (true, false), (true, true),
        ] {
            let left = (transposesA ? CblasTrans : CblasNoTrans, transposesA ? m : k)
            let right = (transposesB ? CblasTrans : CblasNoTrans, transposesB ? k : n)
            /// Computes rows `i` and columns `j` of C into their place.
            func piece(_ c: inout [Float], _ i: Range<Int>, _ j: Range<Int>) {
                c.withUnsafeMutableBufferPointer { c in
                    a.withUnsafeBufferPointer { a in
                        b.withUnsafeBufferPointer { b in
                            cblas_sgemm(
                                CblasRowMajor, left.0, right.0, blasint(i.count), blasint(j.count),
                                blasint(k), 1,
                                a.baseAddress! + i.lowerBound * (transposesA ? 1 : k),
                                blasint(left.1),
                                b.baseAddress! + j.lowerBound * (transposesB ? k : 1),
                                blasint(right.1), 0,
                                c.baseAddress! + i.lowerBound * n + j.lowerBound, blasint(n))
                        }
                    }
                }
            }
            var whole = [Float](repeating: 0, count: m * n)
            var byRows = whole
            var byColumns = whole
            piece(&whole, 0..<m, 0..<n)
            piece(&byRows, 0..<m / 2, 0..<n)
            piece(&byRows, m / 2..<m, 0..<n)
            piece(&byColumns, 0..<m, 0..<n / 2)
            piece(&byColumns, 0..<m, n / 2..<n)
            let bits = whole.map(\.bitPattern)
            if bits != byRows.map(\.bitPattern) || bits != byColumns.map(\.bitPattern) {
                return false
            }
        }
        return true
    }

    /// Values of mixed sign and magnitude.
    private static func probeValues(_ count: Int, seed: UInt32) -> [Float] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(Int32(bitPattern: state)) * 0x1p-31
        }
    }

    private static let rateShape = (m: 1024, n: 3072, k: 768)
    private static let rateOperands = (
        probeValues(rateShape.m * rateShape.k, seed: 1),
        probeValues(rateShape.k * rateShape.n, seed: 2)
    )
    /// 2²⁸ cycles of the time stamp counter, at 2 GHz and more.
    private static let workersBusyMicroseconds: useconds_t = 140_000

    /// The machine's rate of matrix products in floating-point operations a second: `cblas_sgemm`,
    /// row-major, no transposition, 1024×3072×768, α = 1, β = 0, with OpenBLAS's own `threads` threads, the
    /// best of `repetitions`.
    ///
    /// No other kernel may run meanwhile; afterwards OpenBLAS has one thread again, and its workers, which
    /// busy-wait for some 0.1 s after a call, are asleep: what is timed next has the cores to itself.
    package static func sgemmRate(threads: Int, repetitions: Int = 5) -> Double {
        useOneThread()
        openblas_set_num_threads(CInt(threads))
        defer {
            openblas_set_num_threads(1)
            if threads > 1 { usleep(workersBusyMicroseconds) }
        }
        let (m, n, k) = rateShape
        let (a, b) = rateOperands
        var c = [Float](repeating: 0, count: m * n)
        var best = Duration.seconds(1 << 20)
        for _ in 0..<max(repetitions, 1) {
            let elapsed = ContinuousClock().measure {
                cblas_sgemm(
                    CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(m), blasint(n), blasint(k),
                    1,
                    a, blasint(k), b, blasint(n), 0, &c, blasint(n))
            }
            best = min(best, elapsed)
        }
        return Double(2 * m * n * k) / (best / .seconds(1))
    }
}
