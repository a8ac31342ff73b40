// Reverse-mode differentiation. A tape is an explicit object: primitives append one record each while
// the forward pass runs; the backward pass walks the records from the last to the first, once.

import Kernels

/// The record of a forward pass. Several may be alive at once (pipeline stages, recomputation).
public final class Tape {
    /// A value's number on this tape.
    package typealias Slot = Int

    /// An output's gradient as it reaches a pullback.
    struct Upstream {
        let gradient: Tensor
        /// Whether nothing else refers to the gradient's memory, so that it may be written to.
        let isOwned: Bool
    }

    typealias Pullback = (Upstream, Backward) -> Void
    /// Of a primitive with several outputs, in their order; nil where no gradient reached one.
    typealias PullbackOfSeveral = ([Upstream?], Backward) -> Void

    /// What the backward pass does at a record.
    private enum Work {
        case pullback(PullbackOfSeveral)
        /// Runs primitives again, on a tape of their own, and goes back through them.
        case again((Tape) -> Tensor)
    }

    private struct Record {
        let name: StaticString
        let bytes: Int
        let outputs: [Slot]
        let leaves: [Leaf]
        let work: Work
    }

    private var records: [Record] = []
    private var slotCount: Int
    /// How many records use a leaf: it is announced when the last of them is done.
    private var uses: [ObjectIdentifier: Int] = [:]

    /// Sees every activation gradient that the backward pass stores, parts of sums too: for tests and
    /// diagnosis.
    package var observer: ((Tensor) -> Void)?

    public init() { slotCount = 0 }

    /// A tape whose values are numbered on from another's, so that one backward pass serves both.
    private init(firstSlot: Slot) { slotCount = firstSlot }

    /// Makes a constant an input whose gradient can be asked for (`backward(…, wanted:)`).
    public func watch(_ tensor: Tensor) -> Tensor { tensor.recorded(as: newSlot()) }

    /// Appends a primitive. Not recorded, and the output stays a constant, where nothing that goes in
    /// wants a gradient. `name` is the pullback's in a trace: the primitive that calls;
    /// `bytes` what it reads and writes, where that is worth telling.
    func record(
        _ output: Tensor, inputs: [Tensor], leaves: [Leaf] = [], name: StaticString = #function,
        bytes: Int = 0, pullback: @escaping Pullback
    ) -> Tensor {
        let work = Work.pullback { upstreams, backward in
            if let upstream = upstreams[0] { pullback(upstream, backward) }
        }
        return append([output], inputs: inputs, leaves: leaves, name, bytes, work)[0]
    }

    /// Appends a primitive with several outputs; its pullback runs where a gradient reached any of them.
    func record(
        _ outputs: [Tensor], inputs: [Tensor], leaves: [Leaf] = [], name: StaticString = #function,
        bytes: Int = 0, pullback: @escaping PullbackOfSeveral
    ) -> [Tensor] {
        append(outputs, inputs: inputs, leaves: leaves, name, bytes, .pullback(pullback))
    }

    /// Appends primitives that have run unrecorded; the backward pass runs them again.
    func record(
        _ output: Tensor, inputs: [Tensor], leaves: [Leaf], name: StaticString = #function,
        again: @escaping (Tape) -> Tensor
    ) -> Tensor {
        let distinct = leaves.enumerated().filter { index, leaf in
            leaves.firstIndex { $0 === leaf } == index
        }
        return append(
            [output], inputs: inputs, leaves: distinct.map(\.element), name, 0, .again(again))[0]
    }

    private func append(
        _ outputs: [Tensor], inputs: [Tensor], leaves: [Leaf], _ name: StaticString, _ bytes: Int,
        _ work: Work
    ) -> [Tensor] {
        let trainable = leaves.filter(\.isTrainable)
        guard !trainable.isEmpty || inputs.contains(where: { $0.slot != nil }) else {
            return outputs
        }
        let slots = outputs.map { _ in newSlot() }
        for leaf in trainable { uses[ObjectIdentifier(leaf), default: 0] += 1 }
        records.append(
            Record(name: name, bytes: bytes, outputs: slots, leaves: trainable, work: work))
        return zip(outputs, slots).map { $0.recorded(as: $1) }
    }

    /// Runs the pullbacks, last record first, and empties the tape.
    ///
    /// - Parameters:
    ///   - outputs: tensors of this tape with the gradients that reach them from outside.
    ///   - wanted: watched inputs whose gradients are returned, in this order; zeros where none arrived.
    ///   - leafIsComplete: called for each trainable leaf when its last contribution is in, in an order
    ///     that depends on the model alone.
    @discardableResult
    public func backward(
        from outputs: [(output: Tensor, gradient: Tensor)], wanted: [Tensor] = [],
        leafIsComplete: (Leaf) -> Void = { _ in }
    ) -> [Tensor] {
        let pass = Backward(slotCount: slotCount, observer: observer)
        for (output, gradient) in outputs {
            precondition(output.slot != nil, "Tape: an output that was not recorded")
            pass.add(gradient, to: output, shared: true)
        }
        run(pass, leafIsComplete: leafIsComplete)
        return wanted.map { tensor in
            precondition(tensor.slot != nil, "Tape: the gradient of a tensor that is not watched")
            return pass.take(tensor.slot!)?.gradient
                ?? Tensor(zerosLike: tensor)
        }
    }

    private func run(_ pass: Backward, leafIsComplete: (Leaf) -> Void) {
        func finish(_ leaf: Leaf) {
            let left = uses[ObjectIdentifier(leaf)]! - 1
            uses[ObjectIdentifier(leaf)] = left
            if left == 0 { leafIsComplete(leaf) }
        }
        while let record = records.popLast() {
            switch record.work {
            case .pullback(let pullback):
                let upstreams = record.outputs.map(pass.take)
                if upstreams.contains(where: { $0 != nil }) {
                    let span = Trace.begin(.backward, record.name, bytes: record.bytes)
                    pullback(upstreams, pass)
                    span.end()
                }
                for leaf in record.leaves { finish(leaf) }
            case .again(let body):
                runAgain(body, of: record, pass, leafIsComplete: finish)
            }
        }
        uses.removeAll()
    }

    /// The inner records are gone through in the same pass, so that every pullback, every sum and every
    /// announcement comes where it would come had they been recorded here.
    private func runAgain(
        _ body: (Tape) -> Tensor, of record: Record, _ pass: Backward,
        leafIsComplete: (Leaf) -> Void
    ) {
        var left = record.leaves
        if let upstream = pass.take(record.outputs[0]) {
            let firstSlot = pass.slotCount
            let inner = Tape(firstSlot: firstSlot)
            let span = Trace.begin(.recompute, record.name)
            let output = WorkLog.repeating { body(inner) }
            span.end()
            pass.resize(to: inner.slotCount)
            pass.add(upstream.gradient, to: output, shared: !upstream.isOwned)
            inner.run(pass) { leaf in
                let index = left.firstIndex { $0 === leaf }
                precondition(
                    index != nil,
                    "recompute: a leaf of \(leaf.shape) that is used inside and not declared")
                left.remove(at: index!)
                leafIsComplete(leaf)
            }
            pass.resize(to: firstSlot)
        }
        for leaf in left { leafIsComplete(leaf) }
    }

    private func newSlot() -> Slot {
        slotCount += 1
        return slotCount - 1
    }
}

/// The gradients of values during one backward pass.
final class Backward {
    private var gradients: [Tape.Upstream?]

    private let observer: ((Tensor) -> Void)?

    init(slotCount: Int, observer: ((Tensor) -> Void)? = nil) {
        gradients = Array(repeating: nil, count: slotCount)
        self.observer = observer
    }

    /// Tells of a gradient that a pullback keeps to itself.
    func stored(_ gradient: Tensor) { observer?(gradient) }

    var slotCount: Int { gradients.count }

    func resize(to slotCount: Int) {
        gradients.removeLast(max(0, gradients.count - slotCount))
        gradients += Array(repeating: nil, count: slotCount - gradients.count)
    }

    func wants(_ tensor: Tensor) -> Bool { tensor.slot != nil }

    /// Adds a gradient to what has reached `tensor` so far; constants are passed over.
    /// `shared`: something else refers to this memory too, so that it must not be written to.
    func add(_ gradient: Tensor, to tensor: Tensor, shared: Bool = false) {
        guard let slot = tensor.slot else { return }
        observer?(gradient)
        guard let present = gradients[slot] else {
            gradients[slot] = Tape.Upstream(gradient: gradient, isOwned: !shared)
            return
        }
        let sum: Tensor
        if present.isOwned {
            sum = present.gradient
        } else if !shared {
            sum = gradient
        } else {
            sum = Tensor(like: gradient)
        }
        addElements(present.gradient, gradient, into: sum)
        observer?(sum)
        gradients[slot] = Tape.Upstream(gradient: sum, isOwned: true)
    }

    func take(_ slot: Tape.Slot) -> Tape.Upstream? {
        defer { gradients[slot] = nil }
        return gradients[slot]
    }
}
