// Named scenarios of ranks that communicate, for `CommunicationTests` and for a look by hand:
//
//     mpirun -n 4 RankTests [options] scenario…        one process a rank
//     RankTests --in-process 4 [options] scenario…     one thread a rank
//
// Each scenario that holds prints a line `PASS name`; the first that does not ends the program with
// one line on stderr and exit code 1, or 8 where a deadline has passed.

import Communication
import Glibc

@main
struct RankTests {
    static func main() {
        do {
            let command = try Command(Array(CommandLine.arguments.dropFirst()))
            if let ranks = command.inProcessRanks {
                try InProcess.run(ranks: ranks, options: command.options) { communicator in
                    try command.run(communicator)
                }
            } else {
                try runUnderLauncher(command)
            }
        } catch {
            report(error, rank: nil)
            exit(exitCode(of: error))
        }
    }

    private static func runUnderLauncher(_ command: Command) throws {
        var environment: [String: String] = [:]
        for name in ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"] {
            environment[name] = getenv(name).map { String(cString: $0) }
        }
        guard MPIEnvironment.isLaunched(environment: environment) else {
            return try command.run(InProcess.alone())
        }
        let isFirst = environment["OMPI_COMM_WORLD_RANK"] == "0"
        if command.comesLate && !isFirst { try Latecomers.waitForSign() }
        let ranks = try MPIEnvironment.start(options: command.options) {
            guard isFirst else { return }
            print("WAITING")
            if command.comesLate { Latecomers.giveSign() }
        }
        do {
            try command.run(ranks.world, ranks)
            try ranks.finish()
        } catch {
            report(error, rank: ranks.world.rank)
            ranks.abort(code: exitCode(of: error))
        }
    }

    private static func exitCode(of error: any Error) -> Int32 {
        (error as? CommunicationError)?.kind == .deadline ? 8 : 1
    }

    private static func report(_ error: any Error, rank: Int?) {
        let place = rank.map { "rank \($0): " } ?? ""
        fflush(nil)
        let line = Array("error: \(place)\(error)\n".utf8)
        _ = write(2, line, line.count)
    }
}

/// What the command line asks for.
struct Command: Sendable {
    var inProcessRanks: Int?
    var options = CommunicationOptions()
    /// Scenarios run on a group that shares memory, and say through what it goes.
    var sharesMemory = false
    /// All ranks but the first enter the world when that one has said that it waits.
    var comesLate = false
    var scenarios: [String] = []

    init(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            guard argument.hasPrefix("--") else {
                scenarios.append(argument)
                continue
            }
            guard let text = rest.popFirst(), let value = Int(text) else {
                throw ScenarioFailure("\(argument): expected a whole number, found none")
            }
            switch argument {
            case "--in-process": inProcessRanks = value
            case "--chunk": options.chunkBytes = value
            case "--direct": options.directBytes = value
            case "--deadline": options.deadline = .seconds(value)
            case "--tag-limit": options.tagLimit = value
            case "--shared": sharesMemory = value != 0
            case "--late":
                comesLate = value != 0
                options.entryReminder = .milliseconds(200)
            case "--shared-chunk": options.sharedMemory.chunkBytes = value
            case "--shared-direct":
                options.sharedMemory.directBytes = value
                options.sharedMemory.directBytesOfTwo = value
            case "--host-size": options.sharedMemory.pretendedHostSize = value
            case "--blind": options.sharedMemory.blindRank = value
            case "--mistaken": options.sharedMemory.mistakenRank = value
            case "--room": options.sharedMemory.pretendedRoom = value
            default: throw ScenarioFailure("expected a known option, found \(argument)")
            }
        }
    }

    /// All scenarios in order; `ranks` where there is a launcher to see.
    func run(_ world: any Communicator, _ ranks: MPIEnvironment? = nil) throws {
        var communicator = world
        if sharesMemory {
            communicator = try world.split(color: 0, key: world.rank, sharesMemory: true)
            if world.rank == 0 { print("PATH \(communicator.path)") }
        }
        for name in scenarios {
            if let scenario = allScenarios[name] {
                try scenario(communicator)
            } else if let scenario = launchedScenarios[name], let ranks {
                try scenario(communicator, ranks)
            } else {
                throw ScenarioFailure("expected a known scenario, found \(name)")
            }
            if communicator.rank == 0 { print("PASS \(name)") }
        }
    }
}

/// A file by which the first process of a job calls the second.
private enum Latecomers {
    private static let path = "/tmp/RankTests-late-\(getppid())"

    static func giveSign() { close(open(path, O_WRONLY | O_CREAT, 0o600)) }

    static func waitForSign() throws {
        for _ in 0..<6_000 {
            if unlink(path) == 0 { return }
            usleep(10_000)
        }
        throw ScenarioFailure("expected the first rank to say that it waits, found nothing")
    }
}
