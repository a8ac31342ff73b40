import Synchronization

/// Where the ranks of one process meet: a box for every receiving rank.
final class PostOffice: Sendable {
    let size: Int
    private let boxes: [Box]
    private let closure = Mutex<String?>(nil)
    private let isClosed = Atomic(false)
    let sharedBlocks = Mutex<[SharedBlocks.Key: SharedBlocks]>([:])

    final class Box: Sendable {
        let shelves = Mutex<[Address: Shelf]>([:])
    }

    struct Address: Hashable {
        let sender: Int
        let tag: Int
    }

    /// Sends that no receive has met yet, or receives that no send has met: never both.
    struct Shelf {
        var sends: [Letter] = []
        var receives: [Letter] = []
    }

    /// One side of a message; its memory stays valid until it is delivered.
    final class Letter: @unchecked Sendable {
        let bytes: UnsafeMutableRawPointer
        let count: Int
        let isDelivered = Atomic(false)
        /// Bytes that the other side gave or wanted.
        let otherCount = Atomic(0)

        init(_ bytes: UnsafeMutableRawPointer, count: Int) {
            (self.bytes, self.count) = (bytes, count)
        }
    }

    /// Told of each message: sender, receiver, bytes.
    let watchMessage: (@Sendable (Int, Int, Int) -> Void)?

    init(size: Int, watchMessage: (@Sendable (Int, Int, Int) -> Void)? = nil) {
        (self.size, self.watchMessage) = (size, watchMessage)
        boxes = (0..<size).map { _ in Box() }
    }

    /// From now on every rank's operations fail with `reason`.
    func close(_ reason: String) {
        closure.withLock { $0 = $0 ?? reason }
        isClosed.store(true, ordering: .releasing)
    }

    var reasonForClosure: String? {
        isClosed.load(ordering: .acquiring) ? closure.withLock { $0 } : nil
    }

    /// Puts a letter up, or delivers it where its counterpart waits.
    func post(_ letter: Letter, isSend: Bool, at address: Address, of receiver: Int) {
        let counterpart = boxes[receiver].shelves.withLock { shelves -> Letter? in
            var shelf = shelves[address] ?? Shelf()
            defer {
                let isEmpty = shelf.sends.isEmpty && shelf.receives.isEmpty
                shelves[address] = isEmpty ? nil : shelf
            }
            if isSend {
                guard shelf.receives.isEmpty else { return shelf.receives.removeFirst() }
                shelf.sends.append(letter)
            } else {
                guard shelf.sends.isEmpty else { return shelf.sends.removeFirst() }
                shelf.receives.append(letter)
            }
            return nil
        }
        guard let counterpart else { return }
        let (send, receive) = isSend ? (letter, counterpart) : (counterpart, letter)
        if send.count == receive.count {
            receive.bytes.copyMemory(from: send.bytes, byteCount: send.count)
        }
        letter.otherCount.store(counterpart.count, ordering: .relaxed)
        counterpart.otherCount.store(letter.count, ordering: .relaxed)
        letter.isDelivered.store(true, ordering: .releasing)
        counterpart.isDelivered.store(true, ordering: .releasing)
    }
}

/// One rank's door to the post office.
final class InProcessTransport: Transport {
    let rank: Int
    /// Ranks that take themselves to be on one host.
    let hostSize: Int
    private let office: PostOffice
    private var underWay: [Int: PostOffice.Letter] = [:]
    private var nextNumber = 0

    init(rank: Int, office: PostOffice, hostSize: Int? = nil) {
        (self.rank, self.office, self.hostSize) = (rank, office, hostSize ?? office.size)
    }

    var size: Int { office.size }
    var localRank: Int { rank % hostSize }
    var hostLeader: Int { rank / hostSize * hostSize }
    var localSize: Int { min(hostSize, office.size - rank / hostSize * hostSize) }
    var hosts: [String] { Array(repeating: HostPlacement.thisHost, count: office.size) }
    var tagUpperBound: Int { Int(Int32.max) }

    func send(_ bytes: UnsafeRawPointer, count: Int, to peer: Int, tag: Int)
        throws(CommunicationError) -> TransportRequest
    {
        office.watchMessage?(rank, peer, count)
        let letter = PostOffice.Letter(UnsafeMutableRawPointer(mutating: bytes), count: count)
        office.post(
            letter, isSend: true, at: PostOffice.Address(sender: rank, tag: tag), of: peer)
        return keep(letter)
    }

    func receive(_ bytes: UnsafeMutableRawPointer, count: Int, from peer: Int, tag: Int)
        throws(CommunicationError) -> TransportRequest
    {
        let letter = PostOffice.Letter(bytes, count: count)
        office.post(
            letter, isSend: false, at: PostOffice.Address(sender: peer, tag: tag), of: rank)
        return keep(letter)
    }

    private func keep(_ letter: PostOffice.Letter) -> TransportRequest {
        nextNumber += 1
        underWay[nextNumber] = letter
        return TransportRequest(number: nextNumber)
    }

    func isComplete(_ request: TransportRequest) throws(CommunicationError) -> Bool {
        guard let letter = underWay[request.number] else {
            preconditionFailure("isComplete: expected a request under way, got \(request.number)")
        }
        guard letter.isDelivered.load(ordering: .acquiring) else {
            if let reason = office.reasonForClosure { throw CommunicationError(.library, reason) }
            return false
        }
        underWay[request.number] = nil
        let other = letter.otherCount.load(ordering: .relaxed)
        guard other == letter.count else {
            throw CommunicationError(
                .library,
                "message of rank \(rank): expected \(letter.count) bytes, found \(other) on the "
                    + "other side; the ranks' buffers or operations differ")
        }
        return true
    }

    func shareMemory(_ wish: SharedMemoryWish) throws(CommunicationError) -> SharedMemoryOffer {
        office.shareMemory(wish, hostSize: hostSize)
    }

    func close() throws(CommunicationError) {}

    func abort(code: Int32) { office.close("a rank ended the run with exit code \(code)") }
}
