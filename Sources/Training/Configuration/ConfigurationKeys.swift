import Configuration
import Datasets
import Models
import Optimizers

/// A key of a run's configuration.
package typealias ConfigurationKey = Key<RunConfiguration>

extension Key<RunConfiguration> {
    /// Every key of a configuration whose model is of this family, in the order of the resolved file.
    package static func all(of family: Family) -> [ConfigurationKey] {
        runKeys + modelKeys(of: family) + otherKeys
    }

    /// Every key there is, in that order, those of several families once.
    package static let all: [ConfigurationKey] = {
        var paths: Set<String> = []
        let models = Family.allCases.flatMap { modelKeys(of: $0) }
        return (runKeys + models + otherKeys).filter { paths.insert($0.path).inserted }
    }()

    private static let otherKeys =
        dataKeys + batchKeys + objectiveKeys + optimizerKeys + scheduleKeys + machineKeys
        + recordKeys

    /// The sections, in order.
    static let sections: [String] = all.reduce(into: []) { sections, key in
        if sections.last != String(key.section) { sections.append(String(key.section)) }
    }

    /// Section `model`: which family, and that family's own.
    private static func modelKeys(of family: Family) -> [ConfigurationKey] {
        [familyKey] + shapeKeys(of: family)
    }

    static func shapeKeys(of family: Family) -> [ConfigurationKey] { keys(of: family.shape) }

    private static func keys<Shape: ModelShape>(of shape: Shape.Type) -> [ConfigurationKey] {
        shape.keys.map { key in
            Key(
                key,
                get: { configuration in
                    guard let shape = configuration.model.shape as? Shape else {
                        preconditionFailure(
                            "\(key.path): asked of a \(configuration.model.family.rawValue)")
                    }
                    return shape
                }, set: { $0.model.shape = $1 })
        }
    }

    static let familyKey = ConfigurationKey(
        "model.family", \.model.namedFamily, .choice, .required, resume: .never,
        "Kind of model; the other keys of the section are the family's.")

    private static let runKeys = [
        ConfigurationKey(
            "run.directory", \.run.directory, .path, .required, resume: .free,
            "Folder of the run: metrics, resolved configuration, checkpoints."),
        ConfigurationKey(
            "run.seed", \.run.seed, .seed, resume: .free,
            "Seed of initialisation, sample order and dropout."),
        ConfigurationKey(
            "run.steps", \.run.steps, .integer(1...9_999_999_999), .required, resume: .free,
            "Optimizer steps of the whole run."),
        ConfigurationKey(
            "run.threads", \.run.threads, .automatic(.integer(1...1024)), resume: .free,
            "Threads a rank; `auto`: the cores it may use, shared among the ranks that share them."),
        ConfigurationKey(
            "run.communication_timeout", \.run.communicationTimeout,
            .number(from: .excluding(0), to: .including(604_800)), resume: .free,
            "Seconds a peer may stay silent before the run ends with exit code 8."),
        ConfigurationKey(
            "run.trace_steps", \.run.traceSteps, .integers(1...1_000_000_000_000), resume: .free,
            "Steps, counted from 1, whose timeline is written to `trace-step-….json` for Perfetto."),
    ]

    private static let dataKeys = [
        ConfigurationKey(
            "data.text", \.data.text, .paths, resume: .override,
            "Text files or globs, tokenised on first use."),
        ConfigurationKey(
            "data.tokenizer", \.data.tokenizer, .tokenizer, resume: .never,
            "How text becomes tokens: `byte`, `character`, or a tokenizer that is there (a tokenizer.json, a SentencePiece model, vocab.json beside merges.txt, vocab.txt, a folder with one)."
        ),
        ConfigurationKey(
            "data.validation_fraction", \.data.validationFraction,
            .number(from: .excluding(0), to: .excluding(1)), resume: .override,
            "Part of `data.text`, at its end, that is kept for validation."),
        ConfigurationKey(
            "data.train", \.data.train, .paths, resume: .override,
            "Shards or globs that `murmur prepare` made, or `.bin` files of nanoGPT, llm.c and Megatron; excludes `data.text`."
        ),
        ConfigurationKey(
            "data.validation", \.data.validation, .paths, resume: .override,
            "Shards or globs of the validation split; goes with `data.train`."),
        ConfigurationKey(
            "data.sources", \.data.sources, .paths, resume: .override,
            "Folders that `murmur prepare` made, whose samples are mixed; excludes `data.text` and `data.train`."
        ),
        ConfigurationKey(
            "data.weights", \.data.weights, .weights, resume: .override,
            "How much of each of `data.sources` there is in the mixture; only proportions count, and none: as many samples as there are tokens. `--override` changes it from the resumed step on."
        ),
        ConfigurationKey(
            "data.curriculum", \.data.curriculum, MixtureChange.format, resume: .override,
            "Other weights from a step on: `[\"1000: 0.2 0.8\"]`. Those of steps that were taken stay."
        ),
        ConfigurationKey(
            "data.cache", \.data.cache, .path, resume: .free,
            "Folder that keeps the shards made from `data.text`."),
        ConfigurationKey(
            "data.packing", \.data.packing, .choice, resume: .override,
            "What a sequence of next-token prediction holds: `windows` of the text, whatever begins or ends in them; or whole `documents`, as many as fit, none of which sees another."
        ),
        ConfigurationKey(
            "data.images", \.data.images, .automatic(.path), resume: .override,
            "Images to train on: a folder with a folder of PNG or JPEG files for each class, or an array (`.npy`, IDX) beside `data.labels`; `auto`: none."
        ),
        ConfigurationKey(
            "data.labels", \.data.labels, .automatic(.path), resume: .override,
            "Array of the classes of `data.images`, whole numbers from 0; `auto`: its folders tell."
        ),
        ConfigurationKey(
            "data.validation_images", \.data.validationImages, .automatic(.path),
            resume: .override,
            "Images of the validation split; `auto`: the part `data.validation_fraction` of `data.images`, drawn by their numbers, always the same."
        ),
        ConfigurationKey(
            "data.validation_labels", \.data.validationLabels, .automatic(.path),
            resume: .override, "Their classes, as `data.labels`."),
        ConfigurationKey(
            "data.crop_padding", \.data.cropPadding, .integer(0...4096), resume: .override,
            "Pixels of zeros around an image, of which training crops at random."),
        ConfigurationKey(
            "data.flip", \.data.flips, .boolean, resume: .override,
            "Whether training mirrors half of the images, drawn anew in each epoch."),
        ConfigurationKey(
            "data.image_mean", \.data.imageMean,
            .number(from: .including(-1000), to: .including(1000)),
            resume: .override,
            "What is taken from each number of an image, which are 0 to 1 in 8-bit files."),
        ConfigurationKey(
            "data.image_deviation", \.data.imageDeviation,
            .number(from: .excluding(0), to: .including(1000)), resume: .override,
            "What the rest is divided by."),
    ]

    private static let batchKeys = [
        ConfigurationKey(
            "batch.sequences", \.batch.sequences, .integer(1...1_073_741_824), .required,
            resume: .override, "Sequences of one optimizer step, over all ranks."),
        ConfigurationKey(
            "batch.micro_batch", \.batch.microBatch, .integer(1...1_073_741_824), .required,
            resume: .override,
            "Sequences of one forward and backward pass; divides `batch.sequences`."),
        ConfigurationKey(
            "batch.tokens", \.batch.tokens, .automatic(.integer(1...1_073_741_824)),
            resume: .never,
            "Of pairs: those of about the same length are put together, at most so many tokens of a side with their padding, and such a group counts as a sequence. `auto`: each pair is a sequence."
        ),
        ConfigurationKey(
            "numerics.slices", \.numerics.slices, .powerOfTwo(upTo: 256), resume: .override,
            "Partial results of every sum that tensor parallelism may split."),
        ConfigurationKey(
            "numerics.groups", \.numerics.groups, .powerOfTwo(upTo: 1_048_576),
            .derived(
                "the largest power of two up to 8 that divides the micro-batches",
                { $0.numerics.groups = $0.batch.defaultGroups }),
            resume: .override,
            "Groups of micro-batches whose gradients are added as a tree; as many ranks, or a divisor of it, give the same bits."
        ),
    ]

    private static let objectiveKeys = [
        ConfigurationKey(
            "objective.label_smoothing", \.objective.labelSmoothing,
            .single(from: .including(0), to: .excluding(1)), resume: .override,
            "Part of each target that is spread evenly over the classes in the training loss; evaluations do without."
        ),
        ConfigurationKey(
            "objective.masking_rate", \.objective.maskingRate,
            .number(from: .excluding(0), to: .including(1)), resume: .override,
            "Part of the tokens of a sequence that masked language modelling predicts; of these 80 % become the mask token, 10 % a random one, and 10 % stay."
        ),
        ConfigurationKey(
            "objective.mask_token", \.objective.maskToken,
            .automatic(.integer(0...1_073_741_823)), resume: .never,
            "Symbol of a masked token; `auto`: the tokenizer's own, or the first after its tokens."),
        ConfigurationKey(
            "objective.whole_words", \.objective.wholeWords, .boolean, resume: .override,
            "Whether words, which stand between white space, are masked as a whole."),
    ]

    private static let optimizerKeys = [
        ConfigurationKey(
            "optimizer.name", \.optimizer.name, .choice, resume: .override, "Update rule."),
        ConfigurationKey(
            "optimizer.learning_rate", \.optimizer.learningRate,
            .single(from: .excluding(0), to: .including(100)), .required, resume: .override,
            "Learning rate at the peak of the schedule."),
        ConfigurationKey(
            "optimizer.beta1", \.optimizer.beta1, .single(from: .including(0), to: .excluding(1)),
            resume: .override,
            "Decay of the first moment; for lion, the moment's share in a step's direction."),
        ConfigurationKey(
            "optimizer.beta2", \.optimizer.beta2, .single(from: .including(0), to: .excluding(1)),
            .derived(
                "0.95; 0.99 for lion",
                { $0.optimizer.beta2 = $0.optimizer.name == .lion ? 0.99 : 0.95 }),
            resume: .override, "Decay of the second moment; for lion, of its one moment."),
        ConfigurationKey(
            "optimizer.epsilon", \.optimizer.epsilon,
            .single(from: .excluding(0), to: .including(1)), resume: .override,
            "Added to the root of the second moment; adamw's alone."),
        ConfigurationKey(
            "optimizer.momentum", \.optimizer.momentum,
            .single(from: .including(0), to: .excluding(1)), resume: .override,
            "Decay of the sum of gradients that sgd follows; sgd's alone."),
        ConfigurationKey(
            "optimizer.nesterov", \.optimizer.nesterov, .boolean, resume: .override,
            "Whether that is Nesterov's momentum; sgd's alone."),
        ConfigurationKey(
            "optimizer.weight_decay", \.optimizer.weightDecay,
            .single(from: .including(0), to: .including(100)), resume: .override,
            "Decoupled weight decay, with every optimizer; one-dimensional parameters have none."),
        ConfigurationKey(
            "optimizer.clip_norm", \.optimizer.clipNorm,
            .single(from: .including(0), to: .including(1_000_000)), resume: .override,
            "Largest Euclidean norm of all gradients together; 0 leaves them as they are."),
    ]

    private static let scheduleKeys = [
        ConfigurationKey(
            "schedule.warmup_steps", \.schedule.warmupSteps, .integer(0...1_000_000_000_000),
            resume: .override, "Steps over which the learning rate rises to its peak."),
        ConfigurationKey(
            "schedule.decay", \.schedule.decay, .choice, resume: .override,
            "Course of the learning rate after the warm-up."),
        ConfigurationKey(
            "schedule.decay_steps", \.schedule.decaySteps, .integer(1...1_000_000_000_000),
            .derived("`run.steps`", { $0.schedule.decaySteps = $0.run.steps }), resume: .override,
            "Step, counted from 0, at which the decay has ended."),
        ConfigurationKey(
            "schedule.final_ratio", \.schedule.finalRatio,
            .single(from: .including(0), to: .including(1)), resume: .override,
            "Learning rate after the decay, as a part of the peak."),
    ]

    private static let machineKeys = [
        ConfigurationKey(
            "precision.storage", \.precision.storage, .choice, resume: .free,
            "Type of stored weights and activations; sums, statistics and the optimizer's masters are Float32 in all. bfloat16 trains fastest where the processor has matrix tiles."
        ),
        ConfigurationKey(
            "precision.loss_scale", \.precision.lossScale, .choice,
            .derived(
                "dynamic for float16 storage, none for the others",
                { $0.precision.lossScale = $0.precision.storage == .float16 ? .dynamic : .none }),
            resume: .free,
            "Factor of the loss in the backward pass, which keeps small float16 gradients from vanishing."
        ),
        ConfigurationKey(
            "precision.static_scale", \.precision.staticScale,
            .powerOfTwo(upTo: LossScale.limit), resume: .free,
            "That factor where `precision.loss_scale` is static."),
        ConfigurationKey(
            "parallelism.tensor", \.parallelism.tensor, .powerOfTwo(upTo: 256), resume: .free,
            "Ranks that hold one copy of the model together: attention heads, feed-forward columns and vocabulary are split over them; divides `numerics.slices`, `model.heads` and the number of ranks, and changes no bit."
        ),
        ConfigurationKey(
            "parallelism.sequence", \.parallelism.sequence, .boolean, resume: .free,
            "Also splits what lies between those parts, norms, dropout and residual stream, by tokens; changes no bit."
        ),
        ConfigurationKey(
            "parallelism.bucket_bytes", \.parallelism.bucketBytes, .integer(1024...4_294_967_296),
            resume: .free, "Bytes of gradients that are exchanged at once."),
        ConfigurationKey(
            "parallelism.reduce_dtype", \.parallelism.reduceDType, .choice, resume: .free,
            "In what gradients travel between ranks; they are added as float32. float16 is for slow networks: it rounds what each rank gives, and the bits become those of the number of ranks."
        ),
        ConfigurationKey(
            "memory.recompute", \.memory.recompute, .choice, resume: .free,
            "Part of each transformer block whose activations the backward pass makes again instead of keeping; changes no bit."
        ),
    ]

    private static let recordKeys = [
        ConfigurationKey(
            "evaluation.every", \.evaluation.every, .integer(0...1_000_000_000_000), resume: .free,
            "Steps between evaluations; 0: after the last step only."),
        ConfigurationKey(
            "evaluation.micro_batch", \.evaluation.microBatch, .integer(1...1_073_741_824),
            .derived(
                "`batch.micro_batch`, or as many as make 1,024 tokens",
                { $0.evaluation.microBatch = $0.defaultEvaluationMicroBatch }),
            resume: .free, "Sequences of one forward pass of an evaluation."),
        ConfigurationKey(
            "checkpoint.every", \.checkpoint.every, .integer(0...1_000_000_000_000), resume: .free,
            "Steps between checkpoints; 0: after the last step only."),
        ConfigurationKey(
            "checkpoint.keep", \.checkpoint.keep, .integer(1...1_000_000), resume: .free,
            "Newest checkpoints that stay on disk."),
        ConfigurationKey(
            "checkpoint.copy", \.checkpoint.copy, .choice, resume: .free,
            "Whether a save is written from a copy of the state, beside the training, which takes 12 bytes a parameter over all data-parallel ranks; without it training waits for the disk. `auto`: where it fits into the memory that is available."
        ),
    ]
}

extension ValueFormat where Value == TokenizerChoice {
    /// A kind, or the path of a tokenizer.
    static var tokenizer: Self {
        let path = ValueFormat<String>.path
        return Self(
            expected: "byte, character, or the path of a tokenizer",
            parse: { value in path.parse(value).map { TokenizerChoice($0) } },
            text: { path.text($0.text) })
    }
}

extension RunConfiguration.Model {
    /// Another family begins with its own defaults.
    fileprivate var namedFamily: Family {
        get { family }
        set { if newValue != family { shape = newValue.shape.init() } }
    }
}
