import Files
import Layers
import Tensors

/// The weights of a Hugging Face folder, compared with the tensors of a model; not read yet.
package struct HuggingFaceWeights: Sendable {
    private let tensors: [HuggingFaceTensor]
    /// By our names.
    private let stored: [String: StoredTensor]
    private let head: StoredTensor?
    /// What a person should know.
    package let notes: [String]

    /// Throws `unusable` or `mismatch` with what is missing, of another shape or type, or too much.
    ///
    /// - Parameter isTied: whether the folder's configuration says that head and table are one.
    package init(
        in folder: HuggingFaceFolder, expecting tensors: [HuggingFaceTensor], isTied: Bool
    ) throws(CheckpointError) {
        var stored: [String: StoredTensor] = [:]
        var head: StoredTensor?
        let found = try folder.tensors()
        var wrapped: [String] = []
        for (given, tensor) in found.sorted(by: { $0.key < $1.key }) {
            let name = HuggingFaceTensor.unwrapped(given)
            if name != given { wrapped.append(given) }
            let isPrefixed = name.hasPrefix(HuggingFaceTensor.prefix)
            let own = isPrefixed ? String(name.dropFirst(HuggingFaceTensor.prefix.count)) : name
            if HuggingFaceTensor.isMask(own) { continue }
            let isHead = name == HuggingFaceTensor.head
            guard isHead ? head == nil : stored[own] == nil else {
                throw CheckpointError(
                    .unusable,
                    "\(tensor.path.printable): tensor \(own.printable): expected it once, found it with a "
                        + "prefix and without")
            }
            if isHead { head = tensor } else { stored[own] = tensor }
        }
        (self.tensors, self.stored, self.head) = (tensors, stored, head)
        notes =
            wrapped.first.map {
                [
                    "\(wrapped.count) names of tensors begin with module. or _orig_mod., which is left out: "
                        + $0.printable
                ]
            } ?? []
        var problems = tensors.compactMap { self.problem(with: $0) } + unexpected
        if head == nil, !isTied {
            problems.append(
                "tensor \(HuggingFaceTensor.head): expected it where tie_word_embeddings is false, found "
                    + "none of that name")
        }
        guard !problems.isEmpty else { return }
        let more = problems.count > 8 ? "; and \(problems.count - 8) more" : ""
        throw CheckpointError(
            .mismatch,
            "\(folder.path.printable): \(problems.prefix(8).joined(separator: "; "))\(more)")
    }

    private func problem(with tensor: HuggingFaceTensor) -> String? {
        guard let found = stored[tensor.name] else {
            return "tensor \(tensor.name): expected \(tensor.storedShape), found none of that name"
        }
        guard found.entry.shape == tensor.storedShape else {
            return
                "tensor \(tensor.name): expected \(tensor.storedShape), found \(found.entry.shape)"
        }
        guard found.isFloat else {
            return
                "tensor \(tensor.name): expected F32, F16, BF16 or F64, found \(found.entry.type.rawValue)"
        }
        return nil
    }

    private var unexpected: [String] {
        let wanted = Set(tensors.map(\.name))
        return stored.filter { !wanted.contains($0.key) }.sorted { $0.key < $1.key }.map {
            "tensor \($0.key.printable): expected none of that name, found \($0.value.entry.shape)"
        }
    }

    /// The parameters as a state to save, Float32 and in logical order, which is read while it is written.
    package var state: [StreamedTensor] {
        tensors.map { tensor in
            StreamedTensor(name: tensor.name, spec: ShardSpec(replicated: tensor.shape)) {
                (take) throws(CheckpointError) in try read(tensor, take)
            }
        }
    }

    /// A tensor block by block, in our order.
    private func read(
        _ tensor: HuggingFaceTensor, _ take: StreamedTensor.Take
    ) throws(CheckpointError) {
        guard let source = stored[tensor.name] else {
            preconditionFailure(
                "HuggingFaceWeights: \(tensor.name) was looked for when it was made")
        }
        func elements(_ range: Range<Int>, into buffer: Buffer) throws(CheckpointError) {
            try source.read(elements: range, into: buffer)
        }
        if tensor.isTransposed {
            let stored = tensor.storedShape
            try transposeBlocks(rows: stored[0], columns: stored[1], read: elements, take: take)
        } else {
            try forEachBlock(of: tensor.shape.count, read: elements, take: take)
        }
    }

    /// Throws where a weight is no number, or is beyond Float32. It reads all of them.
    package func checkValues() throws(CheckpointError) {
        for tensor in tensors {
            guard let source = stored[tensor.name] else { continue }
            var position = 0
            try forEachBlock(of: tensor.shape.count) { (range, block) throws(CheckpointError) in
                try source.read(elements: range, into: block)
            } take: { (block) throws(CheckpointError) in
                if let index = (0..<block.count).first(where: { !block.floats[$0].isFinite }) {
                    throw CheckpointError(
                        .mismatch,
                        "\(source.path.printable): tensor \(source.entry.name.printable): expected finite "
                            + "numbers, found \(block.floats[index]) at element \(position + index); save the "
                            + "model again from a state before it broke")
                }
                position += block.count
            }
        }
    }

    /// Throws where there is a head of its own: ours is the token table, which a folder may have twice, not two
    /// of them. It reads both.
    package func checkHead() throws(CheckpointError) {
        guard let head, let table = stored[HuggingFaceTensor.table] else { return }
        guard head.isFloat, head.entry.shape == table.entry.shape else {
            throw CheckpointError(
                .mismatch,
                "\(head.path.printable): tensor \(HuggingFaceTensor.head): expected "
                    + "\(table.entry.shape) as \(HuggingFaceTensor.table) has, found "
                    + "\(head.entry.type.rawValue) \(head.entry.shape)")
        }
        let other = Buffer(count: StreamedTensor.blockElementCount)
        var position = 0
        try forEachBlock(of: head.entry.shape.count) { (range, block) throws(CheckpointError) in
            try table.read(elements: range, into: block)
        } take: { (block) throws(CheckpointError) in
            try head.read(
                elements: position..<position + block.count, into: other[0..<block.count])
            for index in 0..<block.count
            where block.floats[index].bitPattern != other.floats[index].bitPattern {
                throw CheckpointError(
                    .mismatch,
                    "\(head.path.printable): tensor \(HuggingFaceTensor.head): expected the values "
                        + "of \(HuggingFaceTensor.table), found another at element \(position + index); "
                        + "a head of its own is not supported: tie it (model.tie_weights()) and save again"
                )
            }
            position += block.count
        }
    }
}
