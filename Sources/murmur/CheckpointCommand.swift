import ArgumentParser
import Checkpointing
import Training

struct CheckpointCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint", abstract: "Everything about checkpoints, without MPI.",
        subcommands: [
            ListCheckpoints.self, VerifyCheckpoint.self, InspectCheckpoint.self, Digest.self,
            CheckpointExport.self, CheckpointImport.self, CheckpointAverage.self,
        ])

    struct Digest: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "digest",
            abstract: "Prints a digest of the state, the same however it was sharded.",
            discussion: """
                SHA-256 over every parameter, moment, counter and the data position, as 64 \
                hexadecimal digits alone on a line. Two runs are the same when it is.
                """)

        @Argument(
            help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
            transform: path)
        var directory: String

        func run() throws {
            guard Launch.isFirst else { return }
            do throws(CheckpointError) {
                guard let found = try CheckpointReader.newest(in: directory) else {
                    throw CheckpointError(
                        .unusable, "\(directory): expected a checkpoint, found none")
                }
                Report.warn(found.warnings)
                print(try found.reader.digest())
            } catch {
                throw RunError(error)
            }
        }
    }
}
