import Testing
import Training

/// How ranks divide the processors of their hosts, however they were started.
@Suite struct ProcessorShareTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var hosts: [Int]?
        let masks: [ClosedRange<Int>]
        var quota: Double?
        let threads: [Int]
        /// Whether each thread then has a processor to itself.
        var holds = true
    }

    static let cases = [
        Case(testDescription: "one process", masks: [0...7], threads: [8]),
        Case(testDescription: "nobody binds", masks: [0...7, 0...7], threads: [4, 4]),
        Case(
            testDescription: "nobody binds three", masks: [0...7, 0...7, 0...7],
            threads: [2, 2, 2]),
        Case(testDescription: "srun, 8 each", masks: [0...7, 8...15], threads: [8, 8]),
        Case(
            testDescription: "bound to a core", masks: [0...0, 1...1, 2...2], threads: [1, 1, 1]),
        Case(
            testDescription: "two ranks on each of two sockets",
            masks: [0...7, 8...15, 0...7, 8...15], threads: [4, 4, 4, 4]),
        Case(
            testDescription: "masks that overlap in part", masks: [0...5, 4...7],
            threads: [5, 3]),
        Case(
            testDescription: "one bound, one not", masks: [0...7, 0...0], threads: [7, 1],
            holds: false),
        Case(
            testDescription: "more ranks than processors", masks: [0...1, 0...1, 0...1],
            threads: [1, 1, 1], holds: false),
        Case(
            testDescription: "two hosts, ragged", hosts: [0, 0, 0, 3],
            masks: [0...7, 0...7, 0...7, 0...7], threads: [2, 2, 2, 8]),
        Case(
            testDescription: "a quota of the container", masks: [0...63, 0...63], quota: 5,
            threads: [2, 2]),
    ]

    @Test(arguments: cases) func processorsAreDividedWhereTheyAreShared(_ row: Case) {
        let masks = row.masks.map { ProcessorMask(processors: Array($0)) }
        let hosts = row.hosts ?? masks.map { _ in 0 }
        let shares = masks.indices.map {
            ProcessorShare(rank: $0, hosts: hosts, masks: masks, quota: row.quota)
        }
        #expect(shares.map(\.threads) == row.threads)
        #expect(zip(shares, row.threads).allSatisfy { $0.holds(threads: $1) } == row.holds)
        #expect(zip(shares, row.threads).allSatisfy { !$0.holds(threads: $1 + 1) })
    }

    /// A third of seven processors is counted exactly enough: 21 thirds are 7.
    @Test func fractionsAddUp() {
        let mask = ProcessorMask(processors: Array(0..<21))
        let share = ProcessorShare(rank: 0, hosts: [0, 0, 0], masks: [mask, mask, mask])
        #expect(share.threads == 7 && share.holds(threads: 7))
    }

    @Test func masksAreReadAsLinuxWritesThem() {
        #expect(ProcessorMask("3")?.processors == [0, 1])
        #expect(ProcessorMask("\t80000001,00000000\n")?.processors == [32, 63])
        #expect(ProcessorMask("0,00000000") == nil)
        let mask = ProcessorMask(processors: [0, 5, 64])
        #expect(ProcessorMask(mask.description) == mask)
    }

    struct Launched: Sendable, CustomTestStringConvertible {
        var size = 1
        let environment: [String: String]
        /// As the error names them; none where the rank may go on.
        let tasks: Int?
        /// What the error says to start it with.
        var isSlurm = true

        var testDescription: String { "\(size) of \(environment)" }
    }

    static let launches: [Launched] = [
        Launched(environment: ["SLURM_NTASKS": "4"], tasks: 4),
        Launched(
            environment: ["PMI_RANK": "0", "PMI_SIZE": "3", "SLURM_NTASKS": "8"], tasks: 3),
        Launched(environment: ["OMPI_COMM_WORLD_SIZE": "2"], tasks: 2, isSlurm: false),
        // MPICH's mpiexec.
        Launched(environment: ["PMI_RANK": "0", "PMI_SIZE": "3"], tasks: 3, isSlurm: false),
        // Another Open MPI's mpirun, in an allocation.
        Launched(
            environment: ["OMPI_COMM_WORLD_SIZE": "2", "SLURM_NTASKS": "4"], tasks: 2,
            isSlurm: false),
        Launched(environment: ["SLURM_NTASKS": "1"], tasks: nil),
        // One step of an allocation of several.
        Launched(environment: ["SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "1"], tasks: nil),
        Launched(environment: ["OMPI_COMM_WORLD_SIZE": "1", "SLURM_NTASKS": "4"], tasks: nil),
        Launched(
            size: 2, environment: ["OMPI_COMM_WORLD_SIZE": "2", "SLURM_NTASKS": "4"], tasks: nil),
        Launched(environment: [:], tasks: nil),
    ]

    /// Processes that a launcher has started and that do not know of one another do not train alone.
    @Test(arguments: launches) func aRankAloneIsNoRank(_ row: Launched) {
        do throws(RunError) {
            try World.requireLaunch(of: row.size, environment: row.environment)
            #expect(row.tasks == nil)
        } catch {
            // Each of them knows it, and the first speaks.
            #expect(error.exitCode == 2 && error.isShared)
            let tasks = row.tasks ?? 0
            #expect(error.message.contains("for \(tasks) tasks"), "\(error.message)")
            let command =
                row.isSlurm
                ? "srun --mpi=pmix -n \(tasks) --kill-on-bad-exit murmur"
                : "Open MPI's mpirun -n \(tasks) murmur"
            #expect(error.message.contains(command), "\(error.message)")
            #expect(error.message.contains("srun") == row.isSlurm, "\(error.message)")
        }
    }

    /// Signals go to the launcher that is nearest to the ranks.
    @Test func theLauncherIsKnownByWhatItLeaves() {
        let slurm = ["SLURM_PROCID": "1", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"]
        let mpirun = ["OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"]
        #expect(Launcher(environment: mpirun) == .mpirun)
        #expect(Launcher(environment: mpirun.merging(slurm) { $1 }) == .mpirun)
        let task = Launcher(environment: slurm.merging(["PMIX_RANK": "1"]) { $1 })
        #expect(task == .slurm(job: "7"))
        #expect(task?.stopAdvice == "to save and leave: scancel --signal=USR1 7")
        // A batch script's own shell, in which a process is alone.
        #expect(Launcher(environment: ["SLURM_PROCID": "0", "SLURM_JOB_ID": "7"]) == nil)
        #expect(Launcher(environment: [:]) == nil)
    }

    /// Ranks that may all use two processors, threads of each, what a thread gets of a processor.
    @Test(arguments: [(1, 1, 1), (1, 2, 1), (1, 4, 0.5), (2, 1, 1), (2, 2, 0.5), (4, 1, 0.5)])
    func threadsBeyondTheProcessorsAddNothing(ranks: Int, threads: Int, part: Double) {
        let share = ProcessorShare(
            rank: 0, hosts: Array(repeating: 0, count: ranks),
            masks: Array(repeating: ProcessorMask(processors: [0, 1]), count: ranks))
        #expect(share.part(ofThreads: threads) == part)
    }
}
