// The kernels under test. A suite with the trait `.everyCompilation` runs each of its tests once for each compilation that this
// processor can run: all tests of kernels are tests of both.

import Kernels
import Testing

/// A compilation of the kernels, as tests see it.
struct Compilation: Sendable, CustomTestStringConvertible {
    let instructions: InstructionSet?
    let kernels: any KernelSet.Type

    var testDescription: String { instructions?.name ?? "as for any processor" }

    /// Those that this processor can run; the first alone where it has no AVX-512.
    static let all: [Compilation] =
        [.avx2, .avx512].filter { (instructions: InstructionSet) in
            instructions == .avx2 || InstructionSet.ofThisProcessor ?? .avx2 >= instructions
        }.map { Compilation(instructions: $0, kernels: Kernels.kernels(for: $0)) }

    @TaskLocal fileprivate static var current: Compilation?

    /// Calls `body`, in which `kernels` are these.
    func run<Result>(_ body: () -> Result) -> Result {
        Compilation.$current.withValue(self, operation: body)
    }
}

/// Those that the test under way is about.
var kernels: any KernelSet.Type { Compilation.current?.kernels ?? Kernels.kernels }

struct EveryCompilation: SuiteTrait, TestTrait, TestScoping {
    let isRecursive = true

    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        for compilation in Compilation.all {
            try await Compilation.$current.withValue(compilation, operation: function)
        }
    }
}

extension Trait where Self == EveryCompilation {
    static var everyCompilation: Self { Self() }
}

/// That the trait does what it says: the compilations that the test below has been called for.
@Suite(.serialized) struct CompilationTests {
    nonisolated(unsafe) private static var seen: [String] = []

    @Test(.everyCompilation) func isRunWithEachOfThem() {
        Self.seen.append("\(kernels)")
    }

    @Test func theyWereAllSeenAndDiffer() {
        #expect(Self.seen == Compilation.all.map { "\($0.kernels)" })
        #expect(
            Set(Compilation.all.map { ObjectIdentifier($0.kernels) }).count == Compilation.all.count
        )
    }
}
