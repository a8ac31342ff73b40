import Files
import Layers
import Tensors

/// The weights of a Hugging Face folder, compared with the parameters of a model; not read yet.
package struct HuggingFaceWeights: Sendable {
    private let tensors: HuggingFaceTensors
    /// By keys: names without prefix.
    private let stored: [String: StoredTensor]
    /// What a person should know.
    package let notes: [String]

    private var map: WeightMap { tensors.map }

    /// Throws `unusable` or `mismatch` with what is missing, of another shape or type, or too much.
    ///
    /// - Parameter isTied: whether the folder's configuration says that head and table are one. It has no say
    ///   where the head is a parameter.
    package init(
        in folder: HuggingFaceFolder, expecting tensors: HuggingFaceTensors, isTied: Bool
    ) throws(CheckpointError) {
        let map = tensors.map
        let wanted = Set((tensors.pieces.map(\.name) + map.aliases.map(\.name)).map(map.key))
        var stored: [String: StoredTensor] = [:]
        var wrapped: [String] = []
        for (given, tensor) in try folder.tensors().sorted(by: { $0.key < $1.key }) {
            let name = HuggingFaceTensors.unwrapped(given)
            if name != given { wrapped.append(given) }
            var key = map.key(name)
            if !wanted.contains(key) {
                if map.ignores(key) { continue }
                let renewed = map.renewed(key)
                if wanted.contains(renewed) { key = renewed }
            }
            if let other = stored[key] {
                throw CheckpointError(
                    .unusable,
                    "\(tensor.path.printable): tensor \(key.printable): expected it once, found it as "
                        + "\(other.entry.name.printable) and as \(given.printable)")
            }
            stored[key] = tensor
        }
        let unexpected = stored.filter { !wanted.contains($0.key) }.sorted { $0.key < $1.key }.map {
            "tensor \($0.key.printable): expected none of that name, found \($0.value.entry.shape)"
        }
        let heads = map.aliases.filter { alias in
            alias.isHead && !isTied && stored[map.key(alias.name)] == nil
        }
        // A folder that leaves out what it has twice may have kept the other name.
        for alias in map.aliases where !alias.isHead || isTied {
            let target = map.key(alias.target)
            if stored[target] == nil { stored[target] = stored[map.key(alias.name)] }
        }
        (self.tensors, self.stored) = (tensors, stored)
        notes =
            wrapped.first.map {
                [
                    "\(wrapped.count) names of tensors begin with module. or _orig_mod., which is left out: "
                        + $0.printable
                ]
            } ?? []
        var problems = tensors.pieces.compactMap { self.problem(with: $0) } + unexpected
        problems += heads.map {
            "tensor \($0.name): expected it where tie_word_embeddings is false, found none of that name"
        }
        guard !problems.isEmpty else { return }
        let more = problems.count > 8 ? "; and \(problems.count - 8) more" : ""
        throw CheckpointError(
            .mismatch,
            "\(folder.path.printable): \(problems.prefix(8).joined(separator: "; "))\(more)")
    }

    private func problem(with piece: WeightMap.Piece) -> String? {
        let key = map.key(piece.name)
        guard let found = stored[key] else {
            return "tensor \(key): expected \(piece.shape), found none of that name"
        }
        guard found.entry.shape == piece.shape else {
            return "tensor \(key): expected \(piece.shape), found \(found.entry.shape)"
        }
        guard found.isFloat else {
            return
                "tensor \(key): expected F32, F16, BF16 or F64, found \(found.entry.type.rawValue)"
        }
        return nil
    }

    /// The parameters as a state to save, Float32 and in logical order, which is read while it is written.
    package var state: [StreamedTensor] {
        tensors.all.map { tensor in
            StreamedTensor(name: tensor.name, spec: ShardSpec(replicated: tensor.shape)) {
                (take) throws(CheckpointError) in
                for piece in tensor.pieces { try read(piece, take) }
            }
        }
    }

    private func source(_ piece: WeightMap.Piece) -> StoredTensor {
        guard let source = stored[map.key(piece.name)] else {
            preconditionFailure(
                "HuggingFaceWeights: \(piece.name) was looked for when it was made")
        }
        return source
    }

    /// What a parameter has of a tensor, block by block and in its own order.
    private func read(
        _ piece: WeightMap.Piece, _ take: StreamedTensor.Take
    ) throws(CheckpointError) {
        let source = source(piece)
        func elements(_ range: Range<Int>, into buffer: Buffer) throws(CheckpointError) {
            try piece.read(range, isOurs: true, into: buffer) {
                (theirs, part) throws(CheckpointError) in
                try source.read(elements: theirs, into: part)
            }
        }
        if piece.isTransposed {
            try transposeBlocks(
                rows: piece.shape[0], columns: piece.shape[1], read: elements, take: take)
        } else {
            try forEachBlock(of: piece.count, read: elements, take: take)
        }
    }

    /// Throws where a weight is no number, or is beyond Float32. It reads all of them.
    package func checkValues() throws(CheckpointError) {
        for piece in tensors.pieces {
            let source = source(piece)
            var position = piece.skipped
            try forEachBlock(of: piece.count) { (range, block) throws(CheckpointError) in
                let start = piece.skipped + range.lowerBound
                try source.read(elements: start..<start + range.count, into: block)
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

    /// Throws if a tensor that the model has once is in the folder twice, with other values: a head of its own
    /// where ours is the token table. Reads both.
    package func checkAliases() throws(CheckpointError) {
        for alias in map.aliases {
            guard let other = stored[map.key(alias.name)],
                let target = stored[map.key(alias.target)]
            else { continue }
            try check(alias, other, against: target)
        }
    }

    private func check(
        _ alias: WeightMap.Alias, _ other: StoredTensor, against target: StoredTensor
    ) throws(CheckpointError) {
        let (name, key) = (map.key(alias.name), map.key(alias.target))
        guard other.isFloat, other.entry.shape == target.entry.shape else {
            throw CheckpointError(
                .mismatch,
                "\(other.path.printable): tensor \(name): expected \(target.entry.shape) as \(key) has, "
                    + "found \(other.entry.type.rawValue) \(other.entry.shape)")
        }
        let values = Buffer(count: StreamedTensor.blockElementCount)
        var position = 0
        try forEachBlock(of: other.entry.shape.count) { (range, block) throws(CheckpointError) in
            try target.read(elements: range, into: block)
        } take: { (block) throws(CheckpointError) in
            try other.read(
                elements: position..<position + block.count, into: values[0..<block.count])
            for index in 0..<block.count
            where block.floats[index].bitPattern != values.floats[index].bitPattern {
                throw CheckpointError(
                    .mismatch,
                    "\(other.path.printable): tensor \(name): expected the values of \(key), found "
                        + "another at element \(position + index); "
                        + (alias.isHead
                            ? "a head of its own is not supported: tie it (model.tie_weights()) and save "
                                + "again" : "the model has one tensor for both"))
            }
            position += block.count
        }
    }
}
