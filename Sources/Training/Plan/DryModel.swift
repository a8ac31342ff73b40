import Communication
import Kernels
import Layers
import Models
import Parallelism
import Tensors

/// A configuration's model on tensors that have shapes and no memory: its passes are those of a run, and a
/// dry `WorkLog` of them is all that a plan knows of the model.
package struct DryModel {
    let model: any Model
    private let configuration: RunConfiguration
    private let tensorGroup: TensorGroup?
    /// Positions of a sample.
    private let positions: Int
    private let storage: DType

    /// A pass, replayed.
    struct Replayed {
        /// What the pool has taken from the system when the forward pass ends.
        let topBytes: Int
        let scratchBytes: Int
        let logitsBytes: Int
    }

    /// The part of the model that is on the rank that holds most of it.
    ///
    /// - Parameters:
    ///   - vocabulary: symbols, whatever the configuration says.
    ///   - tensor: the ranks that hold the model together.
    package init(_ configuration: RunConfiguration, vocabulary: Int, tensor: Int) {
        let network = configuration.makeModel(symbols: vocabulary)
        tensorGroup = parallelize(
            network, on: Mesh(dryTensor: tensor),
            scattersTokens: configuration.parallelism.sequence)
        positions = configuration.positionsOfSequence
        self.configuration = configuration
        (model, storage) = (network, configuration.storageType)
    }

    /// Whether a pass over so many sequences can be written down: not where it is far beyond any machine's
    /// memory, whose sizes would be beyond the numbers that shapes are made of.
    func isWithinReach(sequences: Int) -> Bool {
        elements < 0x1p40 && inputElements(sequences: sequences) < 0x1p42
            && Double(sequences) * Double(positions) <= 0x1p24
    }

    private var elements: Double {
        model.parameters.reduce(0) { $0 + Double($1.leaf.shape.count) }
    }

    /// What goes into all weights, on the way forward.
    private func inputElements(sequences: Int) -> Double {
        let shapes = model.parameters.map(\.leaf.shape)
        let widths = shapes.reduce(0) { $0 + ($1.rank > 1 ? Double($1.width) : 0) }
        return Double(sequences) * Double(positions) * widths
    }

    /// The forward and backward pass of one training micro-batch, from the pool and back to it.
    func training(_ sequences: Int, _ threads: Int, _ pool: inout PoolReplay) -> Replayed {
        let batch = configuration.batch.microBatches / configuration.numerics.groups
        return replay(sequences, &pool) {
            train(sequences: $0, threads: threads, afterGroupOf: batch)
        }
    }

    /// A forward pass that keeps nothing, likewise.
    func evaluation(_ sequences: Int, _ threads: Int, _ pool: inout PoolReplay) -> Replayed {
        replay(sequences, &pool) { (evaluate(sequences: $0, threads: threads), nil) }
    }

    /// A micro-batch that is too large to be written down is one of fewer sequences with larger tensors.
    private func replay(
        _ sequences: Int, _ pool: inout PoolReplay,
        _ pass: (Int) -> (log: WorkLog, forwardEvents: Int?)
    ) -> Replayed {
        var logged = sequences
        while logged > 1 && !isWithinReach(sequences: logged) { logged /= 2 }
        guard isWithinReach(sequences: logged) else {
            pool.take(bytes: plannedBytes(inputElements(sequences: sequences), size: storage.size))
            return Replayed(topBytes: pool.residentBytes, scratchBytes: 0, logitsBytes: 0)
        }
        let (log, forwardEvents) = pass(logged)
        let scale = Double(sequences) / Double(logged)
        let events = log.events
        let top = forwardEvents ?? events.count
        var blocks: [Int] = []
        pool.replay(events[..<top], scale: scale, &blocks)
        let topBytes = pool.residentBytes
        pool.replay(events[top...], scale: scale, &blocks)
        return Replayed(
            topBytes: topBytes, scratchBytes: log.scratchBytes,
            logitsBytes: plannedBytes(Double(log.logitsBytes) * scale, size: 1))
    }

    /// The log of a training micro-batch, the first of its group, and how many of its events end with the forward
    /// pass.
    ///
    /// - Parameter group: micro-batches of the group that was before it, which has left what stays from step to step;
    ///   nil: it is the first.
    package func train(
        sequences: Int, threads: Int, afterGroupOf group: Int? = nil
    ) -> (log: WorkLog, forwardEvents: Int?) {
        bind()
        let log = WorkLog(isDry: true, threads: threads)
        var forwardEvents = 0
        log.record {
            if let group {
                gradientPass(sequences: sequences) {}
                for leaf in model.parameters.map(\.leaf) { leaf.reserveRows(microBatches: group) }
                bind()
            }
            gradientPass(sequences: sequences) { forwardEvents = log.events.count }
        }
        return (log, forwardEvents)
    }

    /// The log of a forward pass that keeps nothing.
    func evaluate(sequences: Int, threads: Int) -> WorkLog {
        bind()
        let log = WorkLog(isDry: true, threads: threads)
        let objective = configuration.makeObjective()
        log.record { _ = objective.sums(of: input(sequences: sequences), by: model) }
        return log
    }

    /// As `Replica.forward` and `Replica.backward` have it.
    private func gradientPass(sequences: Int, atTheTop: () -> Void) {
        let input = input(sequences: sequences)
        let tape = Tape()
        let loss = configuration.makeObjective().loss(
            of: input, by: model,
            Pass(
                tape: tape, randomness: Pass.Randomness(seed: 0, step: 0, firstSequence: 0),
                scatteredTokens: tensorGroup?.tokens))
        atTheTop()
        tape.backward(from: [(loss, Tensor([1], shape: []))])
        withExtendedLifetime((input, loss)) {}
    }

    /// Weights and gradients lie in flat memory, which is counted apart.
    private func bind() {
        for leaf in model.parameters.map(\.leaf) {
            leaf.bind(Tensor(unbacked: leaf.shape, dtype: storage))
            if leaf.isTrainable {
                leaf.beginAccumulation(into: Tensor(unbacked: leaf.shape, dtype: .float32))
            }
        }
    }

    private func input(sequences: Int) -> ModelInput {
        configuration.unsetInput(sequences: sequences)
    }
}

/// The floating-point operations of a token in the whole model.
struct TokenWork {
    /// 6·N + 12·Σ context·(keys·heads' width), N parameters, the sum over layers of attention: forward and
    /// backward (PaLM: Chowdhery et al. 2022, appendix B).
    ///
    /// Where half of the weights see a source and half a target: of the products that are made, and attention likewise.
    let flops: Double
    /// What the backward pass computes a second time.
    let repeated: Double
    /// The mean of the smaller extent of the weights, by the operations of their products.
    let productWidth: Double

    init(_ configuration: RunConfiguration, vocabulary: Int) {
        let whole = DryModel(configuration, vocabulary: vocabulary, tensor: 1)
        let parameters = whole.model.parameters.reduce(0) { $0 + 6 * Double($1.count) }
        guard whole.isWithinReach(sequences: 1) else {
            (flops, repeated) = (parameters, 0)
            productWidth = Double(whole.model.parameters.map(\.spec.shape.width).max() ?? 1)
            return
        }
        let work = whole.train(sequences: 1, threads: 1).log.operations
        let tokens = Double(configuration.positionsOfSequence)
        // A backward pass makes two products of each of the forward pass.
        let isPair = if case .pair = configuration.model.shape.sample { true } else { false }
        flops = (isPair ? work.products / tokens : parameters) + 3 * work.attention / tokens
        repeated = work.repeated / tokens
        productWidth = work.products > 0 ? work.extentWeighted / work.products : 1
    }
}
