import Kernels
import Tensors

/// A part of a model that owns parameters. What its forward pass takes and gives is its own.
public protocol Layer {
    /// Explicitly listed, in the order of the forward pass; that order is the order of flat memory.
    var parameters: [Parameter] { get }
}

/// The arithmetic that a configuration fixes whatever the layout (docs/numerics.md).
public struct Numerics: Hashable, Sendable {
    /// S: partial results of every contraction that tensor parallelism may cut.
    public var slices: Int

    public init(slices: Int = 4) { self.slices = slices }
}

/// What one forward pass carries through the layers: where it is recorded, and its randomness.
public struct Pass {
    /// nil: no gradient is wanted, and nothing is kept.
    public let tape: Tape?
    /// nil: no dropout (evaluation, generation).
    public let randomness: Randomness?
    /// Keys and values of tokens that came before, to which attention adds those of this pass; nil: none did.
    public let cache: KeyValueCache?
    /// Where documents begin in sequences that hold several; nil: each sequence is one.
    public let documents: PackedDocuments?
    /// Where the tokens between layers are scattered over a group of ranks; nil: they are all here.
    private let scatteredTokens: TokenSlices?

    public init(
        tape: Tape? = nil, randomness: Randomness? = nil, cache: KeyValueCache? = nil,
        documents: PackedDocuments? = nil, scatteredTokens: TokenSlices? = nil
    ) {
        precondition(
            cache == nil || documents == nil,
            "Pass: expected a cache or packed documents, got both")
        (self.tape, self.randomness) = (tape, randomness)
        (self.cache, self.documents) = (cache, documents)
        self.scatteredTokens = scatteredTokens
    }

    /// The same pass over sequences that hold several documents, where they do.
    public func within(_ documents: PackedDocuments?) -> Pass {
        guard let documents else { return self }
        return Pass(
            tape: tape, randomness: randomness, cache: cache, documents: documents,
            scatteredTokens: scatteredTokens)
    }

    /// Whether the pass belongs to a training step, also where it looks for a fault without a tape.
    public var isTraining: Bool { tape != nil || randomness != nil }

    /// The tokens of the micro-batch as an axis to sum over.
    package func tokens(_ numerics: Numerics) -> TokenSlices {
        scatteredTokens ?? TokenSlices(numerics.slices)
    }

    /// The place of each token in its text, Int32 [sequences, tokens]: from 0, or on from what is cached.
    public func positions(sequences: Int, tokens: Int) -> Tensor {
        documents?.positions
            ?? Tensor(
                integers: (0..<sequences).flatMap { sequence in
                    let first = Int32(cache?.lengths[sequence] ?? 0)
                    return first..<first + Int32(tokens)
                }, shape: [sequences, tokens])
    }

    /// The same pass where every rank has every token, as beyond `select` and `gather`.
    public var withAllTokens: Pass {
        Pass(tape: tape, randomness: randomness, cache: cache, documents: documents)
    }

    /// x [sequences, tokens, width] → [sequences, K, width]: the tokens at `places` [sequences, K], with which the
    /// pass goes on as `withAllTokens`.
    public func select(_ x: Tensor, at places: Tensor, _ numerics: Numerics) -> Tensor {
        Tensors.select(x, places: places, tokens: tokens(numerics), tape: tape)
    }

    /// The first token of each sequence, [sequences, 1, width]: one that stands for the whole.
    public func selectFirst(of x: Tensor, _ numerics: Numerics) -> Tensor {
        let places = [Int32](repeating: 0, count: x.shape[0])
        return select(x, at: Tensor(integers: places, shape: [places.count, 1]), numerics)
    }

    /// Of x, which every rank has whole, the tokens with which this pass goes on.
    public func scatter(_ x: Tensor, _ numerics: Numerics) -> Tensor {
        Tensors.scatter(x, tokens: tokens(numerics), tape: tape)
    }

    /// All tokens of x, with which the pass goes on as `withAllTokens`.
    public func gather(_ x: Tensor, _ numerics: Numerics) -> Tensor {
        Tensors.gather(x, tokens: tokens(numerics), tape: tape)
    }

    /// Runs `body`; where `isMadeAgain`, nothing of it is kept but `inputs`, and the backward pass runs
    /// it again. The bits are the same.
    ///
    /// - Parameters:
    ///   - inputs: the tensors that `body` uses.
    ///   - parameters: those that `body` uses.
    public func recompute(
        if isMadeAgain: Bool, from inputs: Tensor..., of parameters: [Parameter],
        _ body: @escaping (Pass) -> Tensor
    ) -> Tensor {
        guard isMadeAgain, tape != nil else { return body(self) }
        let (randomness, documents, scattered) = (randomness, documents, scatteredTokens)
        return Tensors.recompute(inputs: inputs, leaves: parameters.map(\.leaf), tape: tape) {
            body(
                Pass(
                    tape: $0, randomness: randomness, documents: documents,
                    scatteredTokens: scattered))
        }
    }

    /// Dropout in one micro-batch of one step, by global position.
    public struct Randomness: Sendable {
        public let seed: UInt64
        public let step: Int
        /// Number within the step's global batch of the micro-batch's first sequence.
        public let firstSequence: Int

        public init(seed: UInt64, step: Int, firstSequence: Int) {
            (self.seed, self.step, self.firstSequence) = (seed, step, firstSequence)
        }

        func stream(site: String) -> UInt64 {
            RandomStream.stream(named: "dropout/\(step)/\(site)")
        }
    }

    /// The site for a tensor [sequences, …] of so many elements a sequence; nil where nothing is dropped.
    func dropout(_ site: String, rate: Float, elementsPerSequence: Int) -> DropoutSite? {
        guard let randomness, rate > 0 else { return nil }
        return DropoutSite(
            rate: rate,
            stream: RandomStream(seed: randomness.seed, stream: randomness.stream(site: site)),
            firstIndex: UInt64(randomness.firstSequence) * UInt64(elementsPerSequence))
    }
}
