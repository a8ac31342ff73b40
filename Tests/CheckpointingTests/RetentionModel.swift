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
    /// How many stay.
    let keep: Int

    init(keep: Int) { self.keep = keep }

    var steps: Set<Int> { Set(states.keys) }
    var newestSound: Int? { states.filter { $0.value == .sound }.keys.max() }
    var newerOnes: Int { states.keys.count { $0 > newestSound ?? 0 } }

    mutating func damage(_ step: Int, _ state: State) { states[step] = state }

    /// A save of `step`: it replaces what is damaged, and the oldest of what opens go.
    mutating func save(_ step: Int) {
        states[step] = .sound
        for older in oldest(upTo: step) { states[older] = nil }
    }

    /// Whether a save of `step` that did not end may leave these: the new one is there or not, and what was there is
    /// but for what a save replaces and, once the new one is there, removes.
    func mayLeave(_ found: Set<Int>, savingStep step: Int, isNew: Bool) -> Bool {
        var saved = self
        saved.save(step)
        let stay = (isNew ? steps.intersection(saved.steps) : steps).subtracting([step])
        return stay.isSubset(of: found) && found.isSubset(of: steps.union([step]))
    }

    /// What was found of a save of `step` that did not end.
    mutating func take(_ found: Set<Int>, savingStep step: Int, isNew: Bool) {
        if isNew { states[step] = .sound }
        states = states.filter { found.contains($0.key) }
    }

    /// Those that go: all that open behind the `keep` newest sound ones.
    private func oldest(upTo step: Int) -> [Int] {
        let opening = states.filter { $0.key <= step && $0.value != .broken }.keys.sorted(by: >)
        let sound = opening.filter { states[$0] == .sound }
        guard opening.count > keep, sound.count >= keep else { return [] }
        return opening.filter { $0 < sound[keep - 1] }
    }
}
