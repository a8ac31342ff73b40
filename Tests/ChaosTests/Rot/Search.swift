import Checkpointing
import Communication

/// What the search for a run's newest usable checkpoint comes to.
enum Search: Equatable, Sendable {
    case found(step: Int, warnings: [String])
    case nothing
    case noneUsable(String)
    case other(String)

    /// By this process alone, or by ranks that are its threads and must all find the same.
    init(_ directory: String, ranks: Int = 1) {
        guard ranks > 1 else {
            self = Search.one(directory, nil)
            return
        }
        do {
            let all = try InProcess.run(ranks: ranks) { Search.one(directory, $0) }
            self = all.allSatisfy { $0 == all[0] } ? all[0] : .other("ranks differ: \(all)")
        } catch {
            self = .other("\(error)")
        }
    }

    private static func one(_ directory: String, _ communicator: (any Communicator)?) -> Search {
        do throws(CheckpointError) {
            let found = try CheckpointReader.newest(in: directory, communicator: communicator)
            return found.map { .found(step: $0.reader.progress.step, warnings: $0.warnings) }
                ?? .nothing
        } catch {
            guard case .unusable = error.kind else { return .other(error.message) }
            return .noneUsable(error.message)
        }
    }

    /// What is wrong with this where the checkpoint of step `step` should have been found; nil: nothing is. One
    /// was passed over for a reason that has all of `reasons`, or none where there are no reasons.
    func objection(step: Int, reasons: [String] = []) -> String? {
        let expected = "expected step \(step), warned of \(reasons)"
        guard case .found(step, let warnings) = self,
            warnings.count == (reasons.isEmpty ? 0 : 1),
            reasons.allSatisfy({ warnings[0].contains($0) })
        else { return "\(expected), found \(self)" }
        return nil
    }
}
