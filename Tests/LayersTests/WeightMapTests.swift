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
