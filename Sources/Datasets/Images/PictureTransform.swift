// From an image of any size to the numbers of a model's square one.

/// Resize, crop, flip, normalise: a pure function of the image and, in training, of the seed and the sample's number in
/// the run, so that an image looks otherwise in every epoch and alike on every layout.
public struct PictureTransform: Sendable, Equatable {
    /// Side of the result.
    public var size: Int
    /// Pixels of zeros around the resized image, of which training crops at random.
    public var padding = 0
    /// Whether training mirrors every other image, drawn at random.
    public var flips = false
    /// A number x becomes (x − mean) / deviation.
    public var mean = 0.5
    public var deviation = 0.5

    public init(size: Int) { self.size = size }

    /// - Parameter draw: nil: the centre, unmirrored.
    package func callAsFunction(_ picture: Picture, draw: (seed: UInt64, sample: Int)?) -> Picture {
        var result = picture.resized(shorterSide: size)
        var (top, left) = ((result.height - size) / 2, (result.width - size) / 2)
        var isMirrored = false
        if let draw {
            func number(_ purpose: UInt64, below bound: Int) -> Int {
                CounterHash.scaled(
                    CounterHash.bits(draw.seed, purpose, UInt64(draw.sample)), below: bound)
            }
            top = number(21, below: result.height - size + 2 * padding + 1) - padding
            left = number(22, below: result.width - size + 2 * padding + 1) - padding
            isMirrored = flips && number(23, below: 2) == 1
        }
        result = result.cropped(top: top, left: left, size: size, isMirrored: isMirrored)
        let (mean, deviation) = (Float(mean), Float(deviation))
        for index in result.values.indices {
            result.values[index] = (result.values[index] - mean) / deviation
        }
        return result
    }
}

extension Picture {
    /// The image with its shorter side of so many pixels, the other in proportion.
    func resized(shorterSide side: Int) -> Picture {
        guard min(height, width) != side else { return self }
        let (tall, wide) =
            height <= width
            ? (side, max(side, width * side / height)) : (max(side, height * side / width), side)
        return resized(height: tall, width: wide)
    }

    /// Bilinear; where it shrinks, each result is the mean of what it covers, weighted by a triangle (as Pillow has
    /// it). Columns first, then rows.
    package func resized(height newHeight: Int, width newWidth: Int) -> Picture {
        let columns = Resampling(from: width, to: newWidth)
        let rows = Resampling(from: height, to: newHeight)
        var narrow = [Float](repeating: 0, count: height * newWidth * channels)
        for row in 0..<height {
            for (column, taps) in columns.taps.enumerated() {
                for channel in 0..<channels {
                    var sum: Float = 0
                    for (offset, weight) in taps.weights.enumerated() {
                        let source = (row * width + taps.first + offset) * channels + channel
                        sum += values[source] * weight
                    }
                    narrow[(row * newWidth + column) * channels + channel] = sum
                }
            }
        }
        let rowLength = newWidth * channels
        var result = [Float](repeating: 0, count: newHeight * rowLength)
        for (row, taps) in rows.taps.enumerated() {
            for (offset, weight) in taps.weights.enumerated() {
                let source = (taps.first + offset) * rowLength
                for index in 0..<rowLength {
                    result[row * rowLength + index] += narrow[source + index] * weight
                }
            }
        }
        return Picture(channels: channels, height: newHeight, width: newWidth, values: result)
    }

    /// A square whose corner may lie outside, where there are zeros.
    func cropped(top: Int, left: Int, size: Int, isMirrored: Bool) -> Picture {
        var result = [Float](repeating: 0, count: size * size * channels)
        for row in 0..<size where (0..<height).contains(top + row) {
            for column in 0..<size {
                let source = left + (isMirrored ? size - 1 - column : column)
                guard (0..<width).contains(source) else { continue }
                for channel in 0..<channels {
                    result[(row * size + column) * channels + channel] =
                        values[((top + row) * width + source) * channels + channel]
                }
            }
        }
        return Picture(channels: channels, height: size, width: size, values: result)
    }

    /// The numbers of its square patches one after the other, those of a patch channel by channel as the weight of a
    /// convolution has them.
    package func patches(_ side: Int) -> [Float] {
        var result: [Float] = []
        result.reserveCapacity(values.count)
        for top in stride(from: 0, to: height, by: side) {
            for left in stride(from: 0, to: width, by: side) {
                for channel in 0..<channels {
                    for row in top..<top + side {
                        for column in left..<left + side {
                            result.append(values[(row * width + column) * channels + channel])
                        }
                    }
                }
            }
        }
        return result
    }
}

/// Which pixels of a line make each pixel of a longer or shorter one.
private struct Resampling {
    let taps: [(first: Int, weights: [Float])]

    init(from old: Int, to new: Int) {
        let scale = Double(old) / Double(new)
        let reach = max(1, scale)
        taps = (0..<new).map { index in
            let centre = (Double(index) + 0.5) * scale
            let first = max(0, Int(centre - reach + 0.5))
            let end = min(old, Int(centre + reach + 0.5))
            let weights = (first..<end).map {
                max(0, 1 - abs((Double($0) + 0.5 - centre) / reach))
            }
            let sum = weights.reduce(0, +)
            return (first, weights.map { Float($0 / sum) })
        }
    }
}
