// Runs the attention kernels on arrays.

import Kernels

struct DropoutCase: Sendable {
    static let seed: UInt64 = 7
    static let stream: UInt64 = 11
    var rate: Float
    var firstSequence = 3
    var firstHead = 1
    var globalHeadCount = 16
}

/// Operands of one attention, heads side by side in a row, and its results; what is stored goes through
/// memory of `type`.
struct AttentionRun {
    var shape: AttentionShape
    var mask = MaskCase()
    var dropout: DropoutCase?
    var type = ElementType.float32
    var query: [Float]
    var key: [Float]
    var value: [Float]
    var bias: [Float]?
    /// The gradient of the output.
    var upstream: [Float]

    struct Gradients {
        var query: [Float]
        var key: [Float]
        var value: [Float]
        var bias: [Float]
    }

    init(
        _ shape: AttentionShape, mask: MaskCase = MaskCase(), bias: Bool = false, seed: UInt64 = 1,
        type: ElementType = .float32
    ) {
        func values(_ count: Int, seed: UInt64) -> [Float] {
            rounded(KernelsTests.values(count, seed: seed), to: type)
        }
        self.type = type
        self.shape = shape
        self.mask = mask
        // Scores of several units, so that the softmax is far from flat.
        query = values(shape.queryCount, seed: seed).map { $0 * 4 }
        key = values(shape.keyCount, seed: seed + 1)
        value = values(shape.keyCount, seed: seed + 2)
        upstream = values(shape.queryCount, seed: seed + 4)
        self.bias = bias ? values(shape.biasCount, seed: seed + 3) : nil
    }

    var reference: AttentionReference {
        AttentionReference(
            shape: shape, mask: mask, dropout: dropoutScales, query: query.map(Double.init),
            key: key.map(Double.init), value: value.map(Double.init), bias: bias?.map(Double.init))
    }

    /// The factors that the documented indices give.
    private var dropoutScales: [Double]? {
        guard let dropout else { return nil }
        let stream = RandomStream(seed: DropoutCase.seed, stream: DropoutCase.stream)
        var result: [Double] = []
        for sequence in 0..<shape.batch {
            for head in 0..<shape.queryHeads {
                for query in 0..<shape.queries {
                    let pair =
                        (dropout.firstSequence + sequence) * dropout.globalHeadCount
                        + dropout.firstHead + head
                    let position = (query + mask.queryOffset + (1 << 20)) % (1 << 20)
                    var row = [Float](repeating: 0, count: shape.keys)
                    kernels.dropoutScales(
                        stream, into: &row, count: shape.keys,
                        firstIndex: UInt64(pair) << 40 + UInt64(position) << 20,
                        rate: dropout.rate)
                    result += row.map(Double.init)
                }
            }
        }
        return result
    }

    /// What a rank would compute that holds one sequence and one key head with its query heads.
    func part(sequence: Int, keyHead: Int) -> AttentionRun {
        let group = shape.queryHeads / shape.keyHeads
        var part = self
        part.shape.batch = 1
        part.shape.queryHeads = group
        part.shape.keyHeads = 1
        func cut(_ x: [Float], length: Int, heads: Int, first: Int, count: Int) -> [Float] {
            (sequence * length..<(sequence + 1) * length).flatMap { row in
                let start = (row * heads + first) * shape.dimension
                return x[start..<start + count * shape.dimension]
            }
        }
        func cutQueries(_ x: [Float]) -> [Float] {
            cut(
                x, length: shape.queries, heads: shape.queryHeads, first: keyHead * group,
                count: group)
        }
        func cutKeys(_ x: [Float]) -> [Float] {
            cut(x, length: shape.keys, heads: shape.keyHeads, first: keyHead, count: 1)
        }
        part.query = cutQueries(query)
        part.upstream = cutQueries(upstream)
        part.key = cutKeys(key)
        part.value = cutKeys(value)
        part.dropout?.firstSequence += sequence
        part.dropout?.firstHead += keyHead * group
        return part
    }

    /// The local heads as a view of rows that hold all heads side by side.
    private func view(_ x: Elements, length: Int, heads: Int) -> HeadView {
        let stride = heads * shape.dimension
        return HeadView(
            x, batchStride: length * stride, rowStride: stride,
            headOffsets: (0..<heads).map { $0 * shape.dimension })
    }

    private func queryView(_ x: Elements) -> HeadView {
        view(x, length: shape.queries, heads: shape.queryHeads)
    }

    private func keyView(_ x: Elements) -> HeadView {
        view(x, length: shape.keys, heads: shape.keyHeads)
    }

    private var geometry: AttentionGeometry {
        AttentionGeometry(
            batch: shape.batch, queryHeads: shape.queryHeads, keyHeads: shape.keyHeads,
            queryLength: shape.queries, keyLength: shape.keys, headDimension: shape.dimension,
            scale: shape.scale)
    }

    private func kernelMask(_ memory: TestMemory) -> AttentionMask {
        AttentionMask(
            causal: mask.causal, queryOffset: mask.queryOffset, window: mask.window,
            keyRanges: mask.keyRanges,
            querySegments: mask.querySegments.map { UnsafePointer(memory.copy($0)) },
            keySegments: mask.keySegments.map { UnsafePointer(memory.copy($0)) })
    }

    private var kernelDropout: AttentionDropout? {
        dropout.map {
            AttentionDropout(
                rate: $0.rate, seed: DropoutCase.seed, stream: DropoutCase.stream,
                firstSequence: $0.firstSequence,
                heads: Array($0.firstHead..<$0.firstHead + shape.queryHeads),
                globalHeadCount: $0.globalHeadCount)
        }
    }

    func forward() -> (output: [Float], logSumExp: [Float]) {
        withMemory { memory in
            let output = memory.unset(shape.queryCount, type)
            let logSumExp = memory.unset(shape.rowCount)
            kernels.attentionForward(
                geometry, query: queryView(memory.elements(query, type)),
                key: keyView(memory.elements(key, type)),
                value: keyView(memory.elements(value, type)),
                mask: kernelMask(memory),
                bias: bias.map { AttentionBias(values: memory.elements($0, type)) },
                dropout: kernelDropout, into: queryView(output), logSumExp: logSumExp)
            return (array(output, shape.queryCount), array(logSumExp, shape.rowCount))
        }
    }

    /// Gradients of Σ output·upstream; those not wanted stay not a number.
    func backward(
        queryWanted: Bool = true, keyWanted: Bool = true, valueWanted: Bool = true
    ) -> Gradients {
        let (output, logSumExp) = forward()
        return withMemory { memory in
            let dq = memory.unset(shape.queryCount, type)
            let dk = memory.unset(shape.keyCount, type)
            let dv = memory.unset(shape.keyCount, type)
            let dbias = memory.unset(bias == nil ? 0 : shape.biasCount)
            kernels.attentionBackward(
                geometry, query: queryView(memory.elements(query, type)),
                key: keyView(memory.elements(key, type)),
                value: keyView(memory.elements(value, type)),
                mask: kernelMask(memory),
                bias: bias.map {
                    AttentionBias(values: memory.elements($0, type), gradient: dbias)
                },
                dropout: kernelDropout, output: queryView(memory.elements(output, type)),
                outputGradient: queryView(memory.elements(upstream, type)),
                logSumExp: memory.copy(logSumExp),
                queryGradient: queryWanted ? queryView(dq) : nil,
                keyGradient: keyWanted ? keyView(dk) : nil,
                valueGradient: valueWanted ? keyView(dv) : nil)
            return Gradients(
                query: array(dq, shape.queryCount), key: array(dk, shape.keyCount),
                value: array(dv, shape.keyCount),
                bias: array(dbias, bias == nil ? 0 : shape.biasCount))
        }
    }
}
