import Layers
import Tensors

/// The parameters of a model, and what they are in a Hugging Face folder.
package struct HuggingFaceTensors: Sendable {
    struct Tensor: Sendable {
        /// As in our checkpoints.
        let name: String
        let shape: Shape
        /// What of a folder holds its elements, in their order.
        let pieces: [WeightMap.Piece]
    }

    let map: WeightMap
    let all: [Tensor]

    /// - Parameter map: has a rule for each of the parameters and for nothing else, and names no tensor twice.
    package init(_ map: WeightMap, of parameters: [Parameter]) {
        let rules = Dictionary(map.rules.map { ($0.parameter, $0) }) { first, _ in
            preconditionFailure("WeightMap: expected one rule for \(first.parameter), got two")
        }
        let names = Set(parameters.map(\.name))
        if let other = map.rules.first(where: { !names.contains($0.parameter) }) {
            preconditionFailure(
                "WeightMap: expected rules for the model's parameters, got one for \(other.parameter)"
            )
        }
        self.map = map
        all = parameters.map { parameter in
            guard let rule = rules[parameter.name] else {
                preconditionFailure("WeightMap: expected a rule for \(parameter.name), got none")
            }
            let shape = parameter.spec.shape
            return Tensor(name: parameter.name, shape: shape, pieces: rule.pieces(of: shape))
        }
        var keys: Set<String> = []
        for name in pieces.map(\.name) + map.aliases.map(\.name) {
            precondition(
                keys.insert(map.key(name)).inserted,
                "WeightMap: expected each tensor of a folder once, got \(name) twice")
        }
        for alias in map.aliases {
            precondition(
                pieces.contains { $0.name == alias.target },
                "WeightMap: \(alias.name) has the values of \(alias.target), which no rule names")
        }
    }

    /// Every tensor of a folder, in the order of the parameters.
    var pieces: [WeightMap.Piece] { all.flatMap(\.pieces) }

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
}

extension WeightMap.Piece {
    /// As Float32.
    var byteCount: Int { shape.count * SafetensorsType.float32.size }

    /// Fills a buffer with elements of one side from where they lie on the other.
    ///
    /// - Parameters:
    ///   - isOurs: whether `range` is of the parameter's elements that are here; else of the tensor.
    ///   - read: elements of the other side.
    func read(
        _ range: Range<Int>, isOurs: Bool, into buffer: Buffer,
        _ read: (Range<Int>, Buffer) throws(CheckpointError) -> Void
    ) throws(CheckpointError) {
        var position = 0
        for place in places(of: range, isOurs: isOurs) {
            try read(place, buffer[position..<position + place.count])
            position += place.count
        }
    }
}
