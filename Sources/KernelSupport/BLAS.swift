// The BLAS library. No result of ours comes from it (`Product.swift`), and no run measures it: `bench` sets
// its rate on this machine beside ours.

import COpenBLAS
import Glibc

package enum BLAS {
    private static let oneThread: Void = openblas_set_num_threads(1)

    /// Restricts OpenBLAS to the calling thread, whatever the environment says, so that its workers do not
    /// take the processors; once a process.
    static func useOneThread() { oneThread }

    /// The processor family whose kernels OpenBLAS chose, such as `SkylakeX`.
    package static var coreName: String { String(cString: openblas_get_corename()) }

    /// OpenBLAS's version and build options.
    package static var configuration: String { String(cString: openblas_get_config()) }

    /// Values of mixed sign and magnitude.
    private static func operandValues(_ count: Int, seed: UInt32) -> [Float] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(Int32(bitPattern: state)) * 0x1p-31
        }
    }

    private static let rateShape = (m: 1024, n: 3072, k: 768)
    private static let rateOperands = (
        operandValues(rateShape.m * rateShape.k, seed: 1),
        operandValues(rateShape.k * rateShape.n, seed: 2)
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
