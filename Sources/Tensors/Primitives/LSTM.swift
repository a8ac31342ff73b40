// Long short-term memory as one primitive over all time steps: the part of the preactivations that comes from the input
// is made before, for all steps at once, by `linear`; here is what a step has to wait for the step before.
//
// A tensor rank holds whole units, all four gates of each. Forward, a step's product contracts over all units, whose h is
// gathered from the ranks: an element is one chain of additions in any layout. Backward, the gradient of h contracts over
// the gates, which is the canonical sum over slices, once a step. The steps are in `LSTMSteps.swift`.

import Kernels

/// The state of a recurrent layer between two time steps, every unit on every rank.
public struct LSTMState {
    /// [sequences, units], of the type of what the layer puts out.
    public let hidden: Tensor
    /// [sequences, units]: Float32 where a layer made it.
    public let cell: Tensor

    public init(hidden: Tensor, cell: Tensor) { (self.hidden, self.cell) = (hidden, cell) }
}

public enum LSTMDirection: Sendable {
    /// From a sequence's first token to its last.
    case forwards
    /// From a sequence's last token, which its length tells, to its first.
    case backwards
}

public struct LSTMOutput {
    /// h after each token, [sequences, tokens, units].
    public let hidden: Tensor
    /// After each sequence's last step.
    public let last: LSTMState
}

/// A layer of long short-term memory (Hochreiter and Schmidhuber 1997; Gers, Schmidhuber and Cummins 2000) over whole
/// sequences: with z_t = gates_t + (bias + h_{t−1}·Wᵀ),
/// c_t = σ(z_f)·c_{t−1} + σ(z_i)·tanh z_g and h_t = σ(z_o)·tanh c_t.
///
/// - Parameters:
///   - gates: [sequences, tokens, 4·units here], what the input adds to the preactivations, by slices: input gates of
///     a slice's units, forget gates, candidates, output gates.
///   - weight: W, [4·units here, units], rows in the same order.
///   - bias: [4·units here]; nil: none.
///   - slices: of the axis of the gates; each takes a multiple of four.
///   - initial: before the first step; nil: zeros.
///   - lengths: Int32 [sequences], how many of a sequence's tokens exist: beyond, h is 0 and the state is kept, as if
///     the sequence had ended there. nil: all.
///   - truncation: no gradient flows from step n·truncation of a sequence, n ≥ 1, to the step before; steps count
///     from 0 in the order in which they are gone through. nil: gradients flow through all steps.
///   - tokens: for the bias's gradient, which is a sum over tokens.
/// - Returns: h, every unit on every rank, and the last state.
///
/// Collective over the group of the slices, forward and backward, once a step, where other ranks hold some.
///
/// Saved: h as it is put out; in Float32 the gates after their activation and the cells, five numbers a unit and token.
/// h is rounded once, and what follows goes on from the rounded one; cells and gates are never rounded.
public func lstm(
    _ gates: Tensor, weight: Leaf, bias: Leaf? = nil, slices: Slices, initial: LSTMState? = nil,
    lengths: Tensor? = nil, direction: LSTMDirection = .forwards, truncation: Int? = nil,
    tokens: TokenSlices, tape: Tape?
) -> LSTMOutput {
    let span = Trace.begin(.forward)
    defer { span.end() }
    let units = RecurrentUnits(slices)
    precondition(
        gates.shape.rank == 3 && gates.shape[2] == 4 * units.held
            && gates.heldRows.count == gates.shape.rows,
        "lstm: gates of \(gates.shape) for \(units.held) units")
    precondition(
        weight.value.shape.count == 4 * units.held * units.count
            && (bias?.value.shape.count ?? 4 * units.held) == 4 * units.held,
        "lstm: a weight of \(weight.value.shape) for \(units.held) of \(units.count) units")
    precondition((truncation ?? 1) > 0, "lstm: truncation after no steps")
    let shape: Shape = [gates.shape[0], units.count]
    precondition(
        initial.map {
            $0.hidden.shape == shape && $0.cell.shape == shape && $0.hidden.dtype == gates.dtype
        } ?? true, "lstm: an initial state of \(shape) and \(gates.dtype) expected")
    let layer = LSTMSteps(
        batch: RecurrentBatch(
            sequences: gates.shape[0], tokens: gates.shape[1], lengths: lengths,
            direction: direction),
        units: units, weight: weight, bias: bias, initial: initial)
    let made = layer.forward(gates, keepsAll: tape != nil)
    let outputs = [made.hidden, made.last.hidden, made.last.cell]
    guard let tape else { return LSTMOutput(hidden: made.hidden, last: made.last) }
    // The gates are not looked at again: their memory is not kept.
    let place = gates.withoutMemory
    let recorded = tape.record(
        outputs, inputs: [gates] + (initial.map { [$0.hidden, $0.cell] } ?? []),
        leaves: [weight] + (bias.map { [$0] } ?? [])
    ) { upstreams, backward in
        let gradients = layer.backward(
            made, upstreams.map { $0?.gradient }, gates: place, truncation: truncation,
            wantsInitial: initial.map { backward.wants($0.hidden) || backward.wants($0.cell) }
                ?? false)
        layer.addParameterGradients(made, gates: gradients.gates, tokens: tokens)
        backward.add(gradients.gates, to: place)
        if let initial, let before = gradients.initial {
            backward.add(before.hidden, to: initial.hidden)
            backward.add(before.cell, to: initial.cell)
        }
    }
    return LSTMOutput(
        hidden: recorded[0], last: LSTMState(hidden: recorded[1], cell: recorded[2]))
}

extension Tensor {
    /// The same value as the tape knows it, of which only shape and type are left.
    fileprivate var withoutMemory: Tensor {
        let place = Tensor(unbacked: shape, dtype: dtype)
        return slot.map { place.recorded(as: $0) } ?? place
    }
}

/// The sequences of a batch as a recurrent layer goes through them: in order of their lengths, longest first, so that
/// the sequences which have a step are the first ones.
struct RecurrentBatch {
    let sequences: Int
    let tokens: Int
    /// The number of the sequence at each place of that order.
    let order: [Int]
    /// How many sequences have a step, by step.
    let active: [Int]
    private let lengths: [Int]
    private let direction: LSTMDirection

    init(sequences: Int, tokens: Int, lengths: Tensor?, direction: LSTMDirection) {
        precondition(
            lengths.map { $0.shape.count == sequences && $0.dtype == .int32 } ?? true,
            "lstm: Int32 lengths of \(sequences) sequences expected")
        // In a dry log there are no numbers: every token is planned for.
        let lengths =
            lengths?.integers.map { $0.map { Int($0) } }
            ?? [Int](repeating: tokens, count: sequences)
        precondition(
            lengths.allSatisfy { (0...tokens).contains($0) },
            "lstm: lengths of 0 to \(tokens) tokens expected, found \(lengths)")
        let order = (0..<sequences).sorted { (-lengths[$0], $0) < (-lengths[$1], $1) }
        (self.sequences, self.tokens, self.order) = (sequences, tokens, order)
        self.lengths = order.map { lengths[$0] }
        active = (0..<(lengths.max() ?? 0)).map { step in lengths.count { $0 > step } }
        self.direction = direction
    }

    var steps: Int { active.count }

    /// Whether every sequence has all tokens.
    var isFull: Bool { lengths.allSatisfy { $0 == tokens } }

    /// Steps of the sequence at a place.
    func steps(at place: Int) -> Int { lengths[place] }

    /// The number, among the tokens of all sequences, of the token of a step.
    func row(_ place: Int, _ step: Int) -> Int {
        let token = direction == .forwards ? step : lengths[place] - 1 - step
        return order[place] * tokens + token
    }
}

/// The units of a recurrent layer, of which this process has whole slices.
struct RecurrentUnits {
    /// The units of a slice that is here.
    struct Run {
        /// Its first unit among those that are here, and among all.
        let local: Int
        let global: Int
        let count: Int
    }

    /// Of all slices, in units.
    let borders: [Int]
    let sum: any SliceSum
    let runs: [Run]

    init(_ gates: Slices) {
        precondition(
            gates.borders.allSatisfy { $0.isMultiple(of: 4) },
            "lstm: slices of whole units expected, found borders \(gates.borders)")
        let borders = gates.borders.map { $0 / 4 }
        let first = borders[gates.sum.localSlices.lowerBound]
        (self.borders, sum) = (borders, gates.sum)
        runs = gates.sum.localSlices.map {
            Run(
                local: borders[$0] - first, global: borders[$0],
                count: borders[$0 + 1] - borders[$0])
        }
    }

    /// All units, wherever they are.
    var count: Int { borders[borders.count - 1] }

    /// Those that are here.
    var held: Int { runs.reduce(0) { $0 + $1.count } }

    /// Every slice, wherever it is.
    var all: [Range<Int>] { zip(borders, borders.dropFirst()).map { $0..<$1 } }

    /// Every unit of each row on every rank, of rows [units] whose own units are set. Collective over the group.
    func gather(_ rows: Buffer, count rowCount: Int) {
        guard !sum.isLocal else { return }
        let size = rows.dtype.size
        // Slice-major on the way: a rank's part is one run.
        let packed = Buffer(count: rowCount * count, dtype: rows.dtype)
        func exchange(_ slices: [Range<Int>], unpacks: Bool) {
            parallelRuns(of: rowCount, length: 16) { run in
                for row in run {
                    for slice in slices {
                        let place = rowCount * slice.lowerBound + row * slice.count
                        let whole = rows.bytes + (row * count + slice.lowerBound) * size
                        let part = packed.bytes + place * size
                        (unpacks ? whole : part).copyMemory(
                            from: unpacks ? part : whole, byteCount: slice.count * size)
                    }
                }
            }
        }
        exchange(runs.map { $0.global..<$0.global + $0.count }, unpacks: false)
        sum.gather(packed, borders: borders.map { $0 * rowCount })
        exchange(all, unpacks: true)
    }
}
