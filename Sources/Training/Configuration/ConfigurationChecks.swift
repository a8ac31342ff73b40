import Kernels

/// A condition between keys, tried once each of them is in bounds.
struct ConfigurationCheck: Sendable {
    /// The first one is named in the complaint.
    let keys: [String]
    /// `expected …, found …`; nil where all is well.
    let complaint: @Sendable (RunConfiguration) -> String?

    init(_ keys: [String], _ complaint: @escaping @Sendable (RunConfiguration) -> String?) {
        (self.keys, self.complaint) = (keys, complaint)
    }

    static let all = [
        ConfigurationCheck(["model.width", "model.heads"]) { configuration in
            let model = configuration.model
            guard !model.width.isMultiple(of: model.heads) else { return nil }
            return "expected a multiple of model.heads (\(model.heads)), found \(model.width)"
        },
        ConfigurationCheck(["run.trace_steps", "run.steps"]) { configuration in
            let run = configuration.run
            guard let step = run.traceSteps.first(where: { $0 > run.steps }) else { return nil }
            return "expected steps up to run.steps (\(run.steps)), found \(step)"
        },
        ConfigurationCheck(["batch.sequences", "batch.micro_batch"]) { configuration in
            let batch = configuration.batch
            guard !batch.sequences.isMultiple(of: batch.microBatch) else { return nil }
            return "expected a multiple of batch.micro_batch (\(batch.microBatch)), "
                + "found \(batch.sequences)"
        },
        ConfigurationCheck(["numerics.groups", "batch.sequences", "batch.micro_batch"]) {
            let count = $0.batch.microBatches
            guard !count.isMultiple(of: $0.numerics.groups) else { return nil }
            return "expected a divisor of the number of micro-batches "
                + "(\($0.batch.sequences) / \($0.batch.microBatch) = \(count)), "
                + "found \($0.numerics.groups)"
        },
        ConfigurationCheck([
            "schedule.warmup_steps", "schedule.decay_steps", "schedule.decay", "run.steps",
        ]) { configuration in
            let schedule = configuration.schedule
            switch schedule.decay {
            case .constant, .inverseSquareRoot: return nil
            case .linear, .cosine, .exponential:
                guard schedule.warmupSteps > schedule.decaySteps else { return nil }
                return "expected at most schedule.decay_steps (\(schedule.decaySteps)), "
                    + "found \(schedule.warmupSteps)"
            }
        },
        ConfigurationCheck(["run.steps", "batch.sequences"]) { configuration in
            let (steps, sequences) = (configuration.run.steps, configuration.batch.sequences)
            guard steps.multipliedReportingOverflow(by: sequences).overflow else { return nil }
            return "expected at most \(Int.max / sequences) steps of \(sequences) sequences "
                + "(batch.sequences), whose numbers go up to 2^63, found \(steps)"
        },
        // Dropout: beyond these limits the counters of its random numbers would come again.
        ConfigurationCheck(["model.context_length", "model.dropout"]) { configuration in
            let (length, limit) =
                (configuration.model.contextLength, AttentionDropout.positionLimit)
            guard configuration.model.dropout > 0, length > limit else { return nil }
            return
                "expected at most \(limit) tokens with dropout, whose random numbers repeat beyond, "
                + "found \(length); shorten it, or set model.dropout to 0"
        },
        ConfigurationCheck(["batch.sequences", "model.heads", "model.dropout"]) { configuration in
            let (sequences, heads) = (configuration.batch.sequences, configuration.model.heads)
            let limit = AttentionDropout.pairLimit / heads
            guard configuration.model.dropout > 0, sequences > limit else { return nil }
            return
                "expected at most \(limit) sequences of \(heads) heads (model.heads) with dropout, whose "
                + "random numbers repeat beyond, found \(sequences); lower it, or set model.dropout to 0"
        },
        ConfigurationCheck(["schedule.final_ratio", "schedule.decay"]) { configuration in
            let schedule = configuration.schedule
            guard schedule.decay == .exponential && schedule.finalRatio == 0 else { return nil }
            return "expected a number above 0 for exponential decay, found 0"
        },
        ConfigurationCheck(["data.text", "data.train", "data.validation"]) { configuration in
            let data = configuration.data
            guard !data.text.isEmpty, !data.train.isEmpty || !data.validation.isEmpty else {
                return nil
            }
            return "expected either text or shards (data.train and data.validation), found both"
        },
        ConfigurationCheck(["data.train", "data.validation"]) { configuration in
            let data = configuration.data
            guard data.train.isEmpty != data.validation.isEmpty else { return nil }
            return "expected data.train and data.validation together, found "
                + (data.train.isEmpty ? "data.validation alone" : "data.train alone")
        },
        // More ranks than heads, or than slices, do not divide them either.
        ConfigurationCheck(["parallelism.tensor", "numerics.slices", "model.heads"]) {
            let (tensor, slices, heads) =
                ($0.parallelism.tensor, $0.numerics.slices, $0.model.heads)
            var undivided: [String] = []
            if !slices.isMultiple(of: tensor) { undivided.append("numerics.slices (\(slices))") }
            if !heads.isMultiple(of: tensor) { undivided.append("model.heads (\(heads))") }
            guard !undivided.isEmpty else { return nil }
            let fitting = (1...min(slices, heads)).filter {
                slices.isMultiple(of: $0) && heads.isMultiple(of: $0)
            }
            return
                "expected a divisor of \(undivided.joined(separator: " and ")), found \(tensor); "
                + "use \(fitting.listed)"
        },
        ConfigurationCheck(["parallelism.tensor", "model.feed_forward", "model.width"]) {
            configuration in
            let (tensor, features) =
                (configuration.parallelism.tensor, configuration.model.feedForward)
            guard tensor > features else { return nil }
            return "expected at most model.feed_forward (\(features)), found \(tensor)"
        },
        ConfigurationCheck(["parallelism.tensor", "model.vocabulary"]) { configuration in
            let tensor = configuration.parallelism.tensor
            guard let vocabulary = configuration.model.vocabulary, tensor > vocabulary else {
                return nil
            }
            return "expected at most model.vocabulary (\(vocabulary)), found \(tensor)"
        },
    ]
}

extension [Int] {
    fileprivate var listed: String { map(String.init).joined(separator: ", ") }
}

extension RunConfiguration {
    /// Checks what a run needs beyond a valid file: ranks that divide the work, and data where it
    /// trains. `file` is its name in errors.
    ///
    /// Returns warnings, none of which keeps the run from going on.
    public func check(
        ranks: Int, readsData: Bool = true, file: String = "configuration"
    ) throws(ConfigurationError) -> [String] {
        var problems: [ConfigurationError.Problem] = []
        if let problem = problem(ranks: ranks) { problems.append(problem) }
        if readsData && data.isEmpty {
            problems.append(
                .init(
                    key: "data.text",
                    message: "expected text, or train and validation shards, found neither"))
        }
        guard problems.isEmpty else {
            throw ConfigurationError(file: file, problems: problems)
        }
        return warnings(replicas: ranks / parallelism.tensor)
    }

    /// Why so many ranks do not fit, and how many do: as many times `parallelism.tensor` as divides the
    /// micro-batches.
    private func problem(ranks: Int) -> ConfigurationError.Problem? {
        let (count, tensor) = (batch.microBatches, parallelism.tensor)
        let fitting = (1...min(count, 64)).filter { count.isMultiple(of: $0) }.map { $0 * tensor }
        let hint = "use \(fitting.listed) ranks or change"
        guard ranks.isMultiple(of: tensor) else {
            return .init(
                key: "parallelism.tensor",
                message: "expected a divisor of the number of ranks (\(ranks)), found \(tensor); "
                    + "\(hint) the degree")
        }
        let replicas = ranks / tensor
        guard !count.isMultiple(of: replicas) else { return nil }
        let kind = tensor == 1 ? "ranks" : "data-parallel ranks"
        let found = tensor == 1 ? "\(ranks)" : "\(ranks) / \(tensor) = \(replicas)"
        return .init(
            key: "batch.micro_batch",
            message: "expected a number of \(kind) that divides the \(count) micro-batches "
                + "(\(batch.sequences) sequences / \(batch.microBatch)), found \(found); "
                + "\(hint) the batch")
    }

    /// What a run says that is longer than its decay.
    /// - Parameter last: the step at which it is stopped, where that is before its end.
    package func decayWarning(until last: Int? = nil) -> String? {
        let decays = [.linear, .cosine, .exponential].contains(schedule.decay)
        guard decays && min(run.steps, last ?? .max) > schedule.decaySteps else { return nil }
        return
            "schedule.decay_steps: expected at least run.steps (\(run.steps)), found "
            + "\(schedule.decaySteps); later steps train at the final learning rate"
    }

    /// - Parameter replicas: copies of the model, the data-parallel degree.
    private func warnings(replicas: Int) -> [String] {
        var warnings: [String] = []
        if !numerics.groups.isMultiple(of: replicas) {
            warnings.append(
                "numerics.groups: \(replicas) data-parallel ranks do not divide \(numerics.groups) "
                    + "groups; the run is repeatable, but its bits are those of this number of ranks"
            )
        }
        if parallelism.reduceDType == .float16 && replicas > 1 {
            warnings.append(
                "parallelism.reduce_dtype: float16 rounds what each of \(replicas) data-parallel ranks gives; "
                    + "the run is repeatable, but its bits are those of this number of ranks")
        }
        return warnings
    }
}
