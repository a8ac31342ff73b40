// Vectors that stand for texts, from a checkpoint's encoder.

import Datasets
import Models
import Tensors

/// How a text's hidden states become one vector.
public enum Pooling: String, Sendable, CaseIterable {
    /// The mean over its tokens (Reimers and Gurevych 2019).
    case mean
    /// That of its first token, which stands for the whole.
    case first
}

extension TrainedModel {
    /// A vector of the model's width for each text. A text has the bits that it has alone, whatever stands beside it.
    ///
    /// - Parameter isNormalised: whether vectors have length 1, so that their products are cosines.
    public func embed(
        _ texts: [String], pooling: Pooling = .mean, isNormalised: Bool = false
    ) throws(RunError) -> [[Float]] {
        guard let model = model as? any TextEncoder else {
            throw RunError(
                .usage,
                "model.family: expected one that encodes texts, found "
                    + configuration.model.family.rawValue)
        }
        var ids: [[Int32]] = []
        for (number, text) in texts.enumerated() {
            ids.append(try tokens(of: text, number: number, limit: model.contextLength))
        }
        var vectors: [[Float]] = []
        for start in stride(from: 0, to: ids.count, by: configuration.evaluation.microBatch) {
            let rows = ids[start..<min(start + configuration.evaluation.microBatch, ids.count)]
            let states = model.hiddenStates(Tokens(Array(rows)).input)
            let values = states.array
            let (length, width) = (states.shape[1], states.shape[2])
            for (row, tokens) in rows.enumerated() {
                let first = row * length * width
                let vector = (0..<width).map { column -> Double in
                    switch pooling {
                    case .first: Double(values[first + column])
                    case .mean:
                        tokens.indices.reduce(0.0) {
                            $0 + Double(values[first + $1 * width + column])
                        } / Double(tokens.count)
                    }
                }
                let norm = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
                vectors.append(vector.map { Float(isNormalised && norm > 0 ? $0 / norm : $0) })
            }
        }
        return vectors
    }

    private func tokens(
        of text: String, number: Int, limit: Int
    ) throws(RunError) -> [Int32] {
        let place = "text \(number + 1)"
        let tokenizer = try tokenizer()
        let ids: [Int32]
        do throws(DatasetError) {
            ids = try tokenizer.encode(text)
        } catch {
            throw RunError(.usage, "\(place): \(error.message)")
        }
        guard (1...limit).contains(ids.count) else {
            throw RunError(
                .usage,
                "\(place): expected 1 to \(limit) tokens (model.context_length), found \(ids.count)"
            )
        }
        return ids
    }
}

/// Rows of different lengths, padded at their ends with token 0, which nothing sees.
private struct Tokens {
    let input: ModelInput

    init(_ rows: [[Int32]]) {
        let length = rows.map(\.count).max() ?? 0
        let padded = rows.flatMap { $0 + [Int32](repeating: 0, count: length - $0.count) }
        typealias Name = Datasets.Batch.Name
        input = ModelInput(
            fields: [
                Name.tokens: Tensor(integers: padded, shape: [rows.count, length]),
                Name.lengths: Tensor(
                    integers: rows.map { Int32($0.count) }, shape: [rows.count]),
            ], weights: Tensor(zeros: [rows.count * length]))
    }
}
