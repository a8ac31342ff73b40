import Configuration
import Models
import Testing
import Training

/// Section `model` has the keys of the family that it names.
@Suite struct FamilyConfigurationTests {
    private static func file(_ model: String) -> String {
        """
        run: { directory: r, steps: 10 }
        model: { \(model) }
        batch: { sequences: 8, micro_batch: 1 }
        optimizer: { learning_rate: 1e-3 }
        """
    }

    private static let llama = "family: llama, layers: 2, heads: 4, width: 32, context_length: 16"

    private func problems(_ model: String, _ overrides: [String] = []) -> [String] {
        do throws(ConfigurationError) {
            _ = try RunConfiguration.parse(
                yaml: Self.file(model), file: "x.yaml", overrides: overrides)
            return []
        } catch {
            return error.lines
        }
    }

    @Test func aFamilyHasDefaultsOfItsOwn() throws {
        let configuration = try RunConfiguration.parse(yaml: Self.file(Self.llama))
        let shape = try #require(configuration.model.shape as? LlamaConfiguration)
        #expect(configuration.model.family == .llama)
        #expect(shape.keyHeads == 4 && shape.headDimension == 8 && shape.inner == 128)
        #expect(!shape.tiesOutput && shape.window == nil && shape.activation == .silu)
        #expect(try RunConfiguration.parse(yaml: configuration.yaml) == configuration)
        let gpt = try RunConfiguration.parse(
            yaml: Self.file(Self.llama), overrides: ["model.family=gpt"])
        #expect(gpt.model.family == .gpt && gpt.model != configuration.model)
    }

    @Test(arguments: Family.allCases)
    func everyKeyIsWrittenAndReadAgain(family: Family) throws {
        let text =
            family == .vit
            ? imageConfiguration
            : Self.file(Self.llama.replacing("llama", with: family.rawValue))
        let configuration = try RunConfiguration.parse(yaml: text)
        for key in ConfigurationKey.all(of: family) where key.section == "model" {
            let name = key.path.split(separator: ".")[1]
            #expect(configuration.yaml.contains("\n  \(name): "), "\(key.path)")
        }
        #expect(try RunConfiguration.parse(yaml: configuration.yaml) == configuration)
    }

    @Test func aKeyOfAnotherFamilyIsNamed() {
        #expect(
            problems(
                "family: gpt, layers: 2, heads: 4, width: 32, context_length: 16, key_heads: 2")
                == [
                    "x.yaml:2: model.key_heads: expected a key of the family gpt, found one that only "
                        + "llama has"
                ])
        let families = Family.allCases.map(\.rawValue).joined(separator: ", ")
        // Where nobody knows the family, the others' keys are not judged.
        #expect(
            problems(
                "family: alpaca, layers: 2, heads: 4, width: 32, context_length: 8, key_heads: 0")
                == ["x.yaml:2: model.family: expected one of \(families), found alpaca"])
    }

    @Test(arguments: [
        ("key_heads: 3", "model.key_heads: expected a divisor of model.heads (4), found 3"),
        (
            "head_dimension: 7",
            "model.head_dimension: expected an even number, since features turn in pairs, found 7"
        ),
        ("window: 0", "model.window: expected auto or a whole number from 1 to 16777216, found 0"),
        (
            "rotary_high_factor: 1",
            "model.rotary_high_factor: expected more than model.rotary_low_factor, found 1.0"
        ),
        (
            "rotary_base: 1",
            "model.rotary_base: expected a number above 1 and at most 1000000000000, found 1"
        ),
        ("tied_output: 1", "model.tied_output: expected true or false, found 1"),
        ("norm_epsilon: 0", "model.norm_epsilon: expected a number above 0 and at most 1, found 0"),
    ])
    func whatAFamilyCannotHaveIsRefused(keys: String, message: String) {
        #expect(problems("\(Self.llama), \(keys)") == ["x.yaml:2: \(message)"])
    }

    private static let bert = "family: bert, layers: 2, heads: 4, width: 32, context_length: 16"

    /// What a model predicts decides what can be said of it.
    @Test func keysOfAnotherObjectiveAreRefused() throws {
        let masked = try RunConfiguration.parse(
            yaml: Self.file(Self.bert), overrides: ["objective.masking_rate=0.3"])
        #expect(masked.objective.maskingRate == 0.3 && masked.objective.maskToken == nil)
        #expect(masked.yaml.contains("masking_rate: 0.3"))
        #expect(try RunConfiguration.parse(yaml: masked.yaml) == masked)
        let classified = try RunConfiguration.parse(
            yaml: Self.file("\(Self.bert), head: sequence_classification, labels: 3"))
        #expect(!classified.yaml.contains("masking_rate"))
        for (model, objective) in [
            (Self.llama, "causal language modelling"),
            ("\(Self.bert), head: token_classification", "classification of tokens"),
        ] {
            #expect(
                problems(model, ["objective.whole_words=true"]) == [
                    "--set: objective.whole_words: expected no whole_words where the model is made for "
                        + "\(objective), found true"
                ])
        }
        #expect(
            problems("\(Self.bert), variant: roberta, head: sequence_classification") == [
                "x.yaml:2: model.variant: expected bert where model.head is sequence_classification, found roberta"
            ])
    }

    @Test func imagesHaveKeysOfTheirOwn() {
        let vit = "family: vit, layers: 2, heads: 4, width: 32, image_size: 12"
        #expect(
            problems("\(vit), patch_size: 5")
                == [
                    "x.yaml:2: model.image_size: expected a multiple of model.patch_size (5), found 12"
                ])
        #expect(
            problems("\(vit), patch_size: 4", ["data.text=[a.txt]"]) == [
                "--set: data.text: expected no text where the model is made for classification of images, "
                    + "found a list"
            ])
        #expect(
            problems(Self.llama, ["data.flip=true"]) == [
                "--set: data.flip: expected no flip where the model is made for causal language modelling, "
                    + "found true"
            ])
        #expect(
            problems("\(vit), patch_size: 4", ["data.labels=a.npy"]) == [
                "--set: data.labels: expected data.images beside it, found a.npy alone"
            ])
    }

    @Test func ranksDivideKeyHeads() {
        #expect(
            problems("\(Self.llama), key_heads: 2", ["parallelism.tensor=4"]) == [
                "x.yaml: --set: parallelism.tensor: expected a divisor of model.key_heads (2), found 4; use 1, 2"
                    .replacing("x.yaml: ", with: "")
            ])
    }

    @Test func aRunKeepsItsFamily() throws {
        let saved = try RunConfiguration.parse(yaml: Self.file(Self.llama))
        let given = try RunConfiguration.parse(
            yaml: Self.file(Self.llama), overrides: ["model.family=gpt"])
        #expect(given.differences(from: saved).map(\.key) == ["model.family"])
        #expect(throws: ConfigurationError.self) {
            try given.checkResume(from: saved, overrides: ["model"])
        }
        let other = try RunConfiguration.parse(
            yaml: Self.file(Self.llama), overrides: ["model.key_heads=2"])
        #expect(other.differences(from: saved).map(\.key) == ["model.key_heads"])
    }
}
