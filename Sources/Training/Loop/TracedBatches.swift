import Datasets
import Kernels

/// A source whose batches are spans of a trace, on the thread that makes them.
struct TracedBatches: BatchSource {
    let source: any BatchSource

    var layout: BatchLayout { source.layout }

    func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        Trace.nameThread("loader")
        let span = Trace.begin(.data, "load batch")
        defer { span.end() }
        return try source.trainingBatch(position: position, microBatch: microBatch)
    }

    func targetWeight(position: Int) -> Double? { source.targetWeight(position: position) }

    func blank(rows: Int) -> Batch { source.blank(rows: rows) }
}
