// What the views of the data draw by chance: pure functions of the seed, the number of a sample and a counter.

/// Random numbers of one purpose for one sample.
struct Draws {
    /// Keeps the draws for different purposes apart, and from those of `SampleOrder`, `Masking` and images.
    enum Purpose: UInt64 {
        case records = 31
        case groups = 32
        case noiseSpans = 33
        case keptSpans = 34
        case spanLengths = 35
        case spanOrder = 36
        case spanPlaces = 37
        case sentences = 38
    }

    let seed: UInt64
    let purpose: Purpose
    let sample: Int

    func bits(_ counter: Int) -> UInt64 {
        CounterHash.bits(seed, purpose.rawValue, UInt64(sample), UInt64(counter))
    }

    /// In [0, 1), of 53 bits.
    func fraction(_ counter: Int) -> Double { Double(bits(counter) >> 11) * 0x1p-53 }

    /// Which `chosen` of `count` places are taken, every choice as likely as any other (selection sampling, Knuth,
    /// The Art of Computer Programming, volume 2, section 3.4.2, algorithm S).
    func selection(of chosen: Int, from count: Int) -> [Bool] {
        precondition(
            chosen >= 0 && chosen <= count, "Draws: \(chosen) places of \(count) were to be chosen")
        var left = chosen
        return (0..<count).map { place in
            let isChosen = CounterHash.scaled(bits(place), below: count - place) < left
            if isChosen { left -= 1 }
            return isChosen
        }
    }

    /// The numbers 0 ..< `count` in random order.
    func shuffled(_ count: Int) -> [Int] {
        (0..<count).map { (bits($0), $0) }.sorted { $0 < $1 }.map(\.1)
    }
}
