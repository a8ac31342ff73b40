/// Names in a Hugging Face folder.
package enum HuggingFaceFile {
    package static let configuration = "config.json"
    package static let tokenizer = "tokenizer.json"
    /// How images are prepared.
    package static let preprocessor = "preprocessor_config.json"
    static let weights = "model.safetensors"
    static let index = "model.safetensors.index.json"

    static func shard(_ index: Int, of count: Int) -> String {
        func digits(_ number: Int) -> String {
            String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number)
        }
        return "model-\(digits(index + 1))-of-\(digits(count)).safetensors"
    }

    /// Whether a name from an index is that of a file beside it, and of nothing elsewhere.
    static func isPlain(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.hasPrefix(".") && name.utf8.count <= 255
            && name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0 != "/" && $0 != "\\" }
    }
}
