import Layers
import Models
import Tensors
import Testing
import Training

/// Every family has the bits of one process on any layout, resumed on another one too.
@Suite struct FamilyLayoutTests {
    struct Layout: Sendable, CustomTestStringConvertible {
        var data = 1
        var tensor = 1
        var scattersTokens = false
        var recompute = Recompute.none

        var testDescription: String {
            "\(data) × \(tensor)\(scattersTokens ? ", tokens split too" : ""), recompute "
                + recompute.rawValue
        }

        func run(_ family: Family, _ storage: DType, seed: UInt64 = 1) -> ReplicaRun {
            ReplicaRun(
                ranks: data, tensor: tensor, scattersTokens: scattersTokens, seed: seed,
                recompute: recompute, storage: storage, family: family)
        }

        static let all = [
            Layout(data: 2), Layout(tensor: 2), Layout(tensor: 4), Layout(data: 2, tensor: 2),
            Layout(tensor: 2, scattersTokens: true, recompute: .attention),
            Layout(tensor: 4, scattersTokens: true, recompute: .block),
            Layout(recompute: .attention), Layout(data: 4, recompute: .block),
        ]
    }

    struct Kind: Hashable, Sendable {
        let family: Family
        let storage: DType

        static let all = Family.allCases.filter { $0 != .gpt }.flatMap { family in
            [DType.float32, .float16, .bfloat16].map { Kind(family: family, storage: $0) }
        }
    }

    private static let references = Dictionary(
        uniqueKeysWithValues: Kind.all.map { kind in
            (kind, Result { try Layout().run(kind.family, kind.storage).train(0..<4) })
        })

    @Test(arguments: Layout.all, Kind.all)
    func aFamilyHasTheBitsOfOneProcess(layout: Layout, kind: Kind) throws {
        let (family, storage) = (kind.family, kind.storage)
        let reference = try #require(try Self.references[kind]?.get())
        #expect(try layout.run(family, storage).train(0..<4) == reference)
        #expect(try layout.run(family, storage, seed: 2).train(0..<4) != reference, "control")
        // Half of the steps in one process, the others here.
        let half = try Layout().run(family, storage).train(0..<2)
        let resumed = try layout.run(family, storage).train(2..<4, from: half.state)
        #expect(resumed.state == reference.state)
    }
}
