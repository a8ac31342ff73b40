import Checkpointing

extension CheckpointReader {
    /// The configuration that the checkpoint holds. A fault in it is the checkpoint's, whoever reads it.
    func configuration() throws(RunError) -> RunConfiguration {
        do throws(ConfigurationError) {
            return try configuration(overrides: [])
        } catch {
            throw RunError(.checkpoint, problems: error.lines)
        }
    }

    /// The same with changes of a person's, whose faults are theirs.
    func configuration(changedBy overrides: [String]) throws(RunError) -> RunConfiguration {
        let saved = try configuration()
        guard !overrides.isEmpty else { return saved }
        do throws(ConfigurationError) {
            return try configuration(overrides: overrides)
        } catch {
            throw RunError(error)
        }
    }

    private func configuration(
        overrides: [String]
    ) throws(ConfigurationError) -> RunConfiguration {
        try RunConfiguration.parse(
            yaml: progress.identity.configuration, file: "\(path)/configuration.yaml",
            overrides: overrides)
    }
}
