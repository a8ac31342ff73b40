import Checkpointing
import Foundation
import TestSupport

/// What a run gives that nothing happens to: the state after each of its steps, and what it measures.
struct Undisturbed {
    let digests: [Int: String]
    let lossBits: [String]
    let stepCount: Int

    /// Takes a run that has saved, and kept, every step.
    init(_ run: RunFolder, stepCount: Int) throws {
        self.stepCount = stepCount
        lossBits = run.lossBits
        digests = try Dictionary(
            uniqueKeysWithValues: (1...stepCount).map {
                ($0, try CheckpointReader(path: run.checkpoint($0)).digest())
            })
    }
}

/// What a run has left that came to a sudden end.
struct Remains {
    /// Of the newest checkpoint.
    let step: Int?
    /// Everything that is not as it has to be.
    private(set) var faults: [String] = []

    /// - Parameters:
    ///   - directory: the run's.
    ///   - acknowledged: the last step that it said to have saved.
    init(of directory: String, acknowledged: Int, against undisturbed: Undisturbed) {
        let names =
            (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/checkpoints"))
        let steps = (names ?? []).compactMap { $0.hasPrefix("step-") ? Int($0.dropFirst(5)) : nil }
        step = steps.max()
        for name in names ?? []
        where !["step-", ".tmp-", ".trash-"].contains(where: name.hasPrefix) {
            faults.append("checkpoints/\(name): not a checkpoint and not a leftover")
        }
        for step in steps {
            let path = "\(directory)/checkpoints/step-" + String(format: "%010d", step)
            do {
                let reader = try CheckpointReader(path: path)
                try reader.verify()
                if try reader.digest() != undisturbed.digests[step] {
                    faults.append("\(path): not the state after step \(step)")
                }
            } catch {
                faults.append("\(error)")
            }
        }
        if (step ?? 0) < acknowledged {
            faults.append(
                "said to have saved step \(acknowledged), has \(step.map(String.init) ?? "none")")
        }
        let metrics = FileManager.default.contents(atPath: "\(directory)/metrics.jsonl") ?? Data()
        if lossBits(in: metrics).prefix(step ?? 0) != undisturbed.lossBits.prefix(step ?? 0) {
            faults.append("metrics.jsonl: not the rows of \(step ?? 0) steps")
        }
    }
}

/// The losses in whole rows of a metrics file.
private func lossBits(in metrics: Data) -> [String] {
    metrics.split(separator: 0x0A).compactMap {
        String(decoding: $0, as: UTF8.self).firstMatch(of: /"loss_bits": "([0-9a-f]{8})".*}/)
            .map { String($0.1) }
    }
}

/// The last step that a run said to have saved, in what it wrote to standard error; 0: none.
func lastSaved(in text: String) -> Int {
    text.split(separator: "\n").compactMap {
        $0.wholeMatch(of: /saved .*step-([0-9]{10})/).flatMap { Int($0.1) }
    }.max() ?? 0
}
