// `murmur prepare` over the ranks of a world: they share the units and meet between the stages.

import Communication
import Datasets
import Foundation
import Preparation
import Synchronization

extension PreparationConfiguration {
    /// Makes the folder; returns the lines that say what became of everything. Collective over the world.
    ///
    /// - Parameters:
    ///   - replaces: whether a prepared folder of other content is replaced.
    ///   - threads: of each rank; nil: as many as it may use.
    package func prepare(
        world: World, replaces: Bool, threads: Int?, note: @escaping (String) -> Void
    ) throws(RunError) -> [String] {
        var options = PreparationRun.Options()
        options.replaces = replaces
        let share = try world.processorShare().threads
        options.threads = threads ?? share
        try requireSharedWork(world)
        let workers = RankWorkers(world: world)
        let run = PreparationRun(
            self, options: options, workers: workers,
            note: { if world.isFirst { note($0) } })
        do throws(DatasetError) {
            return try run.run().summary
        } catch {
            throw workers.failure ?? RunError(error)
        }
    }

    /// Throws where a rank does not see the folder of results that the others see: it would work for nothing, and all
    /// would find out at the end. Collective.
    private func requireSharedWork(_ world: World) throws(RunError) {
        guard world.size > 1 else { return }
        let folder = workFolder
        try world.communicator.together(world.placement.hostName) { () throws(RunError) in
            guard world.isFirst else { return }
            do throws(DatasetError) {
                try Folder.create(folder)
            } catch {
                throw RunError(error)
            }
        }
        do throws(RunError) {
            try SharedFolder.require(folder, world: world)
        } catch {
            // What is a run's directory there is this folder here.
            let problems = error.problems.map {
                $0.replacingOccurrences(of: "run.directory", with: "output.work")
            }
            throw RunError(
                error.kind, problems: problems, rank: error.rank, host: error.host,
                step: error.step, isShared: error.isShared)
        }
    }
}

/// The ranks of a world as those who prepare.
private final class RankWorkers: Workers {
    private let world: World
    private let kept = Mutex<RunError?>(nil)

    init(world: World) { self.world = world }

    /// What ranks met together, with the place where it happened.
    var failure: RunError? { kept.withLock { $0 } }

    var number: Int { world.rank }
    var count: Int { world.size }

    func together(
        on what: String, _ body: () throws(DatasetError) -> [UInt8]
    ) throws(DatasetError) -> [[UInt8]] {
        do throws(RunError) {
            let own = try world.communicator.together(world.placement.hostName, on: what) {
                () throws(RunError) -> [UInt8] in
                do throws(DatasetError) {
                    return try body()
                } catch {
                    throw RunError(error)
                }
            }
            let texts = try world.communicator.gather(Data(own).base64EncodedString())
            return texts.map { Array(Data(base64Encoded: $0) ?? Data()) }
        } catch {
            kept.withLock { $0 = error }
            throw DatasetError(.inputOutput, error.problems[0])
        }
    }
}
