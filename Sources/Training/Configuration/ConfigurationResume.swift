import Configuration
import Models

/// A key whose value differs between a saved configuration and the one given on resume.
public struct ConfigurationDifference: Sendable, Equatable {
    public let key: String
    /// As YAML.
    public let saved: String
    public let given: String
    public let rule: ResumeRule
}

extension RunConfiguration {
    /// The keys whose values differ, in the order of the resolved file. `auto` stands for what the run
    /// finds and differs from nothing.
    public func differences(from saved: RunConfiguration) -> [ConfigurationDifference] {
        guard model.family == saved.model.family else {
            let key = ConfigurationKey.familyKey
            return [
                ConfigurationDifference(
                    key: key.path, saved: key.text(saved), given: key.text(self), rule: key.rule)
            ]
        }
        return ConfigurationKey.all(of: model.family).compactMap { key in
            let (old, new) = (key.text(saved), key.text(self))
            guard old != new, old != "auto", new != "auto" else { return nil }
            guard isUsed(key.path) || saved.isUsed(key.path) else { return nil }
            // A number that one of two optimizers or objectives has goes with its name.
            guard has(key.path), saved.has(key.path) else { return nil }
            return ConfigurationDifference(key: key.path, saved: old, given: new, rule: key.rule)
        }
    }

    /// Whether a key has an effect beside the others: a constant learning rate has no end.
    private func isUsed(_ key: String) -> Bool {
        switch (key, schedule.decay) {
        case ("schedule.decay_steps", .constant), ("schedule.decay_steps", .inverseSquareRoot),
            ("schedule.final_ratio", .constant):
            false
        default: true
        }
    }

    /// Checks a resume against the configuration that the checkpoint holds.
    ///
    /// `overrides` are the keys, or whole sections, named by `--override`. Returns the differences that
    /// it allowed, for the log. Throws all the others, and every name in `overrides` that is no key.
    public func checkResume(
        from saved: RunConfiguration, overrides: [String]
    ) throws(ConfigurationError) -> [ConfigurationDifference] {
        let known = ConfigurationKey.all.map(\.path) + ConfigurationKey.sections
        var problems = overrides.filter { !known.contains($0) }.map { name in
            ConfigurationError.Problem(
                key: "--override",
                message: "expected a known key, found \(name.shortened)"
                    + ConfigurationKey.hint(nearestTo: name))
        }
        var allowed: [ConfigurationDifference] = []
        for difference in differences(from: saved) {
            let section = String(difference.key.prefix { $0 != "." })
            let isNamed = overrides.contains(difference.key) || overrides.contains(section)
            let hint: String
            switch difference.rule {
            case .free:
                allowed.append(difference)
                continue
            case .override where isNamed:
                allowed.append(difference)
                continue
            case .override: hint = "add --override \(difference.key) to change it on purpose"
            case .never: hint = "a run keeps its model and its tokens; start a new run directory"
            }
            problems.append(
                .init(
                    key: difference.key,
                    message: "expected \(difference.saved) as the checkpoint has it, "
                        + "found \(difference.given); \(hint)"))
        }
        guard problems.isEmpty else {
            throw ConfigurationError(file: "configuration", problems: problems)
        }
        return allowed
    }
}

extension RunConfiguration {
    /// Whether a key has a meaning for this optimizer and this model's objective.
    func has(_ key: String) -> Bool {
        optimizer.name.has(key) && model.shape.objective.has(key)
    }
}

extension ObjectiveKind {
    /// Whether a key has a meaning for this objective; those outside its section always have.
    func has(_ key: String) -> Bool {
        switch key {
        case "objective.masking_rate", "objective.mask_token", "objective.whole_words":
            self == .maskedLanguageModelling
        case "data.packing": self == .causalLanguageModelling
        case "batch.tokens": self == .sequenceToSequence
        case _ where ObjectiveKind.imageKeys.contains(key): self == .imageClassification
        case "data.text", "data.tokenizer", "data.train", "data.validation", "data.cache",
            "data.sources", "data.weights", "data.curriculum":
            self != .imageClassification
        default: true
        }
    }

    private static let imageKeys: Set = [
        "data.images", "data.labels", "data.validation_images", "data.validation_labels",
        "data.crop_padding", "data.flip", "data.image_mean", "data.image_deviation",
    ]
}

extension RunConfiguration.Optimizer.Name {
    /// Whether a key has a meaning for this optimizer; those outside its section always have.
    func has(_ key: String) -> Bool {
        switch key {
        case "optimizer.beta1", "optimizer.beta2": self != .sgd
        case "optimizer.epsilon": self == .adamw
        case "optimizer.momentum", "optimizer.nesterov": self == .sgd
        default: true
        }
    }
}
