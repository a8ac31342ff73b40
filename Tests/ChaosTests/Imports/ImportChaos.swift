// Imports that are killed, imports that a disk is too small for, and what an import of much takes of memory.

import Checkpointing
import Foundation
import Glibc
import Tensors
import TestSupport
import Testing

/// A folder as transformers writes it, of a GPT-2 whose weights are repeated noise, on a file system in memory
/// where one can be mounted.
private final class ImportFolder {
    private let folder: TemporaryFolder
    private let disk: SmallDisk?
    let path: String
    var model: String { "\(path)/model" }
    var run: String { "\(path)/run" }
    private(set) var parameterCount = 0
    /// Of weights and moments.
    var stateByteCount: Int { 12 * parameterCount }

    init(width: Int) throws {
        folder = try TemporaryFolder()
        path = folder.file("disk")
        disk = SmallDisk.isPossible ? try SmallDisk(at: path, kibibytes: 1 << 21) : nil
        try FileManager.default.createDirectory(
            atPath: "\(path)/model", withIntermediateDirectories: true)
        let configuration = """
            {"model_type": "gpt2", "n_embd": \(width), "n_layer": 1, "n_head": 8, "n_positions": 64, \
            "vocab_size": 300}
            """
        try Data(configuration.utf8).write(to: URL(fileURLWithPath: "\(model)/config.json"))
        try write(ImportFolder.tensors(width: width))
    }

    private static func tensors(width: Int) -> [(name: String, shape: Shape)] {
        [
            ("wte.weight", [300, width]), ("wpe.weight", [64, width]),
            ("h.0.ln_1.weight", [width]), ("h.0.ln_1.bias", [width]),
            ("h.0.attn.c_attn.weight", [width, 3 * width]), ("h.0.attn.c_attn.bias", [3 * width]),
            ("h.0.attn.c_proj.weight", [width, width]), ("h.0.attn.c_proj.bias", [width]),
            ("h.0.ln_2.weight", [width]), ("h.0.ln_2.bias", [width]),
            ("h.0.mlp.c_fc.weight", [width, 4 * width]), ("h.0.mlp.c_fc.bias", [4 * width]),
            ("h.0.mlp.c_proj.weight", [4 * width, width]), ("h.0.mlp.c_proj.bias", [width]),
            ("ln_f.weight", [width]), ("ln_f.bias", [width]),
        ]
    }

    private func write(_ tensors: [(name: String, shape: Shape)]) throws {
        let noise = Buffer(count: 1 << 20)
        var generator = Dice(seed: Dice.seed &+ 1)
        for index in 0..<noise.count {
            noise.floats[index] = Float.random(in: -0.1...0.1, using: &generator)
        }
        let writer = try SafetensorsWriter(
            creating: "\(model)/model.safetensors",
            tensors.map { SafetensorsWriter.Item(name: "transformer.\($0.name)", shape: $0.shape) })
        for tensor in tensors {
            // Blocks of odd sizes, so that no two tensors begin alike.
            for start in stride(from: 0, to: tensor.shape.count, by: 1_000_003) {
                let count = min(1_000_003, tensor.shape.count - start)
                try writer.append(noise[noise.count - count..<noise.count])
            }
            parameterCount += tensor.shape.count
        }
        try writer.finish()
    }

    func load(
        into run: String? = nil, whileRunning: (Program.Running) -> Bool = { _ in true }
    ) throws -> Launch {
        try murmur(
            ["checkpoint", "import", model, run ?? self.run], whileRunning: whileRunning)
    }

    /// The digest of what an import has made; nil where it has made nothing.
    func digest(of run: String) throws -> String? {
        try CheckpointReader.newest(in: run)?.reader.digest()
    }

    static func names(_ folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    }
}

/// The most memory that a running program had so far, in bytes.
private func peakMemory(of process: pid_t) -> Int? {
    let status = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
    guard let match = status?.firstMatch(of: /VmHWM:\s+([0-9]+) kB/) else { return nil }
    return Int(match.1).map { $0 * 1024 }
}

extension Chaos {
    @Suite(.serialized) struct Imports {
        /// The state, 600 MB, is neither held by an import nor by an export.
        @Test func memoryIsThatOfBlocks() throws {
            let folder = try ImportFolder(width: 2048)
            var peaks: [Int] = []
            func measured(_ body: ((Program.Running) -> Bool) throws -> Launch) throws {
                var peak = 0
                let launch = try body { running in
                    peak = max(peak, peakMemory(of: running.process) ?? 0)
                    return false
                }
                #expect(launch.exitCode == 0, "\(launch.summary)")
                #expect(peak > 1 << 20, "something was measured")
                peaks.append(peak >> 20)
            }
            try measured { try folder.load(whileRunning: $0) }
            try measured {
                try murmur(
                    ["checkpoint", "export", folder.run, "\(folder.path)/out"], whileRunning: $0)
            }
            #expect(
                peaks.allSatisfy { $0 < 256 }, "\(peaks) MiB of \(folder.stateByteCount >> 20)")
            // Out and in again, byte by byte.
            #expect(
                FileManager.default.contentsEqual(
                    atPath: "\(folder.model)/model.safetensors",
                    andPath: "\(folder.path)/out/model.safetensors"))
            Chaos.report(
                "import and export of \(folder.parameterCount) parameters, "
                    + "\(folder.stateByteCount >> 20) MiB: \(peaks[0]) and \(peaks[1]) MiB of memory"
            )
        }

        /// Killed at any moment, an import has made a checkpoint or none; then the next one does.
        @Test func killedItLeavesTheWholeOrNothing() throws {
            let folder = try ImportFolder(width: 512)
            let whole = "\(folder.path)/whole"
            let launch = try folder.load(into: whole)
            #expect(launch.exitCode == 0, "\(launch.summary)")
            let digest = try #require(try folder.digest(of: whole))
            var generator = Dice(seed: Dice.seed &+ 2)
            var outcomes = [0, 0]
            for trial in 0..<Chaos.trials(100, short: 4) {
                try? FileManager.default.removeItem(atPath: folder.run)
                let delay = Double.random(in: 0...1.1 * launch.seconds, using: &generator)
                let start = monotonicSeconds()
                let killed = try folder.load {
                    guard monotonicSeconds() - start > delay else { return false }
                    kill($0.process, SIGKILL)
                    return true
                }
                let what = "trial \(trial), killed after \(delay) s: \(killed.summary)"
                let found = try folder.digest(of: folder.run)
                #expect(found == nil ? killed.exitCode == 137 : found == digest, "\(what)")
                outcomes[found == nil ? 0 : 1] += 1
                let names = ImportFolder.names("\(folder.run)/checkpoints")
                #expect(
                    names.allSatisfy { $0.hasPrefix(found == nil ? ".tmp-" : "step-") }, "\(what)")
                let next = try folder.load()
                // A checkpoint of step 0 is a run, which an import does not touch.
                #expect(next.exitCode == (found == nil ? 0 : 2), "\(what)\n\(next.summary)")
                #expect(try folder.digest(of: folder.run) == digest, "\(what)")
                #expect(
                    ImportFolder.names("\(folder.run)/checkpoints") == ["step-0000000000"],
                    "\(what)")
            }
            Chaos.report(
                "import killed \(outcomes[0] + outcomes[1]) times: \(outcomes[0]) nothing, "
                    + "\(outcomes[1]) the whole, then all whole")
        }

        /// With too little room an import ends with exit code 5 and leaves nothing, and succeeds when there is room.
        @Test(.enabled(if: SmallDisk.isPossible, "mounting a file system takes a privilege"))
        func aFullDiskLeavesNothing() throws {
            let folder = try ImportFolder(width: 512)
            let size = (folder.stateByteCount >> 10) + 256
            let disk = try SmallDisk(at: "\(folder.path)/small", kibibytes: size)
            let (run, filler) = ("\(disk.path)/run", "\(disk.path)/filler")
            var generator = Dice(seed: Dice.seed &+ 3)
            let trials = Chaos.trials(60, short: 3)
            for trial in 0..<trials {
                // From no room at all to a little less than all.
                let room = trial == 0 ? 0 : Int.random(in: 0..<size - 320, using: &generator)
                try Data(count: (size - room) << 10).write(to: URL(fileURLWithPath: filler))
                let launch = try folder.load(into: run)
                let what = "trial \(trial), \(room) KiB of \(size): \(launch.summary)"
                #expect(launch.exitCode == 5 && launch.errorLines.count == 1, "\(what)")
                #expect(
                    launch.errors.contains("bytes free") || launch.errors.contains("No space left"),
                    "\(what)")
                #expect(ImportFolder.names("\(run)/checkpoints").isEmpty, "\(what)")
                try FileManager.default.removeItem(atPath: filler)
                if trial % 8 == 0 {
                    let next = try folder.load(into: run)
                    #expect(next.exitCode == 0, "\(what)\n\(next.summary)")
                    #expect(ImportFolder.names("\(run)/checkpoints") == ["step-0000000000"])
                    try FileManager.default.removeItem(atPath: run)
                }
            }
            withExtendedLifetime(disk) {}
            Chaos.report("import on a full disk, \(trials) times: exit code 5, nothing left")
        }
    }
}
