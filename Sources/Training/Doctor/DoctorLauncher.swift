import Foundation

extension Doctor {
    /// Whether Open MPI is there and starts processes.
    func messagePassing() -> Finding {
        let subject = "MPI"
        if let size = environment["OMPI_COMM_WORLD_SIZE"] {
            let version = environment["OMPI_VERSION"].map { " \($0)" } ?? ""
            return Finding(.good, subject, "started by Open MPI\(version) with \(size) ranks")
        }
        guard let launcher = program("mpirun") else {
            return Finding(
                .bad, subject, "mpirun is not on the path",
                "sudo apt-get install openmpi-bin libopenmpi-dev")
        }
        guard let version = Self.output(of: launcher, ["--version"]), version.status == 0,
            let name = version.text.split(separator: "\n").first
        else {
            return Finding(
                .bad, subject, "\(launcher) does not tell its version",
                "reinstall openmpi-bin, or put Open MPI's mpirun first on the path")
        }
        guard name.contains("Open MPI") else {
            return Finding(
                .bad, subject, "\(launcher) is not Open MPI's: \(name)",
                "put Open MPI's mpirun first on the path")
        }
        let trial = ["-q", "--bind-to", "none", "--oversubscribe", "-n", "2", "true"]
        let started = Self.output(of: launcher, trial)
        guard started?.status == 0 else { return cannotStart(launcher, started?.text) }
        return Finding(.good, subject, "\(name.replacing("mpirun ", with: "")) starts 2 processes")
    }

    private func cannotStart(_ launcher: String, _ message: String?) -> Finding {
        guard let message else {
            return Finding(
                .bad, "MPI", "\(launcher) did not start 2 processes within 20 s",
                "check that this host's name resolves, and name the network with "
                    + "--mca oob_tcp_if_include and --mca btl_tcp_if_include")
        }
        if getuid() == 0 && environment["OMPI_ALLOW_RUN_AS_ROOT"] == nil {
            return Finding(
                .bad, "MPI", "Open MPI refuses to start as root",
                "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
        }
        let reason = message.split(separator: "\n").first { $0.contains(where: \.isLetter) } ?? ""
        return Finding(
            .bad, "MPI", "\(launcher) did not start 2 processes: \(reason)",
            "run it by hand: \(launcher) -n 2 true")
    }

    /// The first executable file of this name on the path.
    func program(_ name: String) -> String? {
        (environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Exit status and both outputs of a program; nil where it does not end within 20 s.
    private static func output(
        of program: String, _ arguments: [String]
    ) -> (status: Int32, text: String)? {
        let process = Process()
        let pipe = Pipe()
        let ended = DispatchSemaphore(value: 0)
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = pipe
        process.terminationHandler = { _ in ended.signal() }
        guard (try? process.run()) != nil else { return nil }
        guard ended.wait(timeout: .now() + 20) == .success else {
            kill(process.processIdentifier, SIGKILL)
            return nil
        }
        // Both programs write far less than the pipe holds.
        let text = String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self)
        return (process.terminationStatus, text)
    }
}
