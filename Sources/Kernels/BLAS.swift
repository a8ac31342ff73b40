// The BLAS library: which it is, and how it is used. OpenBLAS's own threads cut the inner dimension and
// so change bits; it runs with one thread, and the kernels' threads call it on blocks.

import COpenBLAS

package enum BLAS {
    private static let oneThread: Void = openblas_set_num_threads(1)

    /// Restricts OpenBLAS to the calling thread, whatever the environment says; once a process.
    static func useOneThread() { oneThread }
}
