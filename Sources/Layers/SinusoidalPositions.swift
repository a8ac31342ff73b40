import Foundation
import Tensors

/// Positions as sines and cosines of falling frequencies (Vaswani et al. 2017, section 3.5): of pair i of place t,
/// sin and cos of t / base^(2i/width). It has no parameters.
public struct SinusoidalPositions {
    /// Where the two of a pair stand.
    public enum Order: Sendable {
        /// Side by side, as the paper has it.
        case interleaved
        /// All sines first, as tensor2tensor, fairseq and Marian have it.
        case halves
    }

    private let tables: [DType: Leaf]
    private let numerics: Numerics

    /// - Parameters:
    ///   - count: places, from 0.
    ///   - width: an even number of features.
    public init(
        count: Int, width: Int, base: Double = 10_000, order: Order, numerics: Numerics
    ) {
        precondition(
            width.isMultiple(of: 2), "SinusoidalPositions: expected an even width, got \(width)")
        self.numerics = numerics
        let table = Tensor(
            (0..<count).flatMap { place in
                (0..<width).map { column -> Float in
                    let (pair, isSine) =
                        switch order {
                        case .interleaved: (column / 2, column % 2 == 0)
                        case .halves: (column % (width / 2), column < width / 2)
                        }
                    let angle = Double(place) / pow(base, Double(2 * pair) / Double(width))
                    return Float(isSine ? sin(angle) : cos(angle))
                }
            }, shape: [count, width])
        tables = Dictionary(
            uniqueKeysWithValues: [DType.float32, .float16, .bfloat16].map {
                ($0, Leaf(table.converted(to: $0), isTrainable: false))
            })
    }

    /// x [sequences, tokens, width] → the same with the vectors of the tokens' places added.
    public func callAsFunction(_ x: Tensor, _ pass: Pass) -> Tensor {
        guard let table = tables[x.dtype] else {
            preconditionFailure("SinusoidalPositions: for \(x.dtype)")
        }
        let places = pass.positions(sequences: x.shape[0], tokens: x.shape[1])
        let positions = embedding(
            places, table: table, tokens: pass.tokens(numerics), tape: pass.tape)
        return add(x, positions, tape: pass.tape)
    }
}
