import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Work on a thread of its own. The value that it ends in is there once it has ended, and stays.
///
/// Nobody joins the thread: a disk that hangs must not keep a process from leaving.
final class BackgroundWork<Value: Sendable>: Sendable {
    private let result = Mutex<Value?>(nil)

    /// - Parameter refusal: makes the value where the system has no thread left.
    init(
        _ body: @escaping @Sendable () -> Value,
        refusal: @escaping @Sendable (CheckpointError) -> Value
    ) {
        do throws(CheckpointError) {
            try startThread { self.end(with: body()) }
        } catch {
            end(with: refusal(error))
        }
    }

    /// Work that is done here and now where it is `little`, or where the system has no thread left.
    init(_ body: @escaping @Sendable () -> Value, little: Bool) {
        if little || (try? startThread { self.end(with: body()) }) == nil { end(with: body()) }
    }

    private func end(with value: Value) { result.withLock { $0 = value } }

    /// nil until the work has ended.
    var value: Value? { result.withLock { $0 } }

    /// Waits for the work to end.
    func wait() -> Value {
        while true {
            if let value { return value }
            sleep(seconds: 0.0005)
        }
    }
}

private final class ThreadStart: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}

/// Runs `body` on a new thread.
private func startThread(_ body: @escaping @Sendable () -> Void) throws(CheckpointError) {
    let start = Unmanaged.passRetained(ThreadStart(body))
    var handle = pthread_t()
    let status = pthread_create(
        &handle, nil,
        { argument in
            Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, start.toOpaque())
    guard status == 0 else {
        start.release()
        let reason = String(cString: strerror(status))
        throw CheckpointError(.io, "checkpoint: expected a thread to write it, found: \(reason)")
    }
    pthread_detach(handle)
}
