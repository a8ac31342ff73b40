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
        ConfigurationCheck(["parallelism.tensor"]) { configuration in
            guard configuration.parallelism.tensor != 1 else { return nil }
            return "expected 1, found \(configuration.parallelism.tensor); "
                + "this version is data parallel only"
        },
    ]
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
        let count = batch.microBatches
        let replicas = ranks / parallelism.tensor
        if !ranks.isMultiple(of: parallelism.tensor) || !count.isMultiple(of: replicas) {
            let fitting = (1...min(count, 64)).filter { count.isMultiple(of: $0) }
                .map { String($0 * parallelism.tensor) }
            problems.append(
                .init(
                    key: "batch.micro_batch",
                    message: "expected a number of ranks that divides the \(count) micro-batches "
                        + "(\(batch.sequences) sequences / \(batch.microBatch)), found \(ranks); "
                        + "use \(fitting.joined(separator: ", ")) ranks or change the batch"))
        }
        if readsData && data.isEmpty {
            problems.append(
                .init(
                    key: "data.text",
                    message: "expected text, or train and validation shards, found neither"))
        }
        guard problems.isEmpty else {
            throw ConfigurationError(file: file, problems: problems)
        }
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
