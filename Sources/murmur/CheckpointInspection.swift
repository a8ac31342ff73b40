import ArgumentParser
import Checkpointing
import Foundation
import Training

/// The checkpoints of a run, one line each.
struct ListCheckpoints: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Lists the checkpoints of a run, newest first.",
        discussion: """
            A line each: the step, bytes, and whether its manifest and file sizes are sound; \
            `verify` reads every byte.
            """)

    @Argument(help: ArgumentHelp("The directory of a run.", valueName: "dir"), transform: path)
    var directory: String

    func run() throws {
        guard Launch.isFirst else { return }
        let listed = try checkpointing { () throws(CheckpointError) in
            try CheckpointReader.list(in: directory)
        }
        if listed.isEmpty {
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: directory, isDirectory: &isFolder),
                isFolder.boolValue
            else {
                throw RunError(
                    .checkpoint, "\(directory): expected a checkpoint or a run, found none")
            }
            print("no checkpoints")
        }
        for checkpoint in listed {
            let name = checkpoint.path.split(separator: "/").last ?? ""
            switch checkpoint.reader {
            case .success(let reader):
                let bytes = reader.manifest.files.reduce(0) { $0 + $1.byteCount }
                print("\(name)  \(bytes) bytes  \(reader.manifest.files.count) files  complete")
            case .failure(let error): print("\(name)  unusable: \(error.message)")
            }
        }
    }
}

/// Every byte against its digest.
struct VerifyCheckpoint: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Compares every byte of a checkpoint with its digest.",
        discussion: """
            Of a run, all of its checkpoints. Exit code 4 where one is damaged; the file and the \
            tensor are named.
            """)

    @Argument(help: ArgumentHelp("A checkpoint, or a run.", valueName: "dir"), transform: path)
    var directory: String

    func run() throws {
        guard Launch.isFirst else { return }
        let listed = try checkpointing { () throws(CheckpointError) in
            try CheckpointReader.list(in: directory)
        }
        guard !listed.isEmpty else {
            throw RunError(.checkpoint, "\(directory): expected a checkpoint, found none")
        }
        var problems: [String] = []
        var kind = RunError.Kind.checkpoint
        for checkpoint in listed {
            do throws(CheckpointError) {
                try checkpoint.reader.get().verify()
                print("\(checkpoint.path): sound")
            } catch {
                if case .io = error.kind { kind = .inputOutput }
                problems.append(error.message)
            }
        }
        guard problems.isEmpty else { throw RunError(kind, problems: problems) }
    }
}

/// What a checkpoint says of itself.
struct InspectCheckpoint: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Prints what a checkpoint holds.")

    @Argument(
        help: ArgumentHelp("A checkpoint, or a run: its newest one.", valueName: "dir"),
        transform: path)
    var directory: String

    func run() throws {
        guard Launch.isFirst else { return }
        let listed = try checkpointing { () throws(CheckpointError) in
            try CheckpointReader.list(in: directory)
        }
        guard let newest = listed.first else {
            throw RunError(.checkpoint, "\(directory): expected a checkpoint, found none")
        }
        // Of a run, the newest that can be opened; where none can, why not the newest.
        let usable = listed.first { (try? $0.reader.get()) != nil } ?? newest
        for passedOver in listed.prefix(while: { $0.path != usable.path }) {
            if case .failure(let error) = passedOver.reader {
                Report.warn(["passed over: \(error.message)"])
            }
        }
        let reader = try checkpointing { () throws(CheckpointError) in try usable.reader.get() }
        let (manifest, progress) = (reader.manifest, reader.progress)
        print("path        \(reader.path)")
        print("version     \(manifest.formatVersion)")
        print("run         \(progress.identity.run)")
        print("build       \(progress.identity.build)")
        print("BLAS        \(progress.identity.blas)")
        print("config      \(progress.identity.configurationDigest)")
        print("tokenizer   \(progress.identity.tokenizerDigest)")
        print("dataset     \(progress.identity.datasetDigest)")
        print("step        \(progress.step)")
        print("updates     \(progress.optimizerUpdates)")
        print("samples     \(progress.samples)")
        if let scale = progress.lossScale {
            print(
                "loss scale  \(scale.scale)  \(scale.goodSteps) good steps, hysteresis "
                    + "\(scale.hysteresis), \(scale.lostSteps) lost steps")
        }
        for file in manifest.files { print("file        \(file.name)  \(file.byteCount) bytes") }
        for tensor in manifest.tensors {
            let count = try checkpointing { () throws(CheckpointError) in
                try reader.partCount(of: tensor.name)
            }
            print(
                "tensor      \(tensor.name)  \(tensor.spec.shape)  \(count) "
                    + (count == 1 ? "part" : "parts"))
        }
    }
}
