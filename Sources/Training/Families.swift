import Models

/// The families of models: the one list that a new one joins, with a case and its shape. Everything else of it
/// stands in its own folder of Models (docs/adding-a-family.md).
public enum Family: String, Sendable, CaseIterable {
    case gpt
    case llama
    case bert
    case vit
    case neox
    case transformer

    var shape: any ModelShape.Type {
        switch self {
        case .gpt: GPTConfiguration.self
        case .llama: LlamaConfiguration.self
        case .bert: BERTConfiguration.self
        case .vit: ViTConfiguration.self
        case .neox: NeoXConfiguration.self
        case .transformer: TransformerConfiguration.self
        }
    }

    /// The family of a shape.
    init(of shape: any ModelShape) {
        guard let family = Family.allCases.first(where: { $0.shape == type(of: shape) }) else {
            preconditionFailure("Family: \(type(of: shape)) is in no family")
        }
        self = family
    }
}
