import Tensors
import Testing

/// One rank of a group whose other ranks are played: what they would give is known beforehand.
private final class PlayedSum: SliceSum {
    let sliceCount: Int
    let localSlices: Range<Int>
    /// Every element of an axis, as the ranks together have them.
    private let all: Tensor
    /// What the other rank adds.
    private let other: [Float]
    private(set) var scatteredAt: [[Int]] = []

    init(
        slices: Int, local: Range<Int>, all: Tensor = Tensor(zeros: [0]), other: [Float] = []
    ) {
        (sliceCount, localSlices, self.all, self.other) = (slices, local, all, other)
    }

    func beginSum(_ root: Buffer, scatteredAt borders: [Int]?) -> () -> Void {
        if let borders { scatteredAt.append(borders) }
        let own =
            borders.map { $0[localSlices.lowerBound]..<$0[localSlices.upperBound] }
            ?? 0..<root.count
        return { [self] in
            for index in 0..<root.count {
                root.floats[index] = own.contains(index) ? root.floats[index] + other[index] : .nan
            }
        }
    }

    func finishMaximum(_ root: Buffer) {}
    func finishRows(_ rows: Buffer, width: Int, slice: (Int) -> Int) {}

    func gather(_ elements: Buffer, borders: [Int]) {
        for slice in 0..<sliceCount where !localSlices.contains(slice) {
            let range = borders[slice]..<borders[slice + 1]
            elements[range].copyBytes(from: all.buffer[range])
        }
    }
}

@Suite struct TokenSlicesTests {
    /// Slices, those of this rank, tokens: even, odd, fewer than slices, none.
    private static let cases = [
        (4, 0..<2, 8), (4, 2..<4, 8), (4, 0..<2, 39), (4, 2..<4, 39), (4, 1..<2, 39),
        (4, 3..<4, 39),
        (8, 4..<6, 13), (4, 0..<1, 3), (4, 2..<4, 3), (2, 1..<2, 1), (4, 0..<2, 0),
    ]

    private func rows(_ count: Int, _ storage: DType) -> Tensor {
        var noise = Noise(seed: UInt64(count) + 1)
        return tensor(noise.floats(count * 5), [count, 5], storage)
    }

    @Test(arguments: cases)
    func bordersAreThoseOfTheWholeAxis(slices: Int, local: Range<Int>, count: Int) {
        let scattered = TokenSlices(scatteredOver: PlayedSum(slices: slices, local: local))
        let held = scattered.held(of: count)
        #expect(
            held == local.lowerBound * count / slices..<local.upperBound * count / slices)
        let whole = TokenSlices(slices)
        #expect(whole.isLocal && !scattered.isLocal && whole.held(of: count) == 0..<count)
        // The slices of a rank are those of one process, counted from its first token.
        let here = scattered.ranges(of: count, isWhole: false)
        let all = whole.ranges(of: count, isWhole: false)
        #expect(here.count == local.count && all.count == slices)
        for (found, expected) in zip(here, all[local]) {
            #expect(found.lowerBound + held.lowerBound == expected.lowerBound)
            #expect(found.upperBound + held.lowerBound == expected.upperBound)
        }
        #expect(scattered.ranges(of: count, isWhole: true) == all)
    }

    @Test(arguments: cases, [DType.float32, .float16, .bfloat16])
    func splitAndGatherAreInverse(what: (Int, Range<Int>, Int), storage: DType) {
        let (slices, local, count) = what
        let whole = rows(count, storage)
        let tokens = TokenSlices(
            scatteredOver: PlayedSum(slices: slices, local: local, all: whole))
        let part = tokens.scattered(whole)
        let held = tokens.held(of: count)
        #expect(part.heldRows == held && part.shape == whole.shape && part.dtype == storage)
        #expect(part.array == Array(whole.array[held.lowerBound * 5..<held.upperBound * 5]))
        let gathered = tokens.gathered(part)
        #expect(gathered.array == whole.array && gathered.dtype == storage)
        #expect(gathered.heldRows == 0..<count)
        // The control: what the other ranks have is not in the part.
        let alone = TokenSlices(
            scatteredOver: PlayedSum(
                slices: slices, local: local, all: Tensor(zeros: whole.shape, dtype: storage)))
        #expect((alone.gathered(part).array == whole.array) == (held == 0..<count))
    }

    @Test func aTensorThatIsWholeStaysItself() {
        let whole = rows(7, .float32)
        let tokens = TokenSlices(4)
        #expect(tokens.gathered(whole).floats == whole.floats)
        #expect(tokens.scattered(whole).floats == whole.floats)
    }

    /// *Reduce* where each rank has every token, *reduce-scatter* where it has its own.
    @Test func partialSumsAreFinishedForTheTokensThatBelongHere() {
        let other: [Float] = (0..<14).map { Float($0) }
        func root() -> Buffer { Tensor([Float](repeating: 100, count: 14), shape: [14]).buffer }
        func floats(_ buffer: Buffer) -> [Float] {
            (0..<buffer.count).map { buffer.floats[$0] }
        }
        let features = PlayedSum(slices: 4, local: 2..<4, other: other)

        let whole = root()
        TokenSlices(4).beginSum(whole, over: features, rows: 7, width: 2)()
        #expect(floats(whole) == other.map { $0 + 100 } && features.scatteredAt.isEmpty)

        let part = root()
        let scattered = TokenSlices(scatteredOver: PlayedSum(slices: 4, local: 2..<4))
        let finish = scattered.beginSum(part, over: features, rows: 7, width: 2)
        #expect(floats(part) == Array(repeating: 100, count: 14), "nothing is summed yet")
        finish()
        #expect(scattered.held(of: 7) == 3..<7 && features.scatteredAt == [[0, 2, 6, 10, 14]])
        #expect(Array(floats(part)[6...]) == other[6...].map { $0 + 100 })
        #expect(floats(part)[..<6].allSatisfy { $0.isNaN }, "what is not asked for is undefined")
    }

    // MARK: Slices of a weight

    /// Borders as of 3 heads of 4 in 4 slices: the first is empty.
    @Test(arguments: [
        (0..<4, 0..<12), (0..<2, 0..<4), (2..<4, 4..<12), (0..<1, 0..<0), (1..<2, 0..<4),
    ])
    func heldElementsAreThoseOfTheSlices(local: Range<Int>, expected: Range<Int>) {
        let borders = [0, 0, 4, 8, 12]
        let slices = Slices(borders: borders, sum: PlayedSum(slices: 4, local: local))
        #expect(slices.held == expected)
        #expect(slices.ranges.count == local.count)
        #expect(slices.ranges.first?.lowerBound == 0)
        #expect(slices.ranges.last?.upperBound == expected.count)
        for (range, slice) in zip(slices.ranges, local) {
            #expect(range.count == borders[slice + 1] - borders[slice])
        }
    }

    @Test func everyElementHasItsSlice() {
        let slices = Slices(borders: [0, 0, 4, 8, 12], sum: LocalSliceSum(slices: 4))
        #expect((0..<12).map(slices.slice(of:)) == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
    }
}
