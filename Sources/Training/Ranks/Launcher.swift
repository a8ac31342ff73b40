// What started the processes of a run, as their environment tells.

/// The program that a person started the ranks with, which stands between a person's signals and the run.
public enum Launcher: Sendable, Equatable {
    case mpirun
    /// `srun`, with the job's number where it is known.
    case slurm(job: String?)

    /// To be asked before MPI is entered, which adds to the environment. Nil where nobody launched this process.
    ///
    /// `mpirun` within an allocation of Slurm leaves the variables of both: the nearest to this process counts.
    public init?(environment: [String: String]) {
        if environment["OMPI_COMM_WORLD_RANK"] != nil {
            self = .mpirun
        } else if environment["SLURM_PROCID"] != nil,
            environment["PMIX_RANK"] ?? environment["PMI_RANK"] != nil
        {
            self = .slurm(job: environment["SLURM_JOB_ID"])
        } else if environment["PMIX_RANK"] ?? environment["PMI_RANK"] != nil {
            self = .mpirun
        } else {
            return nil
        }
    }

    /// How a person has the run save and leave.
    package var stopAdvice: String {
        switch self {
        case .mpirun: "to save and leave: SIGUSR1 to mpirun, which passes it on at once"
        case .slurm(let job): "to save and leave: scancel --signal=USR1 \(job ?? "JOB")"
        }
    }

    /// The command that starts so many ranks that find each other. By itself `srun` would let the others wait for
    /// a rank that has ended.
    static func advice(tasks: Int, environment: [String: String]) -> String {
        let isSlurm =
            environment["OMPI_COMM_WORLD_SIZE"] == nil
            && environment.keys.contains { $0.hasPrefix("SLURM_") }
        return isSlurm ? srun(tasks: tasks) : "Open MPI's mpirun -n \(tasks) murmur …"
    }

    static func srun(tasks: Int) -> String {
        "srun --mpi=pmix -n \(tasks) --kill-on-bad-exit murmur …"
    }
}
