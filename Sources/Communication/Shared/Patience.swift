import Glibc
import Kernels

/// How a thread waits for what another rank does: it polls, then gives up its core at each look, since
/// ranks may share one, and after a millisecond naps.
struct Patience {
    /// Looks without giving up the core, where each rank has one: some 30 µs. Where ranks share cores,
    /// whoever is waited for may be waiting for this core.
    private static let longSpins = 1_000
    private static let shortSpins = 20
    private static let yieldingNanoseconds: UInt64 = 1_000_000
    private static let napMicroseconds: UInt32 = 50

    private let spins: Int
    private var looks = 0
    /// When the silence under way began; 0: there is none.
    private var silentSince: UInt64 = 0
    private var span: TraceSpan?

    /// Nanoseconds of silence that are over.
    private(set) var waited: UInt64 = 0
    /// Nanoseconds of the silence under way, once the spinning is over.
    private(set) var silence: UInt64 = 0

    /// - Parameter neighbours: ranks of this host, this one among them.
    init(neighbours: Int) {
        spins = neighbours <= Patience.coreCount ? Patience.longSpins : Patience.shortSpins
    }

    private static let coreCount = sysconf(Int32(_SC_NPROCESSORS_ONLN))

    var isSpinning: Bool { looks <= spins }
    var isNapping: Bool { silence >= Patience.yieldingNanoseconds }

    /// There was news.
    mutating func reset() {
        guard silentSince != 0 else { return }
        waited += MonotonicClock.now - silentSince
        span?.end()
        (looks, silentSince, silence, span) = (0, 0, 0, nil)
    }

    /// Passes a little time: by `sleep`, where that is given and the spinning is over.
    mutating func rest(_ sleep: (() -> Void)? = nil) {
        if silentSince == 0 {
            silentSince = MonotonicClock.now
            span = Trace.begin(.communication, "wait for communication")
        }
        looks += 1
        guard !isSpinning else { return pauseSpinning() }
        silence = MonotonicClock.now - silentSince
        if let sleep {
            sleep()
        } else if isNapping {
            usleep(Patience.napMicroseconds)
        } else {
            sched_yield()
        }
    }
}
