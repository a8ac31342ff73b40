import Models

// What still asks a configuration for a GPT.
extension RunConfiguration.Model {
    package var gpt: GPTConfiguration {
        get {
            guard let shape = shape as? GPTConfiguration else {
                preconditionFailure("RunConfiguration: expected a gpt, found \(family.rawValue)")
            }
            return shape
        }
        set { shape = newValue }
    }

    package init(layers: Int, heads: Int, width: Int, contextLength: Int) {
        self.init(
            GPTConfiguration(
                contextLength: contextLength, layers: layers, heads: heads, width: width))
    }
}
