import Glibc

/// Follows all threads of a program from call to call (ptrace(2)).
final class Tracer {
    enum End {
        case exited(Int32)
        case killed(Int32)
    }

    private let order: Order
    private let process: pid_t
    private let log: Int32
    /// How often each call has been.
    private var counts: [String: Int] = [:]
    /// Threads that are within the call they are to die after.
    private var doomed: pid_t?

    /// Starts the program; it has not done anything yet. Nil where that, or tracing, is not possible.
    init?(_ order: Order) {
        self.order = order
        log = open(order.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        // A shell waits until it is traced, and then becomes the program.
        let words = ["/bin/sh", "-c", "kill -STOP $$; exec \"$@\"", "sh"] + order.program
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var started: pid_t = 0
        guard log >= 0, posix_spawn(&started, words[0], nil, nil, &arguments, environ) == 0 else {
            return nil
        }
        process = started
        var status: Int32 = 0
        waitpid(process, &status, WUNTRACED)
        guard Trace.seize(process) else {
            kill(process, SIGKILL)
            return nil
        }
        kill(process, SIGCONT)
    }

    /// Lets it run to its end.
    func run() -> End {
        var status: Int32 = 0
        while true {
            let thread = waitpid(-1, &status, Trace.allThreads)
            guard thread > 0 else { return .exited(2) }
            if status & 0xFF == 0x7F {
                goOn(thread, stop: (status >> 8) & 0xFF, event: status >> 16)
            } else if thread == process {
                let signal = status & 0x7F
                return signal == 0 ? .exited((status >> 8) & 0xFF) : .killed(signal)
            }
        }
    }

    private func goOn(_ thread: pid_t, stop: Int32, event: Int32) {
        if stop == Trace.callStop {
            if let call = Trace.call(of: thread) { meet(call, of: thread) }
            Trace.resume(thread)
        } else if event == Trace.groupStop && [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU].contains(stop) {
            Trace.listen(thread)
        } else {
            Trace.resume(thread, signal: event == 0 ? stop : 0)
        }
    }

    /// A thread begins or ends a call.
    private func meet(_ call: Trace.Call, of thread: pid_t) {
        guard case .begins(let number, let arguments) = call else {
            if doomed == thread { die() }
            return
        }
        guard let changing = ChangingCall.all[number],
            let path = changing.path(arguments, of: thread, in: order.folder)
        else { return }
        let name = "\(changing.name) \(plain(path))"
        counts[name, default: 0] += 1
        let line = "\(name) \(counts[name]!)"
        note(line)
        guard let moment = order.moment, line == order.call else { return }
        switch moment {
        case .before: return die()
        case .within:
            guard let argument = changing.byteCount else { return }
            let half = arguments[argument] / 2
            // Blocks stay whole, because a file may be written past the cache.
            let count = half >= 4096 ? half & ~4095 : half
            guard Trace.set(argument: argument, to: count, of: thread) else { return }
        case .after: break
        }
        doomed = thread
    }

    private func die() {
        note("killed")
        kill(process, SIGKILL)
    }

    private func note(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(log, bytes, bytes.count)
    }

    /// The path within the folder, without what is drawn at random.
    private func plain(_ path: String) -> String {
        let parts = path.dropFirst(order.folder.count).split(separator: "/").map { part in
            guard part.hasPrefix(".") else { return String(part) }
            let words = part.split(separator: "-", omittingEmptySubsequences: false)
            return words.map { isDrawn($0) ? "*" : String($0) }.joined(separator: "-")
        }
        return parts.isEmpty ? "." : parts.joined(separator: "/")
    }

    /// Up to 16 hexadecimal digits; a step has ten decimal ones and a rank few.
    private func isDrawn(_ word: Substring) -> Bool {
        (11...16).contains(word.count) && word.allSatisfy(\.isHexDigit)
    }
}
