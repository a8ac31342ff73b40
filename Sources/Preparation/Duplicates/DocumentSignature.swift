// MinHash (Broder 1997) by one permutation: a shingle's one hash says which of the P bins it belongs to and what it is
// there; a bin keeps its minimum (Li, Owen, Zhang 2012). Bins that got nothing borrow from others that did, chosen by
// a hash of their own numbers (optimal densification, Shrivastava 2017), so that each bin of two documents agrees with
// the probability of their Jaccard similarity. A shingle costs the same for any P.

/// What is kept of a document to find its duplicates; one value is filled again for each document.
struct DocumentSignature: Sendable {
    /// Of all bytes and roles.
    private(set) var hash: Hash128
    /// A hash of each band's rows.
    private(set) var bands: [UInt32]
    /// Hashes of shingles: all of them, in any order and some perhaps twice; or, where `isSample`, the least that there
    /// are, each once and ascending.
    private(set) var shingles: [UInt32] = []
    private(set) var isSample = false

    private let options: DuplicateOptions
    private let rows: Int
    private let window: WordWindow
    private var words: [UInt64] = []
    private var minima: [UInt32]
    /// Bins that got something of their own.
    private var filled: [Bool]

    init(_ options: DuplicateOptions) {
        options.check()
        self.options = options
        let shape = options.shape
        rows = shape.rows
        window = WordWindow(width: options.shingle)
        bands = [UInt32](repeating: 0, count: shape.count)
        minima = [UInt32](repeating: 0, count: shape.count * shape.rows)
        filled = [Bool](repeating: false, count: shape.count * shape.rows)
        hash = Hash128([UInt8]())
    }

    /// Takes the signature of a document.
    mutating func take(_ parts: [Document.Part]) {
        if options.exact { hash = DocumentSignature.hash(of: parts) }
        guard options.near else { return }
        words.removeAll(keepingCapacity: true)
        for part in parts {
            part.text.withUnsafeBufferPointer { text in
                WordHashes.each(in: text) { hash, _, _ in words.append(hash) }
            }
        }
        isSample = false
        takeShingles()
        guard !shingles.isEmpty else { return }
        fillEmptyBins()
        hashBands()
        if shingles.count > options.sketch { sample() }
    }

    /// That of a text with its role, or of the hashes of several with theirs.
    private static func hash(of parts: [Document.Part]) -> Hash128 {
        if parts.count == 1 { return hash(of: parts[0]) }
        var hashes: [UInt64] = []
        for part in parts {
            let hash = hash(of: part)
            hashes += [hash.low.littleEndian, hash.high.littleEndian]
        }
        return hashes.withUnsafeBytes { Hash128($0, seed: UInt64(parts.count) << 32) }
    }

    private static func hash(of part: Document.Part) -> Hash128 {
        Hash128(part.text, seed: UInt64(part.role.rawValue))
    }

    /// A text of fewer words than a shingle has is one shingle.
    private mutating func takeShingles() {
        let width = min(options.shingle, words.count)
        let count = words.isEmpty ? 0 : words.count - width + 1
        shingles.removeAll(keepingCapacity: true)
        for bin in minima.indices { minima[bin] = .max }
        guard count > 0 else { return }
        shingles.reserveCapacity(count)
        let (window, seed) = (window, WordHashes.mixed(options.seed &+ 1))
        let bins = UInt64(minima.count)
        var hash: UInt64 = 0
        minima.withUnsafeMutableBufferPointer { minima in
            words.withUnsafeBufferPointer { words in
                for index in 0..<width { hash = window.next(hash, in: words[index], out: 0) }
                var last = width
                while true {
                    let mixed = WordHashes.mixed(hash ^ seed)
                    let bin = Int(truncatingIfNeeded: ((mixed >> 32) &* bins) >> 32)
                    let value = UInt32(truncatingIfNeeded: mixed)
                    shingles.append(value)
                    if value < minima[bin] { minima[bin] = value }
                    guard last < words.count else { break }
                    hash = window.next(hash, in: words[last], out: words[last - width])
                    last += 1
                }
            }
        }
    }

    private mutating func fillEmptyBins() {
        var isComplete = true
        for bin in minima.indices {
            filled[bin] = minima[bin] != .max
            if !filled[bin] { isComplete = false }
        }
        // All hashes may be the one that stands for nothing.
        guard !isComplete, filled.contains(true) else { return }
        let bins = UInt64(minima.count)
        for bin in minima.indices where !filled[bin] {
            var attempt: UInt64 = 0
            var other = bin
            while !filled[other] {
                attempt += 1
                let mixed = WordHashes.mixed(UInt64(bin) << 32 | attempt)
                other = Int(truncatingIfNeeded: ((mixed >> 32) &* bins) >> 32)
            }
            minima[bin] = minima[other]
        }
    }

    private mutating func hashBands() {
        for band in bands.indices {
            var hash: UInt64 = 0
            for row in band * rows..<(band + 1) * rows {
                hash = WordHashes.mixed(hash &+ UInt64(minima[row]) &+ 0x9E37_79B9_7F4A_7C15)
            }
            bands[band] = UInt32(truncatingIfNeeded: hash >> 32)
        }
    }

    /// Keeps the least hashes only.
    private mutating func sample() {
        shingles.sort()
        var count = 0
        for index in shingles.indices where count == 0 || shingles[index] != shingles[count - 1] {
            shingles[count] = shingles[index]
            count += 1
        }
        isSample = count > options.sketch
        shingles.removeLast(shingles.count - min(count, options.sketch))
    }
}
