import Layers
import Tensors
import Testing

/// What tensors of a folder a parameter is in, and which names are whose.
@Suite struct WeightMapTests {
    private func told(_ rule: WeightMap.Rule, _ shape: Shape) -> [String] {
        rule.pieces(of: shape).map {
            "\($0.name) \($0.shape.extents)\($0.isTransposed ? " turned" : "") -\($0.skipped) =\($0.count)"
        }
    }

    @Test func aRuleSaysWhatHoldsAParameter() {
        #expect(told(.same("a", as: "x"), [3, 4]) == ["x [3, 4] -0 =12"])
        #expect(told(.transposed("a", as: "x"), [3, 4]) == ["x [4, 3] turned -0 =12"])
        #expect(told(.reshaped("a", as: "x", [3, 2, 1, 2]), [3, 4]) == ["x [3, 2, 1, 2] -0 =12"])
        #expect(told(.rows("a", as: "x", from: 2), [3, 4]) == ["x [5, 4] -8 =12"])
        #expect(told(.rows("a", as: "x", from: 0), [3, 4]) == told(.same("a", as: "x"), [3, 4]))
        let joined = WeightMap.Rule.joined(
            "a", [.init("q", rows: 4), .init("k", rows: 2), .init("v", rows: 2)])
        #expect(told(joined, [8, 3]) == ["q [4, 3] -0 =12", "k [2, 3] -0 =6", "v [2, 3] -0 =6"])
        #expect(told(joined, [8]) == ["q [4] -0 =4", "k [2] -0 =2", "v [2] -0 =2"])
        let other = WeightMap.Rule.joined(
            "a", [.init("k", rows: 2), .init("q", rows: 4), .init("v", rows: 2)])
        #expect(told(other, [8, 3]) != told(joined, [8, 3]), "control: another order")
        #expect(joined.parameter == "a")
    }

    /// Ours: q of heads 0, 1, then k, then v; theirs: q, k, v of head 0, then of head 1. Runs of 4 elements.
    @Test func rowsAlternate() {
        let piece = WeightMap.Rule.alternating("a", as: "x", groups: 2, of: 3).pieces(of: [12, 2])[
            0]
        let theirs = [0, 3, 1, 4, 2, 5]
        #expect(
            piece.places(of: 0..<24, isOurs: true)
                == [0, 3, 1, 4, 2, 5].map { $0 * 4..<$0 * 4 + 4 })
        let back = piece.places(of: 0..<24, isOurs: false)
        #expect(back == [0, 2, 4, 1, 3, 5].map { $0 * 4..<$0 * 4 + 4 })
        for (ours, place) in theirs.enumerated() { #expect(back[place].lowerBound == ours * 4) }
        #expect(piece.places(of: 3..<9, isOurs: true) == [3..<4, 12..<16, 4..<5])
        let plain = WeightMap.Rule.rows("a", as: "x", from: 2).pieces(of: [3, 4])[0]
        #expect(plain.places(of: 1..<5, isOurs: true) == [9..<13])
    }

    @Test func namesAreTakenWithAndWithoutPrefix() {
        let map = WeightMap(
            rules: [], prefixes: ["model.", "bert."],
            endings: [.init("LayerNorm.gamma", now: "LayerNorm.weight")],
            ignored: ["h.*.attn.bias", "pooler.**", "position_ids"])
        #expect(
            map.key("model.layers.0.w") == "layers.0.w" && map.key("layers.0.w") == "layers.0.w")
        #expect(map.key("bert.model.w") == "model.w", "one prefix goes")
        #expect(map.renewed("a.LayerNorm.gamma") == "a.LayerNorm.weight")
        #expect(map.renewed("a.LayerNorm.gamma.x") == "a.LayerNorm.gamma.x")
    }

    @Test(arguments: [
        ("h.0.attn.bias", true), ("h.11.attn.bias", true), ("h.0.attn.c_attn.bias", false),
        ("h.attn.bias", false), ("pooler.dense.weight", true), ("pooler.bias", true),
        ("pooler", false), ("poolers.dense", false), ("position_ids", true),
        ("x.position_ids", false),
    ])
    func patternsAreOfWholeComponents(key: String, isIgnored: Bool) {
        let map = WeightMap(rules: [], ignored: ["h.*.attn.bias", "pooler.**", "position_ids"])
        #expect(map.ignores(key) == isIgnored)
    }
}
