/// What a run is and how far it has come: all of its state that is no tensor.
public struct TrainingProgress: Sendable, Equatable {
    /// The dynamic loss scale (Micikevicius et al. 2018), a power of two.
    public struct LossScale: Sendable, Equatable {
        public var scale: Int
        /// Steps without overflow since the last one, or since the scale last grew.
        public var goodSteps: Int
        /// At which overflow from now the scale is halved: 1 is the next.
        public var hysteresis: Int

        /// Bad steps in a row at a scale of 1, which cannot be lowered.
        public var lostSteps: Int

        public init(scale: Int, goodSteps: Int, hysteresis: Int, lostSteps: Int = 0) {
            (self.scale, self.goodSteps) = (scale, goodSteps)
            (self.hysteresis, self.lostSteps) = (hysteresis, lostSteps)
        }
    }

    /// What stays the same from a run's first step to its last, whatever the layout.
    public struct Identity: Sendable, Equatable {
        public var run: String
        /// The resolved configuration, as text; `configuration.yaml` of a checkpoint.
        public var configuration: String
        public var configurationDigest: String
        /// The tokenizer, as JSON; `tokenizer.json` of a checkpoint.
        public var tokenizer: String
        public var tokenizerDigest: String
        public var datasetDigest: String
        /// The program that wrote the checkpoint: version, CPU it was built for.
        public var build: String
        /// The matrix library that measured the machine: name, version, kernel. No result depends on it.
        public var blas: String

        public init(
            run: String, configuration: String, configurationDigest: String, tokenizer: String,
            tokenizerDigest: String, datasetDigest: String, build: String, blas: String
        ) {
            self.run = run
            (self.configuration, self.configurationDigest) = (configuration, configurationDigest)
            (self.tokenizer, self.tokenizerDigest) = (tokenizer, tokenizerDigest)
            self.datasetDigest = datasetDigest
            (self.build, self.blas) = (build, blas)
        }
    }

    /// Completed steps, skipped ones included.
    public var step: Int
    /// Updates the optimizer made: Adam's count.
    public var optimizerUpdates: Int
    /// Position in the global sample order.
    public var samples: Int
    /// nil in a run without dynamic loss scaling.
    public var lossScale: LossScale?
    public var identity: Identity

    public init(
        step: Int, optimizerUpdates: Int, samples: Int, lossScale: LossScale? = nil,
        identity: Identity
    ) {
        (self.step, self.optimizerUpdates, self.samples) = (step, optimizerUpdates, samples)
        (self.lossScale, self.identity) = (lossScale, identity)
    }
}

/// Whether a tensor of this name is state of the optimizer, not a weight.
func isOptimizers(_ name: String) -> Bool { name.hasPrefix("optimizer.") }
