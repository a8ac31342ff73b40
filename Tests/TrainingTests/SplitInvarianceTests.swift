import Foundation
import Kernels
import Tensors
import Testing
import Training

/// docs/numerics.md, "Products": at the shapes of every configuration in configs/, a product has the same
/// bits whole and as the whole slices that 2 or 4 ranks would hold, on one thread and on several.
@Suite(.serialized) struct SplitInvarianceTests {
    static let configurations: [String] = {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return ["configs", "configs/tests"].flatMap { folder in
            let path = root.appendingPathComponent(folder).path
            let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
            return names.filter { $0.hasSuffix(".yaml") }.sorted().map { "\(path)/\($0)" }
        }
    }()

    /// A product y = x·Wᵀ of the model, tokens by outputs by inputs; the outputs may be cut, or the inputs.
    struct Shape: Hashable {
        let tokens: Int
        let outputs: Int
        let inputs: Int
        let cutsOutputs: Bool
    }

    @Test(arguments: configurations) func theShapesOf(_ path: String) throws {
        let configuration = try RunConfiguration.load(file: path)
        let model = configuration.model
        let slices = configuration.numerics.slices
        let width = model.width
        let tokens = configuration.batch.microBatch * model.contextLength
        let shapes: Set<Shape> = [
            Shape(tokens: tokens, outputs: 3 * width, inputs: width, cutsOutputs: true),
            Shape(tokens: tokens, outputs: width, inputs: width, cutsOutputs: false),
            Shape(tokens: tokens, outputs: model.feedForward, inputs: width, cutsOutputs: true),
            Shape(tokens: tokens, outputs: width, inputs: model.feedForward, cutsOutputs: false),
            Shape(
                tokens: tokens, outputs: model.vocabulary ?? 65, inputs: width, cutsOutputs: true),
        ]
        for shape in shapes {
            try check(shape, slices: slices)
        }
    }

    private func check(_ shape: Shape, slices: Int) throws {
        let cut = shape.cutsOutputs ? shape.outputs : shape.inputs
        let borders = (0...slices).map { $0 * cut / slices }
        let x = noise(shape.tokens * shape.inputs, seed: 1)
        let weight = noise(shape.outputs * shape.inputs, seed: 2)
        let y = Buffer(count: shape.tokens * shape.outputs)

        /// The slices `range`, as the rank that holds them would have them.
        func forward(_ range: Range<Int>, threads: Int) -> Buffer {
            Threads.start(threads)
            let (first, last) = (borders[range.lowerBound], borders[range.upperBound])
            if shape.cutsOutputs {
                let part = Buffer(count: shape.tokens * (last - first))
                product(
                    rows: shape.tokens, columns: last - first, inner: shape.inputs,
                    Operand(x.floats, stride: shape.inputs),
                    Operand(
                        weight.floats + first * shape.inputs, stride: shape.inputs,
                        transposed: true),
                    into: part.floats, stride: last - first)
                return part
            }
            let part = Buffer(count: shape.tokens * shape.outputs)
            sumOfProducts(
                rows: shape.tokens, columns: shape.outputs,
                slices: range.map { slice in
                    ProductSlice(
                        inner: borders[slice + 1] - borders[slice],
                        a: Operand(x.floats + borders[slice], stride: shape.inputs),
                        b: Operand(
                            weight.floats + borders[slice], stride: shape.inputs, transposed: true))
                }, into: part.floats, stride: shape.outputs)
            return part
        }
        /// All slices from the parts of so many ranks.
        func joined(ranks: Int, threads: Int) -> Buffer {
            let share = slices / ranks
            let parts = (0..<ranks).map { forward($0 * share..<($0 + 1) * share, threads: threads) }
            if !shape.cutsOutputs {
                let columns = y.count
                let all = Buffer(count: ranks * columns)
                for (rank, part) in parts.enumerated() {
                    (all.floats + rank * columns).update(from: part.floats, count: columns)
                }
                treeAdd(all.floats, slices: ranks, stride: columns, count: columns)
                return all[0..<columns]
            }
            for (rank, part) in parts.enumerated() {
                let (first, last) = (borders[rank * share], borders[(rank + 1) * share])
                for row in 0..<shape.tokens {
                    (y.floats + row * shape.outputs + first).update(
                        from: part.floats + row * (last - first), count: last - first)
                }
            }
            return y
        }

        let whole = forward(0..<slices, threads: 1)
        #expect(equal(whole, forward(0..<slices, threads: 3)), "\(shape) on 3 threads")
        for ranks in [2, 4] where slices % ranks == 0 {
            #expect(equal(whole, joined(ranks: ranks, threads: 2)), "\(shape) on \(ranks) ranks")
        }
        // The control: one flipped bit.
        whole.floats[whole.count / 2] = Float(
            bitPattern: whole.floats[whole.count / 2].bitPattern ^ 1)
        #expect(!equal(whole, forward(0..<slices, threads: 2)))
    }

    private func equal(_ a: Buffer, _ b: Buffer) -> Bool {
        a.count == b.count && memcmp(a.bytes, b.bytes, a.byteCount) == 0
    }

    private func noise(_ count: Int, seed: UInt64) -> Buffer {
        let buffer = Buffer(count: count)
        RandomStream(seed: seed, stream: 0).normal(
            into: buffer.floats, count: count, firstIndex: 0, mean: 0, deviation: 1)
        return buffer
    }
}
