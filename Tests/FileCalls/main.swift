// Runs a program, writes down its calls that change files in one folder, and kills it at one of them:
//
//   FileCalls FOLDER LOG [--before CALL | --within CALL | --after CALL] PROGRAM ARGUMENT…
//
// A CALL is a line of the log of an undisturbed run. It names the call, the file and how often that has
// been, and not the time, so that it is the same call however threads take turns.

import Glibc

/// What to do to the program, and where.
struct Order {
    enum Moment: String {
        /// The call is not made.
        case before = "--before"
        /// Of what the call was to write, one half is written.
        case within = "--within"
        /// The call is made, and the program does not learn of it.
        case after = "--after"
    }

    var folder = ""
    var log = ""
    var moment: Moment?
    var call = ""
    var program: [String] = []

    init?(_ arguments: [String]) {
        guard arguments.count >= 3, let path = realpath(arguments[0], nil) else { return nil }
        defer { free(path) }
        (folder, log) = (String(cString: path), arguments[1])
        program = Array(arguments.dropFirst(2))
        if let moment = Moment(rawValue: program[0]) {
            guard program.count >= 3 else { return nil }
            (self.moment, call) = (moment, program[1])
            program.removeFirst(2)
        }
    }
}

func complain(_ what: String) {
    let bytes = Array((what + "\n").utf8)
    _ = write(2, bytes, bytes.count)
}

guard let order = Order(Array(CommandLine.arguments.dropFirst())) else {
    complain("error: FileCalls: expected a folder that exists, a log and a program")
    exit(2)
}
guard let tracer = Tracer(order) else {
    complain("error: FileCalls: expected to trace \(order.program[0]), found that it cannot be")
    exit(2)
}
switch tracer.run() {
case .exited(let code): exit(code)
case .killed(let signal):
    // Whoever started it sees it die as the program did.
    Glibc.signal(signal, SIG_DFL)
    kill(getpid(), signal)
    exit(128 + signal)
}
