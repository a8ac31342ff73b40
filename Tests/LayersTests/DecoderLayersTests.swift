import Foundation
import Kernels
import Layers
import Tensors
import Testing

/// Attention and feed-forward of a Llama-class decoder in Float64, on parameters in logical order.
private struct Reference {
    var parameters: [String: [Double]]
    var x: [Double]
    let tokens = 7
    let width = 12
    let heads = 4
    let keyHeads = 2
    let dimension = 6
    let inner = 10
    let window = 3
    let start = 2
    let rotary: RotaryConfiguration
    let epsilon = Double(Float(1e-6))

    /// A parameter by name.
    subscript(name: String) -> [Double] {
        get { parameters[name]! }
        set { parameters[name] = newValue }
    }

    private func product(
        _ x: [Double], _ name: String, outputs: Int, bias: Bool
    ) -> [Double] {
        let weight = parameters["\(name).weight"]!
        let inputs = weight.count / outputs
        return (0..<x.count / inputs).flatMap { row in
            (0..<outputs).map { output in
                let start = bias ? parameters["\(name).bias"]![output] : 0
                return (0..<inputs).reduce(start) {
                    $0 + x[row * inputs + $1] * weight[output * inputs + $1]
                }
            }
        }
    }

    /// Normalised and turned.
    private func head(_ x: ArraySlice<Double>, _ norm: String, position: Int) -> [Double] {
        let x = Array(x)
        let gain = parameters["\(norm).weight"]!
        let square = x.reduce(0) { $0 + $1 * $1 } / Double(dimension)
        let normal = zip(x, gain).map { $0 * $1 / (square + epsilon).squareRoot() }
        var turned = normal
        let pairs = rotary.rotaryDimension / 2
        for (pair, frequency) in rotary.frequencies(positions: 16).enumerated() {
            let angle = Double(Float(position) * frequency)
            let (a, b) = (normal[pair], normal[pair + pairs])
            turned[pair] = a * cos(angle) - b * sin(angle)
            turned[pair + pairs] = b * cos(angle) + a * sin(angle)
        }
        return turned
    }

    func attention() -> [Double] {
        let row = (heads + 2 * keyHeads) * dimension
        let fused = product(x, "a.qkv", outputs: row, bias: true)
        func part(_ token: Int, _ head: Int) -> ArraySlice<Double> {
            let start = token * row + head * dimension
            return fused[start..<start + dimension]
        }
        var mixed: [Double] = []
        for query in 0..<tokens {
            for head in 0..<heads {
                let q = self.head(part(query, head), "a.q_norm", position: start + query)
                let keyHead = head * keyHeads / heads
                let keys = max(0, query - window + 1)...query
                let scores = keys.map { key in
                    let k = self.head(
                        part(key, heads + keyHead), "a.k_norm", position: start + key)
                    return exp(
                        zip(q, k).reduce(0) { $0 + $1.0 * $1.1 } / Double(dimension).squareRoot())
                }
                let total = scores.reduce(0, +)
                for feature in 0..<dimension {
                    mixed.append(
                        zip(keys, scores).reduce(0) { sum, term in
                            let v = Array(part(term.0, heads + keyHeads + keyHead))
                            return sum + v[feature] * term.1 / total
                        })
                }
            }
        }
        let output = product(mixed, "a.o", outputs: width, bias: false)
        return zip(x, output).map { $0 + $1 }
    }

    func feedForward() -> [Double] {
        let fused = product(x, "m.gate_up_proj", outputs: 2 * inner, bias: true)
        let gated = (0..<tokens).flatMap { token in
            (0..<inner).map { feature in
                let gate = fused[token * 2 * inner + feature]
                return gate / (1 + exp(-gate)) * fused[token * 2 * inner + inner + feature]
            }
        }
        let output = product(gated, "m.down_proj", outputs: width, bias: true)
        return zip(x, output).map { $0 + $1 }
    }
}

/// Between the order of memory and the logical one.
private func logical(_ memory: [Float], _ spec: ShardSpec) -> [Float] {
    var result = memory
    for run in spec.runs {
        for index in 0..<run.count {
            result[run.logicalOffset + index] = memory[run.memoryOffset + index]
        }
    }
    return result
}

@Suite struct DecoderLayersTests {
    private let rotary = RotaryConfiguration(base: 100, rotaryDimension: 4)

    private func attention(_ numerics: Numerics) -> SelfAttention {
        var options = SelfAttention.Options()
        (options.projectionName, options.outputName) = ("qkv", "o")
        (options.headDimension, options.outputBias) = (6, false)
        options.rotary = Rotary(rotary, positions: 16)
        options.headNormEpsilon = 1e-6
        return SelfAttention(
            "a", width: 12, heads: 4, keyHeads: 2, options: options, dropout: 0, deviation: 0.4,
            residualDeviation: 0.4, numerics: numerics)
    }

    private func bind(_ parameters: [Parameter]) {
        for parameter in parameters {
            let value = Tensor(uninitialized: parameter.spec.shape)
            parameter.initialize(0..<parameter.count, seed: 3, into: value.buffer)
            // Biases start at 0 and gains at 1, where a mistake would not show.
            if parameter.spec.shape.rank == 1 {
                let stream = RandomStream(seed: 5, stream: UInt64(parameter.count))
                for index in 0..<parameter.count {
                    value.floats[index] += Float(stream.uniform(at: UInt64(index))) - 0.5
                }
            }
            parameter.leaf.bind(value)
        }
    }

    private func near(_ found: [Float], _ expected: [Double]) -> Bool {
        found.count == expected.count
            && zip(found, expected).allSatisfy { abs(Double($0) - $1) <= 2e-5 + 2e-5 * abs($1) }
    }

    /// The layer's value and all gradients against the reference's value and its differences.
    private func check(
        _ parameters: [Parameter], _ layer: (Tensor, Pass) -> Tensor,
        _ reference: (Reference) -> () -> [Double]
    ) {
        bind(parameters)
        let stream = RandomStream(seed: 1, stream: 1)
        func noise(_ first: Int) -> [Float] {
            (first..<first + 84).map { Float(stream.uniform(at: UInt64($0)) * 2 - 1) }
        }
        let (x, upstream) = (noise(0), noise(1000))
        let tape = Tape()
        let input = tape.watch(Tensor(x, shape: [1, 7, 12]))
        let output = layer(input, Pass(tape: tape))
        let gradient = tape.backward(
            from: [(output, Tensor(upstream, shape: [1, 7, 12]))], wanted: [input])[0]

        let names = parameters.map(\.name)
        let values = parameters.map { logical($0.leaf.value.array, $0.spec).map(Double.init) }
        let exact = Reference(
            parameters: Dictionary(uniqueKeysWithValues: zip(names, values)),
            x: x.map(Double.init), rotary: rotary)
        #expect(near(output.array, reference(exact)()))
        #expect(!near(output.array, reference(exact)().reversed()))
        func slopes(_ operand: WritableKeyPath<Reference, [Double]>) -> [Double] {
            exact[keyPath: operand].indices.map { index in
                func loss(_ step: Double) -> Double {
                    var moved = exact
                    moved[keyPath: operand][index] += step
                    return zip(reference(moved)(), upstream).reduce(0) { $0 + $1.0 * Double($1.1) }
                }
                return (loss(1e-5) - loss(-1e-5)) / 2e-5
            }
        }
        #expect(near(gradient.array, slopes(\.x)))
        for parameter in parameters {
            let found = logical(parameter.leaf.gradient!.array, parameter.spec)
            let expected = slopes(\.[parameter.name])
            #expect(near(found, expected), "\(parameter.name)")
            #expect(!near(found, expected.reversed()), "\(parameter.name)")
        }
    }

    @Test(arguments: [1, 2, 4])
    func attentionMatchesTheFormula(slices: Int) {
        let layer = attention(Numerics(slices: slices))
        #expect(
            layer.parameters.map(\.name) == [
                "a.qkv.weight", "a.qkv.bias", "a.q_norm.weight", "a.k_norm.weight", "a.o.weight",
            ])
        check(
            layer.parameters,
            { x, pass in
                layer(
                    x, residual: x, visibility: AttentionVisibility(causal: true, window: 3),
                    pass)
            }, Reference.attention)
    }

    @Test(arguments: [1, 2, 4])
    func gatedFeedForwardMatchesTheFormula(slices: Int) {
        let layer = GatedFeedForward(
            "m", width: 12, inner: 10, activation: .silu, biases: true, deviation: 0.4,
            residualDeviation: 0.4, numerics: Numerics(slices: slices))
        check(
            layer.parameters, { x, pass in layer(x, residual: x, pass) }, Reference.feedForward)
    }

    @Test func rmsNormHasOneGain() {
        let layer = RMSNorm("n", width: 4, epsilon: 0, numerics: Numerics(slices: 1))
        bind(layer.parameters)
        let gain = layer.gain.leaf.value.array
        let found = layer(Tensor([3, -3, 3, 3], shape: [1, 1, 4]), Pass()).array
        #expect(layer.parameters.map(\.name) == ["n.weight"] && !layer.gain.decays)
        #expect(
            near(
                found, [1, -1, 1, 1].indices.map { $0 == 1 ? -Double(gain[1]) : Double(gain[$0]) }))
        #expect(!near(found, gain.map(Double.init)))
    }
}
