import Configuration
import Models

typealias ConfigurationCheck = KeyCheck<RunConfiguration>

extension KeyCheck<RunConfiguration> {
    /// Those of a family of models, where it is known, and those of every run.
    static func all(of family: Family?) -> [ConfigurationCheck] {
        (family.map { checks(of: $0.shape) } ?? []) + general
    }

    private static func checks<Shape: ModelShape>(of shape: Shape.Type) -> [ConfigurationCheck] {
        shape.checks.map { check in
            ConfigurationCheck(check.keys) { run in
                guard let shape = run.model.shape as? Shape else { return nil }
                return check.complaint(
                    ShapeInRun(
                        shape, tensor: run.parallelism.tensor, slices: run.numerics.slices,
                        sequences: run.batch.sequences))
            }
        }
    }

    private static let general = [
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
        ConfigurationCheck(["data.sources", "data.text", "data.train"]) { configuration in
            let data = configuration.data
            guard !data.sources.isEmpty, !data.text.isEmpty || !data.train.isEmpty else {
                return nil
            }
            return "expected no other data beside it, found "
                + (data.text.isEmpty ? "data.train" : "data.text")
        },
        ConfigurationCheck(["data.weights", "data.sources"]) { configuration in
            let data = configuration.data
            guard !data.weights.isEmpty, data.weights.count != data.sources.count else {
                return nil
            }
            return unequal(data, found: "\(data.weights.count)")
        },
        ConfigurationCheck(["data.curriculum", "data.sources", "batch.sequences"]) {
            configuration in
            let data = configuration.data
            guard
                let change = data.curriculum.first(where: {
                    $0.weights.count != data.sources.count
                })
            else {
                let last = data.curriculum.last?.step ?? 0
                let limit = Int.max / max(1, configuration.batch.sequences)
                return last > limit
                    ? "expected steps of at most \(limit), as many as samples can be counted in, found \(last)"
                    : nil
            }
            return unequal(data, found: "\(change.weights.count) from step \(change.step) on")
        },
        ConfigurationCheck(["batch.micro_batch", "batch.tokens"]) { configuration in
            let batch = configuration.batch
            guard batch.tokens != nil, batch.microBatch != 1 else { return nil }
            return "expected 1 with batch.tokens, whose groups are micro-batches, found "
                + "\(batch.microBatch)"
        },
        ConfigurationCheck(["data.labels", "data.images"]) { configuration in
            let data = configuration.data
            guard data.images == nil, let labels = data.labels else { return nil }
            return "expected data.images beside it, found \(labels.shortened) alone"
        },
        ConfigurationCheck(["data.validation_labels", "data.validation_images"]) {
            configuration in
            let data = configuration.data
            guard data.validationImages == nil, let labels = data.validationLabels else {
                return nil
            }
            return "expected data.validation_images beside it, found \(labels.shortened) alone"
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
            let isText = model.shape.sample.isText
            problems.append(
                .init(
                    key: isText ? "data.text" : "data.images",
                    message: isText
                        ? "expected text, or train and validation shards, found neither"
                        : "expected a folder or an array of images, found none"))
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

/// A complaint about weights that are not one for each source.
private func unequal(_ data: RunConfiguration.DataSource, found: String) -> String {
    let count = data.sources.count
    return count == 0
        ? "expected data.sources beside it, found none"
        : "expected a weight for each of the \(count) data.sources, found \(found)"
}
