// Tensor parallelism, applied to a finished model: the parameters that its plan names are cut to the
// slices of this rank, and the contractions over them get a sum that crosses ranks.

import Communication
import Kernels
import Layers
import Models
import Tensors

/// Cuts a model to this rank's slices, before any memory is bound. Nothing where the tensor degree is 1.
///
/// - Parameters:
///   - mesh: whose tensor degree divides the number of canonical slices.
///   - scattersTokens: whether what lies between the split parts is split by tokens (sequence parallelism).
/// - Returns: the group that the model's sums go through; nil where it is whole.
public func parallelize(
    _ model: any Model, on mesh: Mesh, scattersTokens: Bool = false
) -> TensorGroup? {
    guard mesh.shape.tensor > 1 else { return nil }
    let parameters = model.tensorPlan.flatMap(\.parameters)
    precondition(
        !parameters.isEmpty, "parallelize: the plan of \(type(of: model)) splits nothing")
    let group = TensorGroup(
        mesh.tensor, slices: parameters[0].spec.sliceCount, scattersTokens: scattersTokens)
    for parameter in parameters {
        // Where there are fewer heads than ranks, key and value heads are not copied.
        for segment in parameter.spec.segments where segment.unitSize > 1 {
            precondition(
                segment.units.isMultiple(of: mesh.shape.tensor),
                "parallelize: a tensor degree of \(mesh.shape.tensor) does not divide the "
                    + "\(segment.units) heads of \(parameter.name)")
        }
        parameter.hold(group)
    }
    return group
}

/// The ranks that hold one copy of a model together, as the primitives see them.
///
/// Primitives do not throw. The first fault stays here, and whoever runs a pass asks for it afterwards
/// (`requireSound`); until then what is computed means nothing and no rank is waited for.
public final class TensorGroup: SliceSum {
    public let sliceCount: Int
    public let localSlices: Range<Int>
    private let scattersTokens: Bool
    private let communicator: any Communicator
    private var failure: CommunicationError?

    init(_ communicator: any Communicator, slices: Int, scattersTokens: Bool) {
        precondition(
            slices.isMultiple(of: communicator.size),
            "TensorGroup: \(communicator.size) ranks do not divide \(slices) slices")
        let count = slices / communicator.size
        (self.communicator, sliceCount) = (communicator, slices)
        localSlices = communicator.rank * count..<(communicator.rank + 1) * count
        self.scattersTokens = scattersTokens
    }

    /// The tokens between split parts; nil: every rank has them all.
    package var tokens: TokenSlices? { scattersTokens ? TokenSlices(scatteredOver: self) : nil }

    /// Throws the first fault that a primitive met.
    public func requireSound() throws(CommunicationError) {
        if let failure { throw failure }
    }

    // MARK: What primitives ask for

    public func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void {
        guard failure == nil else { return {} }
        let operation =
            borders.map { communicator.reduceScatter(root, counts: counts($0)) }
            ?? communicator.allReduce(root)
        return { [self] in wait(for: operation) }
    }

    public func finishMaximum(_ root: Buffer) { finish { $0.allReduceMaximum(root) } }

    public func gather(_ elements: Buffer, borders: [Int]) {
        finish { $0.allGather(elements, counts: counts(borders)) }
    }

    public func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {
        guard WorkLog.dry == nil else {
            _ = Buffer(count: rows.count, dtype: rows.dtype)
            return
        }
        let owners = (0..<rows.count / max(1, width)).map { slice($0) / localSlices.count }
        var counts = [Int](repeating: 0, count: communicator.size)
        for owner in owners { counts[owner] += width }
        // Each rank's rows lie side by side on the way.
        let packed = Buffer(count: rows.count, dtype: rows.dtype)
        let starts = counts.reduce(into: [0]) { $0.append($0.last! + $1) }
        func forEachRow(_ body: (_ owner: Int, _ row: Buffer, _ packed: Buffer) -> Void) {
            var next = starts
            for (row, owner) in owners.enumerated() {
                body(
                    owner, rows[row * width..<(row + 1) * width],
                    packed[next[owner]..<next[owner] + width])
                next[owner] += width
            }
        }
        forEachRow { if $0 == communicator.rank { $2.copyBytes(from: $1) } }
        finish { $0.allGather(packed, counts: counts) }
        forEachRow { if $0 != communicator.rank { $1.copyBytes(from: $2) } }
    }

    /// Elements of each rank, from the borders of the slices.
    private func counts(_ borders: [Int]) -> [Int] {
        let count = localSlices.count
        return (0..<communicator.size).map { borders[($0 + 1) * count] - borders[$0 * count] }
    }

    private func finish(_ operation: (any Communicator) -> PendingOperation) {
        guard failure == nil else { return }
        wait(for: operation(communicator))
    }

    private func wait(for operation: PendingOperation) {
        do throws(CommunicationError) {
            try operation.wait()
        } catch {
            failure = failure ?? error
        }
    }
}
