import Glibc
import Kernels
import Testing

extension ThreadedTests {
    @Suite(.serialized, .everyCompilation)
    struct RotaryThreadsTests {
        /// Rows by the thousand, in both types: with any number of threads as with one, and there and back.
        @Test(arguments: RotaryPairs.allCases, elementTypes)
        func bitsDoNotDependOnThreads(arrangement: RotaryPairs, type: ElementType) {
            let (rows, stride, pairs) = (2000, 52, 12)
            let x = rounded(values(rows * stride, seed: 1), to: type)
            func run(backwards: Bool = false, from x: [Float]) -> [Float] {
                withMemory { memory in
                    let angles = values(rows * pairs, seed: 2).map { 3 * $0 }
                    let elements = memory.elements(x, type)
                    kernels.rotate(
                        elements, rows: rows, stride: stride, headOffsets: [0, 26],
                        arrangement: arrangement, pairs: pairs,
                        cosines: memory.copy(angles.map { cosf($0) }),
                        sines: memory.copy(angles.map { sinf($0) }),
                        positions: memory.copy((0..<Int32(rows)).map { $0 }),
                        backwards: backwards)
                    return array(elements, rows * stride)
                }
            }
            Threads.start(1)
            let one = run(from: x)
            for threads in 2...4 {
                Threads.start(threads)
                #expect(same(run(from: x), one))
            }
            let back = run(backwards: true, from: one)
            let tolerance =
                switch type {
                case .float32: 1e-6
                case .float16: 2e-3
                case .bfloat16: 1.6e-2
                }
            func near(_ found: [Float]) -> Bool {
                close(found, x.map(Double.init), absolute: tolerance, relative: 0)
            }
            #expect(near(back) && !near(one))
            // Features between the heads' stay as they are.
            for row in [0, 1, rows - 1] {
                #expect(one[row * stride + 24] == x[row * stride + 24])
                #expect(one[row * stride + 51] == x[row * stride + 51])
            }
        }
    }
}
