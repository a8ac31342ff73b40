// How GPT-2's tensors are named and laid out in Hugging Face's files (transformers, `modeling_gpt2.py`).

import Layers
import Tensors

/// A tensor of a model, and what it is in a Hugging Face folder.
package struct HuggingFaceTensor: Sendable {
    /// In our checkpoints.
    package let name: String
    /// In our checkpoints: a product's weight is [outputs, inputs].
    package let shape: Shape
    /// Whether the file has [inputs, outputs], as the class Conv1D keeps its weight.
    package let isTransposed: Bool

    package init(gpt2 parameter: Parameter) {
        (name, shape) = (parameter.name, parameter.spec.shape)
        isTransposed = HuggingFaceTensor.conv1D.contains { parameter.name.hasSuffix($0) }
    }

    /// As `GPT2LMHeadModel` names it; `GPT2Model` has no prefix.
    var storedName: String { HuggingFaceTensor.prefix + name }
    var storedShape: Shape { isTransposed ? Shape(shape.extents.reversed()) : shape }
    var byteCount: Int { shape.count * SafetensorsType.float32.size }

    static let prefix = "transformer."
    static let head = "lm_head.weight"
    static let table = "wte.weight"
    private static let conv1D = [
        ".attn.c_attn.weight", ".attn.c_proj.weight", ".mlp.c_fc.weight", ".mlp.c_proj.weight",
    ]

    /// What wrappers of PyTorch put before names: DataParallel and its successors, torch.compile.
    private static let wrappers = ["module.", "_orig_mod."]

    /// A name without what wrappers put before it.
    static func unwrapped(_ name: String) -> String {
        var rest = name[...]
        while let wrapper = wrappers.first(where: { rest.hasPrefix($0) }) {
            rest = rest.dropFirst(wrapper.count)
        }
        return String(rest)
    }

    /// Whether a name without prefix is a mask that older versions of transformers stored.
    static func isMask(_ name: String) -> Bool {
        name.hasPrefix("h.")
            && (name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias"))
    }
}

/// Names in a Hugging Face folder.
package enum HuggingFaceFile {
    package static let configuration = "config.json"
    package static let tokenizer = "tokenizer.json"
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
