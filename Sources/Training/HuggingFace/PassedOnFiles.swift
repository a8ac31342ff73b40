// What a Hugging Face folder says of generation and of special tokens goes out as it came in.

import Checkpointing
import Datasets
import Files
import Foundation

/// Files of an imported folder that this version does not use, but programs that load an export do. They lie in
/// the run directory, in `imported-RUN`, where RUN is the run's own name.
struct PassedOnFiles {
    static let generation = "generation_config.json"
    private static let names = [
        HuggingFaceFile.configuration, generation, "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json", HuggingFaceFile.preprocessor,
    ]

    private(set) var files: [(name: String, bytes: [UInt8])] = []
    /// The members of `config.json`.
    private var configuration: [String: JSONValue] = [:]
    /// Why some are not passed on.
    private(set) var notes: [String] = []

    /// Those that `folder` has, each an object of JSON.
    init(of folder: HuggingFaceFolder) {
        for name in PassedOnFiles.names where folder.has(name) {
            do throws(CheckpointError) {
                let members = try folder.members(of: name)
                if name == HuggingFaceFile.configuration { configuration = members }
                files.append((name, try folder.bytes(of: name)))
            } catch {
                notes.append("\(name) is not passed on to exports: \(error.message)")
            }
        }
    }

    /// Those that an import left for the checkpoints of a run; nil where it left none, or they are not beside this
    /// one.
    init?(besides checkpoint: String, run: String) throws(RunError) {
        let directory = URL(fileURLWithPath: checkpoint).deletingLastPathComponent()
            .deletingLastPathComponent().path
        let path = PassedOnFiles.path(in: directory, run: run)
        guard entryExists(path) else { return nil }
        self.init(
            of: try checkpointing { () throws(CheckpointError) in try HuggingFaceFolder(path) })
    }

    /// Writes them to a run directory, before its checkpoint.
    func write(to directory: String, run: String) throws(RunError) {
        guard !files.isEmpty else { return }
        let path = PassedOnFiles.path(in: directory, run: run)
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        } catch {
            throw RunError(
                .inputOutput, "\(path): expected to make it, found \(systemReason(error))")
        }
        for file in files {
            try Training.write(
                String(decoding: file.bytes, as: UTF8.self), to: "\(path)/\(file.name)")
        }
    }

    /// What the folder's `config.json` says of special tokens (numbers, lists of them or null) and of the names of
    /// classes.
    var members: [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            switch configuration[key] {
            case .null: members[key] = .null
            case .integer(let id): members[key] = .integer(id)
            case .array(let list) where list.allSatisfy({ $0.int != nil }):
                members[key] = .array(list)
            default: break
            }
        }
        for key in ["id2label", "label2id"] {
            if case .object(let names) = configuration[key] { members[key] = .object(names) }
        }
        return members
    }

    private static func path(in directory: String, run: String) -> String {
        "\(directory)/imported-\(run)"
    }
}
