import Tensors

/// A stream of chunks to or from one peer, a few of them under way at a time.
///
/// The last chunk is shorter than the others, and empty where nothing is left for it. Two ranks that
/// differ about the number of bytes so meet a message of another length than they expect, which is an
/// error, and never a message of another operation.
final class Lane {
    enum Direction { case send, receive }

    /// Chunks of a pipelined lane that may be under way at once.
    static let window = 3

    let direction: Direction
    /// The peer's rank in the world.
    let peer: Int
    let chunkCount: Int
    let byteCount: Int
    /// Chunks from the first on that are complete.
    private(set) var completed = 0
    /// Chunks that may be started so far: fewer than all where they wait for other lanes.
    var allowed: Int

    private let tag: Int
    private let chunkBytes: Int
    private let buffer: Buffer
    private let slots: Int
    private let window: Int
    /// Makes the elements from `index` on in a slot of the ring.
    private var fill: ((_ slot: Buffer, _ index: Int) -> Void)?
    private var started = 0
    private var requests: [TransportRequest] = []

    /// Moves the whole of `buffer`, which is the same number of bytes on both sides, in chunks of
    /// `chunkBytes`.
    convenience init(
        _ direction: Direction, _ buffer: Buffer, peer: Int, tag: Int, chunkBytes: Int,
        window: Int = Lane.window
    ) {
        self.init(
            direction, buffer, byteCount: buffer.byteCount, slots: Int.max, peer: peer, tag: tag,
            chunkBytes: chunkBytes, window: window)
        allowed = chunkCount
    }

    /// Receives `count` elements through a ring of `Lane.window` chunks of `chunk` elements; whoever has
    /// used chunk k raises `allowed` to k + 1 + `Lane.window`.
    convenience init(
        receiveThrough ring: Buffer, count: Int, chunk: Int, peer: Int, tag: Int
    ) {
        self.init(
            .receive, ring, byteCount: count * ring.dtype.size, slots: Lane.window, peer: peer,
            tag: tag, chunkBytes: chunk * ring.dtype.size, window: Lane.window)
        allowed = Lane.window
    }

    /// Sends `count` elements through a ring of `Lane.window` chunks of `chunk` elements; `fill` makes
    /// the elements from an index on when their place in the ring is free.
    convenience init(
        sendThrough ring: Buffer, count: Int, chunk: Int, peer: Int, tag: Int,
        fill: @escaping (_ slot: Buffer, _ index: Int) -> Void
    ) {
        self.init(
            .send, ring, byteCount: count * ring.dtype.size, slots: Lane.window, peer: peer,
            tag: tag, chunkBytes: chunk * ring.dtype.size, window: Lane.window)
        allowed = chunkCount
        self.fill = fill
    }

    private init(
        _ direction: Direction, _ buffer: Buffer, byteCount: Int, slots: Int, peer: Int, tag: Int,
        chunkBytes: Int, window: Int
    ) {
        (self.direction, self.buffer, self.byteCount) = (direction, buffer, byteCount)
        (self.slots, self.peer, self.tag, self.chunkBytes) = (slots, peer, tag, chunkBytes)
        self.window = window
        chunkCount = byteCount / chunkBytes + 1
        allowed = 0
    }

    var isComplete: Bool { completed == chunkCount }
    var isUnderWay: Bool { !requests.isEmpty }
    var outstandingBytes: Int { max(0, byteCount - completed * chunkBytes) }

    /// Completes and starts what can be; whether anything changed.
    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        var progressed = false
        while let request = requests.first, try transport.isComplete(request) {
            requests.removeFirst()
            completed += 1
            progressed = true
        }
        let limit = min(chunkCount, allowed, window == Int.max ? Int.max : completed + window)
        while started < limit {
            try start(transport)
            progressed = true
        }
        return progressed
    }

    private func start(_ transport: any Transport) throws(CommunicationError) {
        let count = min(chunkBytes, byteCount - started * chunkBytes)
        let offset = started % slots * chunkBytes
        if let fill, count > 0 {
            let size = buffer.dtype.size
            fill(buffer[offset / size..<(offset + count) / size], started * chunkBytes / size)
        }
        let address = buffer.bytes + offset
        switch direction {
        case .send:
            requests.append(try transport.send(address, count: count, to: peer, tag: tag))
        case .receive:
            requests.append(try transport.receive(address, count: count, from: peer, tag: tag))
        }
        started += 1
    }
}
