import Glibc
import Kernels

/// A lock and two conditions on the monotonic clock: the engine's `work` and the waiters' `news`.
final class Monitor: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let conditions = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 2)

    enum Condition: Int { case work, news }

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        for condition in 0..<2 { pthread_cond_init(conditions + condition, &attributes) }
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        for condition in 0..<2 { pthread_cond_destroy(conditions + condition) }
        pthread_mutex_destroy(mutex)
        conditions.deallocate()
        mutex.deallocate()
    }

    func withLock<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// Under the lock: gives it up until the condition is signalled or `nanoseconds` are over.
    func wait(for condition: Condition, nanoseconds: UInt64? = nil) {
        guard let nanoseconds else {
            pthread_cond_wait(conditions + condition.rawValue, mutex)
            return
        }
        let end = MonotonicClock.now + nanoseconds
        var time = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        pthread_cond_timedwait(conditions + condition.rawValue, mutex, &time)
    }

    func signal(_ condition: Condition) {
        pthread_cond_broadcast(conditions + condition.rawValue)
    }
}

enum MonotonicClock {
    /// Nanoseconds; the only clock of this module, since the time of day may jump.
    static var now: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension Duration {
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        return UInt64(max(0, seconds)) * 1_000_000_000 + UInt64(max(0, attoseconds) / 1_000_000_000)
    }
}

/// A thread of the system, which must be joined.
struct NativeThread: @unchecked Sendable {
    private let handle: pthread_t

    private final class Start {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Throws, by `name`, where the system has no thread left.
    init(_ name: String, _ body: @escaping @Sendable () -> Void) throws(CommunicationError) {
        let start = Unmanaged.passRetained(
            Start {
                Trace.nameThread(name)
                body()
            })
        var handle = pthread_t()
        let status = pthread_create(
            &handle, nil,
            { argument in
                Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, start.toOpaque())
        guard status == 0 else {
            start.release()
            throw CommunicationError(
                .setUp,
                "thread \(name): expected a new thread, found \(String(cString: strerror(status)))")
        }
        self.handle = handle
    }

    func join() { pthread_join(handle, nil) }
}
