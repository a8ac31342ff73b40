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
