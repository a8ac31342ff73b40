import Tensors

/// The digests of tensors whose bytes go by one after the other, in buffers that end where they like.
struct RunningDigests: Sendable {
    /// Of the tensors that are complete.
    private(set) var digests: [String] = []
    private let byteCounts: [Int]
    /// Of the next one, and how many of its bytes it is of.
    private var digest = PartDigest()
    private var digested = 0

    init(of byteCounts: [Int]) {
        self.byteCounts = byteCounts
        closeTensors()
    }

    /// These with the next bytes.
    func taking(_ buffer: Buffer) -> RunningDigests {
        var result = self
        result.take(buffer)
        return result
    }

    private mutating func take(_ buffer: Buffer) {
        var position = 0
        while position < buffer.count {
            precondition(
                digests.count < byteCounts.count,
                "RunningDigests: \(buffer.count - position) elements more than were announced")
            let missing = (byteCounts[digests.count] - digested) / buffer.dtype.size
            let end = min(buffer.count, position + missing)
            digest.update(buffer[position..<end])
            digested += (end - position) * buffer.dtype.size
            position = end
            closeTensors()
        }
    }

    private mutating func closeTensors() {
        while digests.count < byteCounts.count, digested == byteCounts[digests.count] {
            digests.append(digest.labelled())
            (digest, digested) = (PartDigest(), 0)
        }
    }
}
