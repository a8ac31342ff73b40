// Reading a new checkpoint back, past the page cache, before older ones go. The ranks share that out by files, so
// that it takes about as long as writing one did; each reads what another rank has written, since what its own host
// still has in memory proves nothing.

import Synchronization

/// A rank's share of reading checkpoints back.
struct ReadBack: Sendable {
    let folder: CheckpointFolder
    let steps: [Int]
    let rank: Int
    let rankCount: Int
    let operations: FileOperations
    let stop: Stop

    /// Tells a thread that nobody waits for what it reads.
    final class Stop: Sendable {
        private let isSet = Atomic(false)

        func set() { isSet.store(true, ordering: .relaxed) }

        func check() throws(CheckpointError) {
            guard !isSet.load(ordering: .relaxed) else {
                throw CheckpointError(.io, "reading back: not needed any more")
            }
        }
    }

    /// What is wrong with the share of each of the steps.
    func run() -> Findings {
        var findings = Findings(steps: steps)
        for step in steps {
            do throws(CheckpointError) {
                try read(folder.path(ofStep: step))
            } catch {
                findings.problems.append(Findings.Problem(step, error))
            }
        }
        return findings
    }

    /// Of as many shards as there are ranks that of the next rank.
    private func read(_ path: String) throws(CheckpointError) {
        let reader = try CheckpointReader(path: path, followingLinks: false)
        let files = reader.manifest.files
        let shards = files.indices.filter { files[$0].holdsTensors }
        for index in shards.indices where index % rankCount == (rank + 1) % rankCount {
            try operations.announceReading("\(path)/\(files[shards[index]].name)")
            for part in try reader.parts(ofFile: shards[index]) {
                try stop.check()
                try reader.verify(part, true)
            }
        }
    }
}

extension ReadBack {
    /// What a rank has found in its share.
    struct Findings: Sendable, Equatable {
        struct Problem: Sendable, Equatable {
            let step: Int
            /// Otherwise it could not be read for a reason that says nothing of the checkpoint.
            let isDamage: Bool
            let message: String

            init(_ step: Int, _ error: CheckpointError) {
                (self.step, isDamage, message) = (step, error.isOfOneCheckpoint, error.message)
            }
        }

        /// What was read.
        let steps: [Int]
        var problems: [Problem] = []

        init(steps: [Int]) { self.steps = steps }

        /// Nothing of these was read.
        init(of steps: [Int], _ error: CheckpointError) {
            self.steps = steps
            problems = steps.map { Problem($0, error) }
        }

        /// Whether that checkpoint is damaged, or could not be read.
        func hasProblem(ofStep step: Int) -> Bool { problems.contains { $0.step == step } }

        /// As text, which ranks exchange: the steps, and a line for each problem.
        var encoded: [UInt8] {
            let lines = problems.map { "\($0.step)\t\($0.isDamage)\t\($0.message)" }
            return steps.encoded + Array(lines.map { "\n\($0)" }.joined().utf8)
        }

        /// - Parameter encoded: what a rank of this program has encoded.
        init(encoded: [UInt8]) {
            let lines = encoded.split(
                separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            steps = [Int](encoded: Array(lines[0]))
            problems = lines.dropFirst().compactMap(Problem.init)
        }
    }
}

extension ReadBack.Findings.Problem {
    fileprivate init?(_ line: ArraySlice<UInt8>) {
        let fields = String(decoding: line, as: UTF8.self).split(separator: "\t", maxSplits: 2)
        guard fields.count == 3, let step = Int(fields[0]), let isDamage = Bool(String(fields[1]))
        else { return nil }
        (self.step, self.isDamage, message) = (step, isDamage, String(fields[2]))
    }
}

extension KnownCheckpoints {
    /// Takes what all ranks have found of the same steps, and returns warnings. What could not be read stays
    /// unknown, and is read again before it counts. So does what is damaged by the word of other ranks alone, whose
    /// view of the folder may be what is wrong: by step, what they say.
    mutating func take(
        _ findings: [ReadBack.Findings]
    ) -> (warnings: [String], doubtful: [(step: Int, reason: String)]) {
        let problems = Dictionary(grouping: findings.flatMap(\.problems), by: \.step)
        var warnings: [String] = []
        var doubtful: [(step: Int, reason: String)] = []
        for step in findings[0].steps {
            guard let found = problems[step] else {
                sound.insert(step)
                continue
            }
            // What is wrong with a small file, every rank says.
            let messages = Set(found.map(\.message)).sorted()
            let more = messages.count > 4 ? ["and \(messages.count - 4) more"] : []
            let reason = (messages.prefix(4) + more).joined(separator: "; ")
            if findings[0].problems.contains(where: { $0.step == step && $0.isDamage }) {
                damaged.insert(step)
                warnings.append("\(reason); \(KnownCheckpoints.damage)")
            } else if found.contains(where: \.isDamage) {
                doubtful.append((step, reason))
            } else {
                warnings.append("\(reason); it is read again")
            }
        }
        return (warnings, doubtful)
    }
}

extension CheckpointFolder {
    /// Which checkpoints are to be read after a save, newest first: the saved one and, where an older one may go,
    /// those that may stay for it and are not known.
    func unread(
        upTo progress: TrainingProgress, keep: Int, _ known: KnownCheckpoints
    ) -> [Int] {
        let all = try? checkpoints(of: progress.identity.run, upTo: progress.step)
        let own = (all ?? []).filter { !known.damaged.contains($0.step) }
        let staying = own.staying(keep)
        let older = staying.count < own.count ? staying.map(\.step) : []
        return [progress.step] + older.filter { $0 != progress.step && !known.contains($0) }
    }
}

extension [Int] {
    /// As text, which ranks exchange.
    var encoded: [UInt8] { [UInt8](map(String.init).joined(separator: " ").utf8) }

    /// - Parameter encoded: what a rank of this program has encoded.
    init(encoded: [UInt8]) {
        self = String(decoding: encoded, as: UTF8.self).split(separator: " ").compactMap { Int($0) }
    }
}
