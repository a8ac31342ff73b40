import Foundation
import Kernels
import Testing
import Training

/// A folder in place of `/`, with these files in it.
private func host(_ contents: [String: String]) throws -> SystemFiles {
    let root = FileManager.default.temporaryDirectory.appending(path: "host-\(UUID().uuidString)")
    for (path, text) in contents {
        let file = root.appending(path: path)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
    return SystemFiles(root: root.path)
}

private let gibibyte = 1 << 30

@Suite struct DoctorTests {
    @Test func memoryLimitsOfVersionTwoAreTheSmallestOnTheWayUp() throws {
        let files = try host([
            "/proc/self/cgroup": "0::/job/task\n",
            "/sys/fs/cgroup/job/task/memory.max": "max\n",
            "/sys/fs/cgroup/job/memory.max": "\(2 * gibibyte)\n",
            "/sys/fs/cgroup/job/task/cpu.max": "max 100000\n",
            "/sys/fs/cgroup/job/cpu.max": "150000 100000\n",
        ])
        #expect(ControlGroup(files).memoryLimit == 2 * gibibyte)
        #expect(ControlGroup(files).processorQuota == 1.5)
    }

    @Test func memoryLimitsOfVersionOne() throws {
        let files = try host([
            "/proc/self/cgroup": "4:memory:/a/b\n1:cpu,cpuacct:/\n0::/\n",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "\(gibibyte)\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        ])
        #expect(ControlGroup(files).memoryLimit == gibibyte)
        #expect(ControlGroup(files).processorQuota == nil)
        #expect(ControlGroup(try host([:])).memoryLimit == nil)
    }

    @Test func littleMemoryIsBad() throws {
        func finding(_ available: Int, limit: String) throws -> Finding? {
            let files = try host([
                "/proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: \(available) kB\n",
                "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": limit,
                "/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
            ])
            return Doctor(configuration: nil, environment: [:], files: files).examine()
                .first { $0.subject == "memory" }
        }
        #expect(try finding(4_194_304, limit: "max")?.state == .good)
        #expect(try finding(524_288, limit: "max")?.state == .bad)
        #expect(try finding(4_194_304, limit: "536870912")?.state == .bad)
    }

    @Test func slurmWithoutPMIxIsNamed() throws {
        let environment = ["SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"]
        func finding(_ environment: [String: String]) -> Finding? {
            Doctor(configuration: nil, environment: environment).examine()
                .first { $0.subject == "Slurm" }
        }
        #expect(finding(environment)?.state == .bad)
        #expect(
            finding(environment)?.remedy?.contains("srun --mpi=pmix -n 4 --kill-on-bad-exit")
                == true)
        #expect(finding(environment.merging(["PMIX_RANK": "0"]) { $1 })?.state == .good)
        #expect(finding([:]) == nil)
    }

    @Test func aMissingLauncherAndAFolderThatCannotBeWrittenAreNamed() throws {
        var configuration = try RunConfiguration.parse(yaml: completeConfiguration)
        configuration.run.directory = "/proc/run"
        configuration.run.threads = 1024
        let findings = Doctor(configuration: configuration, environment: ["PATH": "/nowhere"])
            .examine()
        let states = Dictionary(uniqueKeysWithValues: findings.map { ($0.subject, $0.state) })
        #expect(states["MPI"] == .bad)
        #expect(states["binding"] == .bad)
        #expect(states["OpenBLAS"] == .good)
        for finding in findings where finding.state == .bad { #expect(finding.remedy != nil) }
    }

    /// What the processor has, `MURMUR_INSTRUCTIONS`, state, and what is said.
    @Test(
        arguments: [
            (.avx2, nil, .good, "has AVX2"), (.avx512, nil, .good, "has AVX-512"),
            (.amx, "amx", .good, "has AVX-512 and matrix tiles"),
            (.amx, "avx512", .advice, "=avx512 uses AVX-512"),
            (.avx512, "avx2", .advice, "has AVX-512, of which MURMUR_INSTRUCTIONS=avx2 uses AVX2"),
            (.avx2, "avx512", .bad, "avx2 at most, found avx512"), (.avx2, "", .bad, "found "),
            (nil, nil, .good, "is no x86-64"),
        ] as [(InstructionSet?, String?, Finding.State, String)])
    func instructionsAreNamed(
        newest: InstructionSet?, set: String?, state: Finding.State, found: String
    ) {
        let environment = set.map { [InstructionSet.variable: $0] } ?? [:]
        let finding = Doctor(configuration: nil, environment: environment)
            .processorFeatures(lacking: [], newest: newest)
        #expect(finding.state == state && finding.found.hasSuffix(found), "\(finding)")
        #expect(finding.remedy == (state == .good ? nil : "unset MURMUR_INSTRUCTIONS"))
    }

    @Test func aProcessorThatIsTooOldIsTheWorst() {
        let finding = Doctor(configuration: nil, environment: [:])
            .processorFeatures(lacking: ["avx2", "fma"], newest: nil)
        #expect(finding.state == .bad && finding.found.hasPrefix("lacks avx2, fma, "), "\(finding)")
    }

    /// Family, processor, `OPENBLAS_CORETYPE`, state: it is advised to unset what is set, and nothing else.
    @Test(
        arguments: [
            ("Prescott", .avx512, nil, .good), ("Prescott", .avx512, "", .good),
            ("Prescott", .avx512, "Prescott", .advice), ("Haswell", .avx512, "Haswell", .advice),
            ("Haswell", .avx512, nil, .good), ("Haswell", .avx2, "Haswell", .good),
            ("SkylakeX", .avx512, nil, .good), ("SkylakeX", .avx512, "SkylakeX", .good),
            ("Prescott", .sse, nil, .good), ("a later one", .avx512, nil, .good),
        ] as [(String, VectorInstructions, String?, Finding.State)])
    func adviceAboutOpenBLASIsTrue(
        core: String, processor: VectorInstructions, set: String?, state: Finding.State
    ) {
        let environment = set.map { ["OPENBLAS_CORETYPE": $0] } ?? [:]
        let finding = Doctor(configuration: nil, environment: environment)
            .matrixLibrary(core: core, processor: processor)
        #expect(finding.state == state, "\(finding)")
        #expect(finding.remedy == (state == .advice ? "unset OPENBLAS_CORETYPE" : nil))
        #expect(finding.found.contains("the kernels of \(core)"))
        // What an old family costs is said whoever chose it.
        let lags = BLAS.lag(core: core, processor: processor) != nil
        #expect(finding.found.contains("do not depend on it") == lags)
    }

    /// Ranks, processors allowed, processors of the machine, bound apart, quota, threads of a rank.
    @Test(
        arguments: [
            (1, 8, 8, false, nil, 8), (2, 8, 8, false, nil, 4), (3, 8, 8, false, nil, 2),
            (16, 8, 8, false, nil, 1), (2, 1, 8, true, nil, 1), (2, 4, 8, true, nil, 4),
            (4, 4, 8, true, nil, 2), (3, 4, 8, true, nil, 2), (1, 64, 64, false, 2.5, 2),
            (4, 64, 64, false, 2, 1),
        ] as [(Int, Int, Int, Bool, Double?, Int)])
    func threadsFollowFromWhatRanksShare(
        ranks: Int, allowed: Int, onMachine: Int, areBound: Bool, quota: Double?, threads: Int
    ) {
        let share = ProcessorShare(
            ranks: ranks, mask: ProcessorMask(processors: Array(0..<allowed)),
            onMachine: onMachine, areBound: areBound, quota: quota)
        #expect(share.threads == threads)
    }
}
