import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A request from outside to save and leave: SIGTERM, SIGINT, SIGHUP or SIGUSR1. The handler sets a flag; what it
/// means is agreed by all ranks at the end of a step.
public enum StopSignal {
    static let numbers = [SIGTERM, SIGINT, SIGHUP, SIGUSR1]
    private static let received = Atomic<Int32>(0)

    /// Before MPI is initialised, so that no signal finds the default handler.
    public static func install() {
        for number in numbers where number != SIGHUP || !isIgnored(number) {
            var action = sigaction()
            action.__sigaction_handler.sa_handler = {
                StopSignal.received.store($0, ordering: .relaxed)
            }
            // A second Ctrl-C ends the process at once.
            action.sa_flags =
                number == SIGINT ? SA_RESTART | Int32(bitPattern: UInt32(SA_RESETHAND)) : SA_RESTART
            sigaction(number, &action, nil)
        }
        // A file beyond the limit of its size is an error of the write, not the end of the process.
        signal(SIGXFSZ, SIG_IGN)
        // So is a log that nobody reads any more.
        signal(SIGPIPE, SIG_IGN)
        // A launcher may have left them blocked.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in numbers { sigaddset(&signals, number) }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    /// Whether whoever started this process had it ignore the signal, as `nohup` does.
    static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        sigaction(number, nil, &action)
        // `SIG_IGN`, which is no function.
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
    }

    /// What a program does that only prints.
    public static func endOnClosedPipes() { signal(SIGPIPE, SIG_DFL) }

    /// The signal's number; 0 where none came.
    static var number: Int32 { received.load(ordering: .relaxed) }
}
