import Testing
import Training

@Suite struct OptimizerConfigurationTests {
    private static func parse(_ overrides: [String]) throws -> RunConfiguration {
        try RunConfiguration.parse(yaml: minimalConfiguration, overrides: overrides)
    }

    @Test func defaultsFollowFromTheName() throws {
        let (adamW, lion) = (try Self.parse([]), try Self.parse(["optimizer.name=lion"]))
        let sgd = try Self.parse(["optimizer.name=sgd"])
        #expect(adamW.optimizer.name == .adamw && adamW.optimizer.beta2 == 0.95)
        #expect(lion.optimizer.beta1 == 0.9 && lion.optimizer.beta2 == 0.99)
        #expect(sgd.optimizer.momentum == 0.9 && !sgd.optimizer.nesterov)
    }

    /// The text holds the keys that the optimizer has, and is read as the same configuration.
    @Test(arguments: [
        ("adamw", ["beta1", "beta2", "epsilon"]), ("lion", ["beta1", "beta2"]),
        ("sgd", ["momentum", "nesterov"]),
    ])
    func survivesItsOwnYAML(name: String, keys: [String]) throws {
        let configuration = try Self.parse(["optimizer.name=\(name)"])
        #expect(try RunConfiguration.parse(yaml: configuration.yaml) == configuration)
        for key in ["beta1", "beta2", "epsilon", "momentum", "nesterov"] {
            #expect(configuration.yaml.contains("  \(key): ") == keys.contains(key), "\(key)")
        }
    }

    @Test(arguments: [
        ("lion", "epsilon", "1e-8"), ("lion", "momentum", "0.9"), ("lion", "nesterov", "true"),
        ("sgd", "beta1", "0.9"), ("sgd", "beta2", "0.9"), ("sgd", "epsilon", "1e-8"),
        ("adamw", "momentum", "0.9"), ("adamw", "nesterov", "false"),
    ])
    func aKeyOfAnotherOptimizerIsRefused(name: String, key: String, value: String) {
        let yaml = minimalConfiguration.replacing(
            "learning_rate: 0.001 }",
            with: "name: \(name), learning_rate: 0.001,\n  \(key): \(value) }")
        do {
            _ = try RunConfiguration.parse(yaml: yaml)
            Issue.record("\(key) was let through")
        } catch {
            #expect(
                error.problems.map(\.message) == [
                    "expected no \(key) with optimizer.name \(name), found \(value)"
                ])
            #expect(error.problems.map(\.line) == [5])
        }
    }

    /// `--set optimizer.name` need not take out what the file says of another.
    @Test func theCommandLineChoosesAnotherOptimizer() throws {
        let yaml = minimalConfiguration.replacing(
            "learning_rate: 0.001 }", with: "learning_rate: 0.001, epsilon: 1e-7 }")
        let lion = try RunConfiguration.parse(yaml: yaml, overrides: ["optimizer.name=lion"])
        #expect(!lion.yaml.contains("epsilon"))
        #expect(try RunConfiguration.parse(yaml: lion.yaml) == lion)
        #expect(throws: ConfigurationError.self) {
            try RunConfiguration.parse(
                yaml: yaml, overrides: ["optimizer.name=lion", "optimizer.epsilon=1e-6"])
        }
    }

    @Test func aChangeOfNameIsTheOnlyDifference() throws {
        let saved = try Self.parse(["optimizer.beta1=0.8", "optimizer.epsilon=1e-7"])
        let given = try Self.parse(["optimizer.name=sgd"])
        #expect(given.differences(from: saved).map(\.key) == ["optimizer.name"])
        #expect(throws: ConfigurationError.self) {
            try given.checkResume(from: saved, overrides: [])
        }
        #expect(
            try given.checkResume(from: saved, overrides: ["optimizer.name"]).map(\.given) == [
                "sgd"
            ])
        let other = try Self.parse(["optimizer.name=lion"])
        #expect(
            other.differences(from: saved).map(\.key)
                == ["optimizer.name", "optimizer.beta1", "optimizer.beta2"],
            "control: what both have")
    }
}
