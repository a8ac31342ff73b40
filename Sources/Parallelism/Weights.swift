// The weights of one rank in their two forms. What the forward pass reads are the *working* weights, all
// of them, in the storage type. What the optimizer updates are the Float32 *masters*, of which a rank has
// those of its pieces. In Float32 storage the two are one memory; in the others working weights are
// the masters rounded, derived and never saved.

import Communication
import Kernels
import Layers
import Tensors

struct Weights {
    /// Flat memory of every parameter, in the storage type: of the data-parallel ranks on one host together, where
    /// they share memory.
    let working: Buffer
    /// The masters of each piece that this rank owns, in the order of the buckets.
    let masters: [Buffer]
    /// The masters of frozen parameters, which are in no piece: the first data-parallel rank answers for
    /// them, and the others have none.
    let frozenMasters: [Int: Buffer]

    /// Collective over the data-parallel ranks.
    ///
    /// - Parameter pieces: the ranges of flat memory that this rank owns.
    init(
        _ layout: FlatLayout, pieces: [Range<Int>], _ communicator: any Communicator,
        storage: DType
    ) throws(CommunicationError) {
        let working = try communicator.makeBuffer(
            count: layout.count, dtype: storage, .common)
        self.working = working
        let frozen = layout.entries.indices.filter {
            communicator.rank == 0 && !layout.entries[$0].parameter.leaf.isTrainable
        }
        if storage == .float32 {
            masters = pieces.map { working[$0] }
            frozenMasters = Dictionary(
                uniqueKeysWithValues: frozen.map { ($0, working[layout.entries[$0].range]) })
            return
        }
        // Padding between parameters stays 0.
        let all = Buffer.cleared(count: pieces.reduce(0) { $0 + $1.count })
        var offset = 0
        masters = pieces.map { piece in
            defer { offset += piece.count }
            return all[offset..<offset + piece.count]
        }
        frozenMasters = Dictionary(
            uniqueKeysWithValues: frozen.map {
                ($0, Buffer(count: layout.entries[$0].range.count))
            })
    }

    /// Whether the masters have memory of their own.
    var areApart: Bool { working.dtype != .float32 }

    /// Bytes of the masters on this rank; 0 where they are the working weights.
    var masterBytes: Int {
        areApart ? (masters + frozenMasters.values).reduce(0) { $0 + $1.byteCount } : 0
    }

    /// Rounds this rank's masters into the working weights and brings everybody's to all. Collective.
    func publish(_ layout: FlatLayout, _ communicator: any Communicator)
        throws(CommunicationError)
    {
        for (bucket, master) in zip(layout.buckets, masters) {
            round(master, into: working[bucket.pieces[communicator.rank]])
            try communicator.allGather(working[bucket.range], counts: bucket.counts).wait()
        }
        for (index, entry) in layout.entries.enumerated()
        where !entry.parameter.leaf.isTrainable {
            let values = working[entry.range]
            if let master = frozenMasters[index] { round(master, into: values) }
            try communicator.broadcast(values, from: 0).wait()
        }
    }

    private func round(_ master: Buffer, into values: Buffer) {
        guard areApart else { return }
        let (from, to) = (master.elements, values.elements)
        parallelRuns(of: master.count) { run in
            kernels.convert(from: from + run.lowerBound, to: to + run.lowerBound, count: run.count)
        }
    }
}
