import Communication
import Layers
import Models
import Parallelism
import Testing

@Suite struct TensorPlanTests {
    private static func model() -> GPT {
        GPT(
            GPTConfiguration(
                vocabulary: 61, contextLength: 16, layers: 3, heads: 4, width: 20, inner: 53),
            numerics: Numerics(slices: 4))
    }

    /// What can be split is, so that a new part of a model is not forgotten in its family's plan.
    @Test func everyParameterWithAnAxisIsNamedOnce() {
        let model = Self.model()
        let named = model.tensorPlan.flatMap(\.parameters).map(\.name)
        let splittable = model.parameters.filter { $0.spec.axis != nil }.map(\.name)
        #expect(named.count == Set(named).count && Set(named) == Set(splittable), "\(named)")
        #expect(named.count == 1 + 3 * 6)
        #expect(named.count < model.parameters.count, "control: norms and positions are whole")
    }

    /// Each rank holds about its share, and together the ranks hold each split parameter once.
    @Test(arguments: [2, 4])
    func ranksShareWhatThePlanNames(tensor: Int) throws {
        let named = Set(Self.model().tensorPlan.flatMap(\.parameters).map(\.name))
        let held = try InProcess.run(ranks: tensor) { world in
            let model = Self.model()
            let group = parallelize(model, on: try Mesh(world, tensor: tensor))
            #expect(group?.localSlices.count == 4 / tensor)
            return model.parameters.map(\.heldRange)
        }
        for (index, parameter) in Self.model().parameters.enumerated() {
            let ranges = held.map { $0[index] }
            guard named.contains(parameter.name) else {
                #expect(ranges.allSatisfy { $0 == 0..<parameter.count }, "\(parameter.name)")
                continue
            }
            var next = 0
            for range in ranges {
                #expect(range.lowerBound == next, "\(parameter.name)")
                next = range.upperBound
            }
            #expect(next == parameter.count, "\(parameter.name)")
        }
        let bytes = held.map { $0.reduce(0) { $0 + $1.count } }
        let all = Self.model().parameterCount
        #expect(bytes.allSatisfy { $0 * tensor < all * 5 / 4 }, "\(bytes) of \(all)")
    }

    @Test func aDegreeOfOneLeavesTheModelWhole() throws {
        let model = Self.model()
        #expect(parallelize(model, on: Mesh(data: InProcess.alone())) == nil)
        #expect(model.parameters.allSatisfy { $0.heldRange == 0..<$0.count })
    }
}
