import Checkpointing
import TestSupport
import Testing

/// What must be on disk of a run's checkpoints, whatever happened to it: a few lines to hold against the program.
struct RetentionModel {
    enum State: Equatable {
        case sound
        /// It opens, and a tensor's bytes are not what they were.
        case rotten
        /// It does not open.
        case broken
    }

    /// By step.
    private(set) var states: [Int: State] = [:]
    /// By step, the updates that were made until then.
    private(set) var updates: [Int: Int] = [:]
    /// How many stay.
    let keep: Int

    init(keep: Int) { self.keep = keep }

    var steps: Set<Int> { Set(states.keys) }
    var newestSound: Int? { states.filter { $0.value == .sound }.keys.max() }
    var newerOnes: Int { states.keys.count { $0 > newestSound ?? 0 } }

    mutating func damage(_ step: Int, _ state: State) { states[step] = state }

    /// A save of `step`: it replaces what is damaged, and what it repeats; the oldest of what opens go.
    mutating func save(_ step: Int, updates count: Int) {
        (states[step], updates[step]) = (.sound, count)
        for older in repeated(upTo: step) + oldest(upTo: step) { states[older] = nil }
    }

    /// Whether a save of `step` that did not end may leave these: the new one is there or not, and what was there is
    /// but for what a save replaces and, once the new one is there, removes.
    func mayLeave(_ found: Set<Int>, savingStep step: Int, updates: Int, isNew: Bool) -> Bool {
        var saved = self
        saved.save(step, updates: updates)
        let stay = (isNew ? steps.intersection(saved.steps) : steps).subtracting([step])
        return stay.isSubset(of: found) && found.isSubset(of: steps.union([step]))
    }

    /// What was found of a save of `step` that did not end.
    mutating func take(_ found: Set<Int>, savingStep step: Int, updates count: Int, isNew: Bool) {
        if isNew { (states[step], updates[step]) = (.sound, count) }
        states = states.filter { found.contains($0.key) }
    }

    /// Those that open, newest first.
    private func opening(upTo step: Int) -> [Int] {
        states.filter { $0.key <= step && $0.value != .broken }.keys.sorted(by: >)
    }

    /// Those that go since a sound one of a later step has the same updates.
    private func repeated(upTo step: Int) -> [Int] {
        let opening = opening(upTo: step)
        return opening.filter { older in
            opening.contains {
                $0 > older && states[$0] == .sound && updates[$0] == updates[older]
            }
        }
    }

    /// Those that go: all that open behind the `keep` newest sound ones that repeat none.
    private func oldest(upTo step: Int) -> [Int] {
        let rest = Set(opening(upTo: step)).subtracting(repeated(upTo: step))
        let sound = rest.filter { states[$0] == .sound }.sorted(by: >)
        guard rest.count > keep, sound.count >= keep else { return [] }
        return rest.filter { $0 < sound[keep - 1] }
    }
}
