// What we need of ptrace(2). Swift does not import functions with variable arguments, so it is looked up by
// its name; the numbers are those of <linux/ptrace.h>.

import Glibc

enum Trace {
    /// A stop of waitpid(2) at the beginning or the end of a call.
    static let callStop = SIGTRAP | 0x80
    /// An event of waitpid(2): the thread has stopped as all of its process do, or is new.
    static let groupStop: Int32 = 128
    /// Flag of waitpid(2): threads too.
    static let allThreads: Int32 = 0x4000_0000

    enum Call {
        case begins(number: UInt64, arguments: [UInt64])
        case ends
    }

    /// Begins to trace a process, with the threads that it will have; it dies with the tracer.
    static func seize(_ process: pid_t) -> Bool {
        let (callsAreTold, threads, programs, diesWithUs) = (0x1, 0x8, 0x10, 0x10_0000)
        return request(
            0x4206, process, 0, callsAreTold | threads | programs | diesWithUs) == 0
    }

    /// Lets a thread go on to its next call's beginning or end.
    static func resume(_ thread: pid_t, signal: Int32 = 0) {
        _ = request(24, thread, 0, Int(signal))
    }

    /// Leaves a thread stopped until a signal lets its process go on.
    static func listen(_ thread: pid_t) { _ = request(0x4208, thread, 0, 0) }

    /// The call that a thread is at.
    static func call(of thread: pid_t) -> Call? {
        // struct ptrace_syscall_info: what it is, then the number and arguments from its fourth word on.
        var words = [UInt64](repeating: 0, count: 11)
        let size = words.count * 8
        let status = words.withUnsafeMutableBytes {
            request(0x420E, thread, size, Int(bitPattern: $0.baseAddress!))
        }
        guard status > 0 else { return nil }
        switch words[0] & 0xFF {
        case 1: return .begins(number: words[3], arguments: Array(words[4..<10]))
        case 2: return .ends
        default: return nil
        }
    }

    /// Changes an argument of the call that a thread is about to make; of the first three.
    static func set(argument: Int, to value: UInt64, of thread: pid_t) -> Bool {
        // rdi, rsi and rdx in `struct user`.
        let places = [14, 13, 12]
        return request(6, thread, places[argument] * 8, Int(truncatingIfNeeded: value)) == 0
    }

    private typealias Request = @convention(c) (Int, pid_t, Int, Int) -> Int

    private static func request(_ number: Int, _ thread: pid_t, _ address: Int, _ data: Int) -> Int
    {
        function?(number, thread, address, data) ?? -1
    }

    private static let function: Request? = dlsym(dlopen(nil, RTLD_NOW), "ptrace")
        .map { unsafeBitCast($0, to: Request.self) }
}
