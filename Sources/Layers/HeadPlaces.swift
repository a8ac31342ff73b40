import Kernels
import Tensors

/// The heads of a projection that are here, by global number, and where in a token's row those of each of its segments
/// lie, slice by slice.
struct HeadPlaces {
    /// Of the first segment.
    let numbers: [Int]
    /// Of each segment.
    let offsets: [[[Int]]]

    init(of weight: Parameter, headDimension: Int) {
        let spec = weight.spec
        let local = weight.slices.sum.localSlices
        let ranges = spec.segmentRanges(ofSlices: local)
        offsets = spec.segments.indices.map { segment in
            ranges.map {
                Array(
                    stride(
                        from: $0[segment].lowerBound, to: $0[segment].upperBound, by: headDimension)
                )
            }
        }
        let units = spec.segments[0].units
        numbers = Array(
            local.lowerBound * units / spec.sliceCount..<local.upperBound * units / spec.sliceCount)
    }

    /// Where the heads of a segment lie.
    func flat(_ segment: Int) -> [Int] { offsets[segment].flatMap { $0 } }
}

extension Dropout {
    /// Of the probabilities of attention, for some of `count` heads.
    func probabilities(heads: [Int], of count: Int, _ pass: Pass) -> AttentionDropout? {
        guard let randomness = pass.randomness, rate > 0 else { return nil }
        return AttentionDropout(
            rate: rate, seed: randomness.seed, stream: randomness.stream(site: site),
            firstSequence: randomness.firstSequence, heads: heads, globalHeadCount: count)
    }
}
