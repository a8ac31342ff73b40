import Checkpointing
import Communication
import Foundation
import TestSupport
import Testing

/// Random sequences of saves, kills, resumes and damage, against `RetentionModel`.
@Suite struct RetentionTests {
    private static let environment = ProcessInfo.processInfo.environment
    /// `launch/chaos` makes longer ones and as many as MURMUR_CHAOS_RUNS says; MURMUR_CHAOS_SEED draws others.
    private static let isLong = environment["MURMUR_CHAOS"] == "long"
    private static let count =
        isLong ? environment["MURMUR_CHAOS_RUNS"].flatMap { Int($0) } ?? 200 : 6
    private static let seeds = (0..<count).map { Dice.seed &* 1_000_000 &+ UInt64($0) }

    @Test(arguments: seeds)
    func whatIsOnDiskIsWhatMustBe(_ seed: UInt64) throws {
        var run = try RandomRun(seed: seed)
        for number in 0..<(Self.isLong ? 60 : 16) {
            let what = try run.act()
            try run.check("seed \(seed), \(number): \(what)")
        }
    }

    /// The control: a model that keeps one more is found out.
    @Test func anotherModelIsFoundOut() throws {
        let folder = try TemporaryFolder()
        var model = RetentionModel(keep: 3)
        for step in [10, 20, 30] {
            try save(into: folder, progress: SampleState.progress(step: step), keep: 2)
            model.save(step, updates: step - 1)
        }
        #expect(model.steps == [10, 20, 30])
        #expect(try folder.names("checkpoints") == ["step-0000000020", "step-0000000030"])
    }
}

/// Checkpoints without an update that an older one has not: all steps in between were skipped.
@Suite struct RepeatedCheckpointTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Each save by a process of its own, as of a run that is stopped and resumed.
    private func save(_ step: Int, updates: Int, ranks: Int = 1) throws {
        let progress = SampleState.progress(step: step, updates: updates)
        try CheckpointingTests.save(into: folder, ranks: ranks, progress: progress)
    }

    private var steps: [Int] {
        get throws { try folder.names("checkpoints").compactMap { Int($0.dropFirst(5)) } }
    }

    @Test(arguments: [1, 3]) func theyReplaceOneAnotherAndNothingElse(ranks: Int) throws {
        for step in [10, 20, 30] { try save(step, updates: step) }
        for step in 31...36 {
            try save(step, updates: 30, ranks: ranks)
            #expect(try steps == [10, 20, step])
        }
        try save(37, updates: 31)
        #expect(try steps == [20, 36, 37])
    }

    /// Also while fewer are there than may stay.
    @Test func noOneIsThereTwice() throws {
        for step in [10, 11] { try save(step, updates: 10) }
        #expect(try steps == [11])
    }
}

/// A run to which things happen, and what the model says of it.
private struct RandomRun {
    private static let foreign = 1
    private let folder: TemporaryFolder
    private var dice: Dice
    private var model: RetentionModel
    private var step = 1
    private var updates = 0

    init(seed: UInt64) throws {
        dice = Dice(seed: seed)
        folder = try TemporaryFolder()
        model = RetentionModel(keep: 1 + dice.roll(3))
        // Another run's, which is nobody's to count or to remove.
        try save(
            into: folder, progress: SampleState.progress(step: Self.foreign, run: "another"))
    }

    /// One thing that may happen; returns what.
    mutating func act() throws -> String {
        switch dice.roll(8) {
        case 0..<3: try saveSome()
        case 3..<5: try killSave()
        case 5: resume()
        default: try damage()
        }
    }

    // MARK: What happens

    /// One or two saves of one process.
    private mutating func saveSome() throws -> String {
        let (ranks, count) = (1 + dice.roll(3), 1 + dice.roll(2))
        let steps = (1...count).map { step + $0 }
        let updates = steps.map { _ in nextUpdates() }
        let copiesState = dice.roll(2) == 0
        try InProcess.run(ranks: ranks) { [folder, keep = model.keep] communicator in
            let saver = CheckpointSaver(
                CheckpointWriter(runDirectory: folder.path, keep: keep, copiesState: copiesState),
                communicator: communicator)
            for (step, updates) in zip(steps, updates) {
                try saver.begin(
                    SampleState.state(
                        rank: communicator.rank, of: ranks, seed: UInt32(step)),
                    progress: SampleState.progress(step: step, updates: updates))
                while saver.step != nil {
                    _ = try saver.wait()
                    _ = try saver.advance()
                }
            }
            _ = try saver.finishPruning()
        }
        for (step, updates) in zip(steps, updates) { model.save(step, updates: updates) }
        step = steps.last!
        return "saved \(steps) of updates \(updates), keep \(model.keep), \(ranks) ranks"
    }

    /// Of the next save: one in three repeats the one before.
    private mutating func nextUpdates() -> Int {
        updates += dice.roll(3) == 0 ? 0 : 1
        return updates
    }

    /// A process that is killed at one of its operations.
    private mutating func killSave() throws -> String {
        let (ranks, next, updates) = (1 + dice.roll(3), step + 1, nextUpdates())
        let (target, victim) = (dice.roll(50), dice.roll(ranks))
        let saboteur = Saboteur(before: target, of: victim, isKill: true)
        try? save(
            into: folder, ranks: ranks, seed: UInt32(next),
            progress: SampleState.progress(step: next, updates: updates), keep: model.keep,
            operations: saboteur.operations)
        let found = onDisk
        let new = try? CheckpointReader(path: "\(folder.path)/\(Self.path(next))")
        let isNew = new.map { (try? $0.verify()) != nil } ?? false
        #expect(
            model.mayLeave(found, savingStep: next, updates: updates, isNew: isNew),
            "saving \(next): found \(found.sorted()) of \(model)")
        model.take(found, savingStep: next, updates: updates, isNew: isNew)
        if isNew { step = next } else { self.updates = model.updates[step] ?? 0 }
        return "killed rank \(victim) of \(ranks) before operation \(target), saving \(next)"
    }

    private mutating func resume() -> String {
        step = model.newestSound ?? Self.foreign
        updates = model.updates[step] ?? 0
        return "resumed at \(step)"
    }

    private mutating func damage() throws -> String {
        let sound = model.steps.filter { model.states[$0] == .sound }.sorted()
        guard !sound.isEmpty else { return "nothing" }
        let step = dice.pick(sound)
        let name = dice.pick(try folder.names(Self.path(step)))
        let path = "\(folder.path)/\(Self.path(step))/\(name)"
        var bytes = try contents(path)
        let isShard = name.hasPrefix("shard-")
        let header =
            isShard ? 8 + bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) } : bytes.count
        switch dice.roll(3) {
        case 0:
            try FileManager.default.removeItem(atPath: path)
            model.damage(step, .broken)
            return "removed \(name) of \(step)"
        case 1:
            bytes.removeLast(1 + dice.roll(bytes.count))
            model.damage(step, .broken)
        default:
            let index = dice.roll(2) == 0 ? dice.roll(header) : dice.roll(bytes.count)
            bytes[index] ^= 1 << UInt8(dice.roll(8))
            model.damage(step, index < header ? .broken : .rotten)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return "damaged \(name) of \(step): \(model.states[step]!)"
    }

    // MARK: What must be

    func check(_ what: String) throws {
        #expect(onDisk == model.steps, "\(what)")
        #expect(isFolder(Self.foreign), "\(what): another run's is gone")
        let newest = try CheckpointReader.newest(in: folder.path)
        let found = try #require(newest, "\(what)")
        let expected = model.newestSound ?? Self.foreign
        #expect(found.reader.progress.step == expected, "\(what)")
        #expect(found.warnings.count == model.newerOnes, "\(what): \(found.warnings)")
        guard expected != Self.foreign else { return }
        let tensor = try found.reader.loadTensor("wpe.weight").array.map(\.bitPattern)
        let values = SampleState.values(of: "wpe.weight", count: 42, seed: UInt32(expected))
        #expect(tensor == values.map(\.bitPattern), "\(what)")
    }

    private var onDisk: Set<Int> {
        let names = (try? folder.names("checkpoints")) ?? []
        let steps = names.filter { $0.hasPrefix("step-") }.compactMap { Int($0.dropFirst(5)) }
        return Set(steps).subtracting([Self.foreign])
    }

    private static func path(_ step: Int) -> String {
        "checkpoints/step-" + String(format: "%010d", step)
    }

    private func isFolder(_ step: Int) -> Bool {
        FileManager.default.fileExists(atPath: "\(folder.path)/\(Self.path(step))/manifest.json")
    }

}
