import Models
import Training

/// Most runs of these tests are of a GPT.
extension RunConfiguration.Model {
    var gpt: GPTConfiguration {
        get {
            guard let shape = shape as? GPTConfiguration else {
                preconditionFailure("RunConfiguration: expected a gpt, found \(family.rawValue)")
            }
            return shape
        }
        set { shape = newValue }
    }

    init(layers: Int, heads: Int, width: Int, contextLength: Int) {
        self.init(
            GPTConfiguration(
                contextLength: contextLength, layers: layers, heads: heads, width: width))
    }
}

extension ConfigurationKey {
    /// Those that a run of a GPT has: without the keys of other objectives.
    static let ofGPT = all(of: .gpt).filter { key in
        let others = [
            "objective.masking_rate", "objective.mask_token", "objective.whole_words",
            "data.images", "data.labels", "data.validation_images", "data.validation_labels",
            "data.crop_padding", "data.flip", "data.image_mean", "data.image_deviation",
            "batch.tokens",
        ]
        return !others.contains(key.path)
    }
}
