import Kernels

/// One thing that was looked at, and what to do about it where it is not well.
public struct Finding: Sendable, Equatable {
    public enum State: Sendable, Equatable {
        case good
        /// Runs work, and would work better.
        case advice
        /// Runs fail, or are far slower than they need be.
        case bad
    }

    public let state: State
    public let subject: String
    public let found: String
    /// The command or setting that mends it; nil where all is well.
    public let remedy: String?

    init(_ state: State, _ subject: String, _ found: String, _ remedy: String? = nil) {
        (self.state, self.subject, self.found, self.remedy) = (state, subject, found, remedy)
    }
}

/// Looks at the machine as a run would meet it, without starting MPI in this process.
public struct Doctor: Sendable {
    let configuration: RunConfiguration?
    let environment: [String: String]
    let files: SystemFiles

    /// With a configuration its threads and run directory are looked at, else `auto` and the current
    /// directory.
    public init(configuration: RunConfiguration?, environment: [String: String]) {
        self.init(configuration: configuration, environment: environment, files: SystemFiles())
    }

    package init(
        configuration: RunConfiguration?, environment: [String: String], files: SystemFiles
    ) {
        (self.configuration, self.environment, self.files) = (configuration, environment, files)
    }

    /// All findings, in the order in which they are best mended. Takes seconds: it starts `mpirun`.
    public func examine() -> [Finding] {
        [
            processorFeatures(), matrixLibrary(), messagePassing(), slurm(), binding(), memory(),
            sharedMemory(), disk(), hugePages(),
        ].compactMap(\.self)
    }

    /// What it has, and what of that is used.
    package func processorFeatures(
        lacking: [String] = InstructionSet.lacking,
        newest: InstructionSet? = .ofThisProcessor
    ) -> Finding {
        let subject = "processor"
        guard lacking.isEmpty else {
            return Finding(
                .bad, subject, "lacks \(lacking.joined(separator: ", ")), which all kernels use",
                "run on x86-64 processors with AVX2 (of 2013 and later)")
        }
        guard let newest else { return Finding(.good, subject, "is no x86-64") }
        let setting = environment[InstructionSet.variable]
        do throws(InstructionChoiceError) {
            let used = try InstructionSet.choice(setting: setting, processor: newest) ?? newest
            guard used < newest else {
                return Finding(.good, subject, "has \(newest.name)")
            }
            return Finding(
                .advice, subject,
                "has \(newest.name), of which \(InstructionSet.variable)=\(used.rawValue) uses "
                    + used.name, "unset \(InstructionSet.variable)")
        } catch {
            return Finding(.bad, subject, error.message, "unset \(InstructionSet.variable)")
        }
    }

    /// No run uses it, so its choice is never bad; where it is of somebody's making, that can be undone.
    package func matrixLibrary(
        core: String = BLAS.coreName, processor: VectorInstructions? = .ofThisProcessor
    ) -> Finding {
        let subject = "OpenBLAS"
        guard let lag = BLAS.lag(core: core, processor: processor) else {
            return Finding(.good, subject, "uses the kernels of \(core)")
        }
        let cost = "murmur's products do not depend on it, bench leaves the ratio to sgemm out"
        if let wanted = environment["OPENBLAS_CORETYPE"], !wanted.isEmpty {
            return Finding(
                .advice, subject, "uses \(lag), as OPENBLAS_CORETYPE=\(wanted) says: \(cost)",
                "unset OPENBLAS_CORETYPE")
        }
        return Finding(.good, subject, "chose \(lag): \(cost)")
    }

    /// Whether threads and processors fit.
    func binding() -> Finding {
        let ranks = environment["OMPI_COMM_WORLD_LOCAL_SIZE"].flatMap { Int($0) } ?? 1
        let allowed = AvailableProcessors.count
        let onMachine = AvailableProcessors.onMachine
        let threads = configuration?.run.threads ?? ProcessorShare(ranks: ranks).threads
        let found =
            "\(threads) thread\(threads == 1 ? "" : "s") a rank, \(ranks) "
            + "rank\(ranks == 1 ? "" : "s") here, \(allowed) of \(onMachine) processors allowed"
        if threads > allowed {
            return Finding(
                .bad, "binding", found,
                "mpirun --bind-to none, or --map-by slot:PE=\(threads), or run.threads: auto")
        }
        if AvailableProcessors.areBoundByLauncher && allowed * ranks < onMachine {
            return Finding(
                .bad, "binding", found, "mpirun --bind-to none, so that no processor stays idle")
        }
        if !AvailableProcessors.areBoundByLauncher && threads * ranks > allowed {
            return Finding(
                .bad, "binding", found,
                "fewer ranks, or run.threads: auto: threads that share a processor wait in turn")
        }
        return Finding(.good, "binding", found)
    }

    /// Slurm starts ranks that find each other only through PMIx.
    func slurm() -> Finding? {
        guard let job = environment["SLURM_JOB_ID"] else { return nil }
        let tasks = environment["SLURM_NTASKS"].flatMap { Int($0) } ?? 1
        let isLaunched = environment["PMIX_RANK"] != nil || environment["PMI_RANK"] != nil
        guard tasks > 1, environment["SLURM_PROCID"] != nil, !isLaunched else {
            return Finding(.good, "Slurm", "job \(job), \(tasks) tasks")
        }
        return Finding(
            .bad, "Slurm", "\(tasks) tasks without PMIx: each would train alone",
            "\(Launcher.srun(tasks: tasks))  (srun --mpi=list shows what there is)")
    }
}
