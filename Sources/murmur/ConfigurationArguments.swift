import ArgumentParser
import Training

/// `CONFIG [--set k=v]…`, as every command that starts from a configuration takes it.
struct ConfigurationArguments: ParsableArguments {
    @Argument(
        help: ArgumentHelp("The configuration, a YAML file.", valueName: "config"), transform: path)
    var file: String

    @OptionGroup var overrides: OverrideArguments

    /// The configuration with its overrides, checked as a whole.
    func load() throws(RunError) -> RunConfiguration {
        try overrides.load(file)
    }

    /// The same, checked against the number of ranks too where the launcher tells it, so that a fault
    /// needs no MPI to be found. Warnings are left to the run, which has the number in any case.
    func load(readsData: Bool) throws(RunError) -> RunConfiguration {
        let configuration = try load()
        guard let ranks = Launch.size else { return configuration }
        do {
            _ = try configuration.check(ranks: ranks, readsData: readsData, file: file)
        } catch {
            throw RunError(error)
        }
        return configuration
    }
}

struct OverrideArguments: ParsableArguments {
    @Option(
        name: .customLong("set"), parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "Changes a key: --set optimizer.learning_rate=3e-4. May be repeated.",
            valueName: "key=value"))
    var assignments: [String] = []

    /// The configuration of a file with these changes, checked as a whole.
    func load(_ file: String) throws(RunError) -> RunConfiguration {
        do {
            return try RunConfiguration.load(file: file, overrides: assignments)
        } catch {
            throw RunError(error)
        }
    }
}
