import Datasets
import Kernels
import Layers
import Models
import Optimizers

/// Everything that defines a run: a plain value, read from YAML by `load`, written by `yaml`.
///
/// Keys, types, bounds, defaults and what each means stand in tables of `ConfigurationKey`s, those of section
/// `model` beside the family that it names; the properties bear the same names in Swift's spelling. A value that `load` returned has been checked
/// as a whole and has every default filled in.
public struct RunConfiguration: Sendable, Equatable {
    public var run: Run
    public var model: Model
    /// Empty in configurations that only time the machine.
    public var data = DataSource()
    public var batch: Batch
    public var numerics: Numerics
    public var objective = Objective()
    public var optimizer: Optimizer
    public var schedule: Schedule
    public var precision = Precision()
    public var parallelism = Parallelism()
    public var memory = Memory()
    public var evaluation: Evaluation
    public var checkpoint = Checkpoint()

    /// The other sections take their defaults, some of which follow from these.
    public init(run: Run, model: Model, batch: Batch, optimizer: Optimizer) {
        (self.run, self.model, self.batch, self.optimizer) = (run, model, batch, optimizer)
        numerics = Numerics(groups: batch.defaultGroups)
        schedule = Schedule(decaySteps: run.steps)
        evaluation = Evaluation(microBatch: 1)
        evaluation.microBatch = defaultEvaluationMicroBatch
    }

    /// Positions that a step goes through, over all ranks.
    var positionsOfStep: Int { batch.sequences * positionsOfSequence }

    /// Of a sequence of the batch, which may be a group of pairs: as many as it can have.
    var positionsOfSequence: Int { rowsOfSequence * model.shape.sample.positions }

    /// Rows of a sequence of the batch: of a group of pairs that are as long as can be, or 1.
    var rowsOfSequence: Int {
        guard case .pair(let pair) = model.shape.sample, let tokens = batch.tokens else { return 1 }
        return max(1, tokens / max(pair.source, pair.target))
    }

    /// Small forward passes waste the processor: at least 1,024 positions each.
    var defaultEvaluationMicroBatch: Int {
        max(batch.microBatch, 1024 / max(1, model.shape.sample.positions))
    }

    public struct Run: Sendable, Equatable {
        public var directory: String
        public var seed: UInt64 = 1337
        /// Optimizer steps of the whole run.
        public var steps: Int
        /// Threads a rank; nil is `auto` (see `ProcessorShare`).
        public var threads: Int?
        /// Seconds a peer may stay silent.
        public var communicationTimeout: Double = 120
        /// Steps that are traced, counted as in the metrics.
        public var traceSteps: [Int] = []

        public init(directory: String, steps: Int) {
            (self.directory, self.steps) = (directory, steps)
        }
    }

    /// A shape of any family.
    public struct Model: Sendable, Equatable {
        public var shape: any ModelShape

        public init(_ shape: any ModelShape) { self.shape = shape }

        public var family: Family { Family(of: shape) }

        public static func == (first: Self, second: Self) -> Bool {
            first.shape.isEqual(to: second.shape)
        }
    }

    /// Text that is tokenised on first use, or the shards that `murmur prepare` made of it.
    public struct DataSource: Sendable, Equatable {
        public enum Packing: String, Sendable, CaseIterable { case windows, documents }

        public var text: [String] = []
        public var tokenizer = TokenizerChoice.byte
        /// Part of the text, at its end, that is kept for validation.
        public var validationFraction: Double = 0.1
        public var train: [String] = []
        public var validation: [String] = []
        /// Prepared folders that are mixed.
        public var sources: [String] = []
        /// How much of each source there is; empty: as many samples as it has tokens.
        public var weights: [Double] = []
        /// Other weights from a step on.
        public var curriculum: [MixtureChange] = []
        /// Folder of the shards made from `text`.
        public var cache = DatasetCache.defaultFolder
        /// What a sequence of next-token prediction holds.
        public var packing = Packing.windows
        /// Images to train on: a folder with a folder for each class, or an array beside `labels`.
        public var images: String?
        public var labels: String?
        /// nil: a part of `images` is held out.
        public var validationImages: String?
        public var validationLabels: String?
        /// Pixels of zeros around an image, of which training crops at random.
        public var cropPadding = 0
        /// Whether training mirrors half of the images.
        public var flips = false
        public var imageMean = 0.5
        public var imageDeviation = 0.5

        public init() {}

        public var isEmpty: Bool {
            text.isEmpty && train.isEmpty && validation.isEmpty && sources.isEmpty
                && images == nil
        }
    }

    public struct Batch: Sendable, Equatable {
        /// Sequences of one optimizer step, over all ranks.
        public var sequences: Int
        /// Sequences of one forward and backward pass.
        public var microBatch: Int
        /// Tokens of a group of pairs of about the same length, which counts as a sequence then; nil: a pair is one.
        public var tokens: Int?

        public init(sequences: Int, microBatch: Int) {
            (self.sequences, self.microBatch) = (sequences, microBatch)
        }

        /// M: forward and backward passes of a step, over all ranks.
        public var microBatches: Int { microBatch > 0 ? sequences / microBatch : 0 }

        /// The largest power of two up to 8 that divides the micro-batches.
        var defaultGroups: Int { min(8, max(1, microBatches & -microBatches)) }
    }

    public struct Numerics: Sendable, Equatable {
        /// S: partial results of every sum that tensor parallelism may split.
        public var slices = 4
        /// G: groups of micro-batches whose gradients are added as a tree.
        public var groups: Int

        public init(groups: Int) { self.groups = groups }
    }

    /// What training minimises.
    public struct Objective: Sendable, Equatable {
        /// ε: part of each target that is spread evenly over the vocabulary.
        public var labelSmoothing: Double = 0
        /// Part of the tokens that a masked language model predicts.
        public var maskingRate: Double = 0.15
        /// The symbol of a masked token; nil: the tokenizer's own, or the first after its tokens.
        public var maskToken: Int?
        /// Whether words are masked as a whole.
        public var wholeWords = false

        public init() {}
    }

    public struct Optimizer: Sendable, Equatable {
        public enum Name: String, Sendable, CaseIterable { case adamw, lion, sgd }

        public var name = Name.adamw
        /// Peak of the schedule.
        public var learningRate: Double
        public var beta1: Double = 0.9
        public var beta2: Double = 0.95
        public var epsilon: Double = 1e-8
        /// μ of gradient descent.
        public var momentum: Double = 0.9
        /// Whether gradient descent takes Nesterov's momentum.
        public var nesterov = false
        public var weightDecay: Double = 0.1
        /// Largest Euclidean norm of all gradients together; 0 leaves them as they are.
        public var clipNorm: Double = 1

        public init(learningRate: Double) { self.learningRate = learningRate }
    }

    public struct Schedule: Sendable, Equatable {
        public typealias Decay = Optimizers.Schedule.Decay

        public var warmupSteps = 0
        public var decay = Decay.constant
        /// Step, counted from 0, at which the decay has ended.
        public var decaySteps: Int
        /// Learning rate after the decay, as a part of the peak.
        public var finalRatio: Double = 0.1

        public init(decaySteps: Int) { self.decaySteps = decaySteps }
    }

    public struct Precision: Sendable, Equatable {
        public enum Storage: String, Sendable, CaseIterable {
            case float32, float16, bfloat16
        }
        public typealias LossScale = Optimizers.LossScale.Policy

        public var storage = Storage.float32
        public var lossScale = LossScale.none
        /// The factor of static loss scaling, a power of two.
        public var staticScale = Optimizers.LossScale.start

        public init() {}
    }

    public struct Parallelism: Sendable, Equatable {
        public enum ReduceDType: String, Sendable, CaseIterable { case float32, float16 }

        /// T: ranks that hold one copy of the model together, a divisor of `numerics.slices`.
        public var tensor = 1
        /// Whether these ranks also split the tokens between the parts of which each holds a share.
        public var sequence = false
        /// Bytes of gradients that are exchanged at once.
        public var bucketBytes = 25 << 20
        /// In what gradients travel between ranks.
        public var reduceDType = ReduceDType.float32

        public init() {}
    }

    public struct Memory: Sendable, Equatable {
        public var recompute = Recompute.none

        public init() {}
    }

    public struct Evaluation: Sendable, Equatable {
        /// Steps between evaluations; 0 evaluates after the last step only.
        public var every = 250
        /// Sequences of one forward pass.
        public var microBatch: Int

        public init(microBatch: Int) { self.microBatch = microBatch }
    }

    public struct Checkpoint: Sendable, Equatable {
        public enum Copy: String, Sendable, CaseIterable { case auto, always, never }

        /// Steps between checkpoints; 0 saves after the last step only.
        public var every = 250
        /// Newest checkpoints that stay on disk.
        public var keep = 3
        /// Whether a save is written from a copy of the state, while training goes on; `auto`: where memory has
        /// room for it.
        public var copy = Copy.auto

        public init() {}
    }
}

extension ModelShape {
    fileprivate func isEqual(to other: any ModelShape) -> Bool { other as? Self == self }
}
