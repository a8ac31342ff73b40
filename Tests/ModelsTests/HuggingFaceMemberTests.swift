import Files
import Models
import Testing

/// The tables of `config.json`: what is written is read again as the same shape, and no value of a member traps.
@Suite struct HuggingFaceMemberTests {
    private static let shapes: [any HuggingFaceShape] = {
        var shapes: [any HuggingFaceShape] = []
        for position in GPTConfiguration.NormPosition.allCases {
            var shape = GPTConfiguration(
                vocabulary: 61, contextLength: 13, layers: 3, heads: 2, width: 10)
            (shape.normPosition, shape.dropout, shape.activation) = (position, 0.25, .relu)
            shapes.append(shape)
        }
        for scaling in LlamaConfiguration.Rotary.Scaling.allCases {
            var shape = LlamaConfiguration(
                vocabulary: 61, contextLength: 16, layers: 2, heads: 4, width: 24, keyHeads: 2)
            (shape.rotary.scaling, shape.rotary.base) = (scaling, 5000)
            if scaling != .none { (shape.rotary.factor, shape.rotary.originalLength) = (3, 16) }
            (shape.epsilon, shape.tiesOutput) = (1e-4, scaling == .yarn)
            (shape.attentionBias, shape.normalisesHeads) = (scaling == .linear, scaling == .llama3)
            if scaling == .none { shape.window = 5 }
            shapes.append(shape)
        }
        for head in BERTConfiguration.Head.allCases {
            for variant in BERTConfiguration.Variant.allCases
            where variant == .bert || head != .sequences {
                var shape = BERTConfiguration(
                    vocabulary: 61, contextLength: 13, layers: 2, heads: 2, width: 10)
                (shape.head, shape.variant, shape.tokenTypes) = (head, variant, 3)
                if head != .maskedTokens { shape.classes = 5 }
                shapes.append(shape)
            }
        }
        var images = ViTConfiguration(
            classes: 7, imageSize: 12, patchSize: 4, layers: 2, heads: 2, width: 10)
        (images.channels, images.attentionBias) = (1, false)
        var neox = NeoXConfiguration(
            vocabulary: 61, contextLength: 13, layers: 2, heads: 2, width: 16)
        (neox.rotaryFraction, neox.isParallel, neox.attentionBias) = (0.5, false, false)
        var marian = TransformerConfiguration(
            vocabulary: 61, contextLength: 13, layers: 2, heads: 2, width: 10)
        (marian.decoderLayers, marian.activation, marian.dropout) = (3, .silu, 0.25)
        (marian.startToken, marian.endToken, marian.paddingToken) = (60, 0, 60)
        var bart = marian
        (bart.positions, bart.normalisesEmbedding, bart.scalesEmbedding) = (.learned, true, false)
        (bart.startToken, bart.beginToken, bart.paddingToken) = (2, 0, nil)
        return shapes + [images, neox, marian, bart]
    }()

    private func read<Shape: HuggingFaceShape>(
        _ members: [String: JSONValue], as shape: Shape
    ) throws -> Shape { try Shape(huggingFace: HuggingFaceConfiguration(members)) }

    @Test(arguments: shapes.indices) func whatIsWrittenIsReadAgain(index: Int) throws {
        let shape = Self.shapes[index]
        func check<Shape: HuggingFaceShape>(_ shape: Shape) throws {
            #expect(shape.exchangeProblem == nil)
            #expect(try read(shape.huggingFace(), as: shape) == shape)
            // Seen: another number of layers.
            var other = shape.huggingFace()
            let keys = ["n_layer", "encoder_layers", "num_hidden_layers"]
            let key = keys.first { other[$0] != nil } ?? ""
            other[key] = .integer(9)
            #expect(try read(other, as: shape) != shape, "control")
        }
        try check(shape)
    }

    /// Either a shape or problems, each with the key that is wrong.
    @Test(arguments: shapes.indices) func noValueTraps(index: Int) {
        let hostile: [JSONValue] = [
            .null, .bool(true), .integer(0), .integer(-1), .integer(1), .integer(3), .integer(.max),
            .number(1e300), .number(-1e300), .number(1e-300), .number(0.5), .string("gelu"),
            .string(""), .array([]), .array([.string("BertForMaskedLM")]), .object([:]),
            .object(["rope_type": .string("yarn"), "factor": .number(1e300)]),
            .object(["partial_rotary_factor": .number(1e300)]),
        ]
        func check<Shape: HuggingFaceShape>(_ shape: Shape) {
            let members = shape.huggingFace()
            for key in members.keys {
                for value in hostile {
                    var members = members
                    members[key] = value
                    do throws(HuggingFaceConfigurationError) {
                        _ = try Shape(huggingFace: HuggingFaceConfiguration(members))
                    } catch {
                        #expect(
                            !error.problems.isEmpty
                                && error.problems.allSatisfy { $0.contains(": expected ") })
                    }
                }
            }
        }
        check(Self.shapes[index])
    }
}
