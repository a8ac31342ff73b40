import COpenBLAS

/// Tells the core that the calling thread polls memory that another one writes.
package func pauseSpinning() { spin_pause() }
