import Synchronization
import Tensors

/// Keeps ranks in touch while each does work of its own, for as long as that takes it.
///
/// Every rank's communication thread tells the others from time to time what the rank's thread is at. So a
/// rank that works is waited for, and one whose process is stopped, stuck or cut off falls silent. A rank
/// that has done its work goes on telling until all have; its last message then ends the stream, so that
/// both sides know how many there are.
final class Heartbeats: Exchange {
    private enum State: Int32 {
        case working
        /// In an operation that the work consists of.
        case waiting
        case done
        /// All are done.
        case leaving
    }

    private struct Peer {
        /// In the world.
        let rank: Int
        let received: Buffer
        let sent: Buffer
        var receive: Lane
        var send: Lane?
        /// What it said last, and what it was told last.
        var state = State.working
        var told = State.working
        var lastHeard: UInt64
    }

    private let name: String
    private let context: ExchangeContext
    private unowned let engine: Engine
    private let interval: UInt64
    private let isWorkDone = Atomic(false)
    private let late: Mutex<[Int]>

    // The engine's thread only.
    private var peers: [Peer] = []
    private var nextBeat: UInt64
    private var lastTurn: UInt64
    /// Since when this rank's thread waits, or since when this process runs again.
    private var waitingSince: UInt64?

    init(_ name: String, in context: ExchangeContext, engine: Engine) {
        (self.name, self.context, self.engine) = (name, context, engine)
        interval = context.options.deadline.nanoseconds / 8
        let now = MonotonicClock.now
        (nextBeat, lastTurn) = (now + interval, now)
        late = Mutex(context.others.map { context.members[$0] }.sorted())
        peers = context.others.map { peer in
            let received = Buffer(count: 1, dtype: .int32)
            return Peer(
                rank: context.members[peer], received: received,
                sent: Buffer(count: 1, dtype: .int32),
                receive: context.receive(received, from: peer), lastHeard: now)
        }
    }

    var lanes: [Lane] { peers.flatMap { [$0.receive] + ($0.send.map { [$0] } ?? []) } }

    var isComplete: Bool {
        peers.allSatisfy {
            $0.state == .leaving && $0.told == .leaving && $0.send?.isComplete == true
        }
    }

    /// World ranks that have not done their work. From any thread.
    var unfinished: [Int] { late.withLock { $0 } }

    /// This rank's work is done. From any thread.
    func finish() { isWorkDone.store(true, ordering: .releasing) }

    func advance(_ transport: any Transport) throws(CommunicationError) -> Bool {
        let now = MonotonicClock.now
        var progressed = false
        for index in peers.indices {
            if try listen(to: index, transport, now) { progressed = true }
        }
        let state = state
        let isBeat = now >= nextBeat
        if isBeat { nextBeat = now + interval }
        for index in peers.indices {
            if try tell(state, to: index, isBeat: isBeat, transport) { progressed = true }
        }
        try checkSilence(state, now, transport.hosts)
        lastTurn = now
        return progressed
    }

    private var state: State {
        guard isWorkDone.load(ordering: .acquiring) else {
            return engine.waiterCount.load(ordering: .relaxed) > 0 ? .waiting : .working
        }
        return peers.allSatisfy { $0.state.rawValue >= State.done.rawValue } ? .leaving : .done
    }

    private func listen(
        to index: Int, _ transport: any Transport, _ now: UInt64
    ) throws(CommunicationError) -> Bool {
        guard peers[index].state != .leaving else { return false }
        let progressed = try peers[index].receive.advance(transport)
        guard peers[index].receive.isComplete else { return progressed }
        let peer = peers[index]
        peers[index].lastHeard = now
        peers[index].state = State(rawValue: peer.received.integers[0]) ?? .working
        switch peers[index].state {
        case .leaving: return true
        case .done: late.withLock { $0.removeAll { $0 == peer.rank } }
        case .working, .waiting: break
        }
        peers[index].receive = message(.receive, peer.received, peer.rank)
        return true
    }

    /// What is final is told at once, the rest at every beat; one message to a peer at a time.
    private func tell(
        _ state: State, to index: Int, isBeat: Bool, _ transport: any Transport
    ) throws(CommunicationError) -> Bool {
        var progressed = false
        if let send = peers[index].send, !send.isComplete {
            progressed = try send.advance(transport)
            guard send.isComplete else { return progressed }
        }
        let isFinal = state.rawValue >= State.done.rawValue && peers[index].told != state
        guard peers[index].told != .leaving, isFinal || isBeat else { return progressed }
        peers[index].told = state
        peers[index].sent.integers[0] = state.rawValue
        let lane = message(.send, peers[index].sent, peers[index].rank)
        peers[index].send = lane
        return try lane.advance(transport) || progressed
    }

    private func message(_ direction: Lane.Direction, _ buffer: Buffer, _ peer: Int) -> Lane {
        Lane(
            direction, buffer, peer: peer, tag: context.tag, chunkBytes: context.options.chunkBytes)
    }

    /// While this rank waits, every other one must give a sign of life within the deadline; while all do and
    /// one works, no operation runs into it.
    private func checkSilence(
        _ state: State, _ now: UInt64, _ hosts: [String]
    ) throws(CommunicationError) {
        guard state != .working else {
            waitingSince = nil
            return
        }
        // A process that was itself stopped blames nobody for what it has not heard meanwhile.
        let since = now - lastTurn > interval ? now : waitingSince ?? now
        waitingSince = since
        let deadline = context.options.deadline
        let silent = peers.filter {
            $0.state != .leaving && now - max($0.lastHeard, since) > deadline.nanoseconds
        }
        guard silent.isEmpty else {
            throw CommunicationError(
                .deadline,
                "\(name): expected a sign of life within \(deadline), found none from rank "
                    + describe(ranks: silent.map(\.rank).sorted(), hosts: hosts)
                    + "; that process is stopped, stuck or cut off, or in another operation")
        }
        if peers.contains(where: { $0.state == .working }) {
            engine.workSeenAt.store(now, ordering: .relaxed)
        }
    }
}
