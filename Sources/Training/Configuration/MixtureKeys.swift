// How much of each source a run reads, from which step on: the keys, and what becomes of them on resume.

import Configuration
import Datasets
import Foundation

/// Other weights from a step on.
public struct MixtureChange: Sendable, Equatable {
    /// Steps that are complete when they begin to hold.
    public var step: Int
    public var weights: [Double]

    public init(step: Int, weights: [Double]) { (self.step, self.weights) = (step, weights) }
}

extension RunConfiguration.DataSource {
    /// The weights from the beginning on, and every change of them; nil where there are no sources.
    ///
    /// - Parameter tokens: of each source: the weights where the configuration gives none.
    package func mixture(tokens: [Int], sequences: Int) -> MixtureOrder {
        var segments = [
            MixtureOrder.Segment(
                start: 0, weights: weights.isEmpty ? tokens : weights.map(\.billionths))
        ]
        for change in curriculum {
            segments.append(
                MixtureOrder.Segment(
                    start: change.step * sequences, weights: change.weights.map(\.billionths)))
        }
        return MixtureOrder(segments)
    }

    /// The weights that hold after so many steps; empty where they follow from the sources' sizes.
    package func weights(after step: Int) -> [Double] {
        curriculum.last { $0.step <= step }?.weights ?? weights
    }

    /// The changes that steps have been taken with, of which none may be different later.
    fileprivate func past(_ step: Int) -> [MixtureChange] { curriculum.filter { $0.step < step } }

    /// The changes that are still to come.
    fileprivate func future(_ step: Int) -> [MixtureChange] { curriculum.filter { $0.step > step } }

    /// The sources by their names, which stay when their folders are moved.
    package var sourceNames: [String] { sources.map { ($0 as NSString).lastPathComponent } }
}

extension Double {
    /// Weights are counted in billionths: 0.1 is exactly a tenth.
    fileprivate var billionths: Int { Int((self * 1e9).rounded()) }
}

extension RunConfiguration {
    /// This configuration with the history of `saved`, where from `step` on it asks for what is planned there: a file
    /// that named other weights for an earlier resume need not be changed again.
    package func adoptingMixture(of saved: RunConfiguration, step: Int) -> RunConfiguration {
        guard !data.weights.isEmpty, data.sourceNames == saved.data.sourceNames,
            saved.data.weights(after: step) == data.weights,
            data.past(step).isEmpty, data.curriculum == saved.data.future(step)
        else { return self }
        var adopted = self
        (adopted.data.weights, adopted.data.curriculum) =
            (saved.data.weights, saved.data.curriculum)
        return adopted
    }

    /// This configuration as it goes on after `step` steps of `saved`, where an override was allowed: other
    /// `data.weights` begin to hold now, and what was used before stays in `data.curriculum`.
    ///
    /// - Parameter samples: that the steps of `saved` have taken.
    package func changingMixture(
        of saved: RunConfiguration, step: Int, samples: Int
    ) throws(ConfigurationError) -> RunConfiguration {
        guard !saved.data.sources.isEmpty, data.sourceNames == saved.data.sourceNames, step > 0
        else { return self }
        guard saved.data.curriculum.isEmpty || batch.sequences == saved.batch.sequences else {
            throw mixtureError(
                "batch.sequences",
                "expected \(saved.batch.sequences) as the changes of data.curriculum were counted with, found "
                    + "\(batch.sequences): samples would be lost or repeated")
        }
        let (given, before) = (data, saved.data)
        if given.weights == before.weights, given.curriculum == before.curriculum { return self }
        let changed = try changed(from: before, step)
        // Changes stand at steps, and steps must be as many samples as they always were.
        guard changed.data.curriculum.isEmpty || samples == step * batch.sequences else {
            throw mixtureError(
                given.curriculum == before.curriculum ? "data.weights" : "data.curriculum",
                "expected no change of weights in a run of which batch.sequences has changed (\(samples) samples "
                    + "in \(step) steps, \(batch.sequences) a step now), found one: samples would be lost or "
                    + "repeated")
        }
        return changed
    }

    private func changed(
        from before: DataSource, _ step: Int
    ) throws(ConfigurationError) -> RunConfiguration {
        let given = data
        guard given.curriculum.isEmpty || given.curriculum == before.curriculum else {
            // Changes by themselves: those that steps were taken with must stay.
            guard given.weights == before.weights, given.past(step) == before.past(step) else {
                throw mixtureError(
                    "data.curriculum",
                    "expected weights \(Self.list(before.weights)) and changes "
                        + "\(MixtureChange.format.text(before.past(step))), which the first \(step) steps "
                        + "were taken with, found others: samples would be lost or repeated; change what "
                        + "follows, or data.weights alone")
            }
            return self
        }
        guard !given.weights.isEmpty else {
            throw mixtureError(
                "data.weights",
                "expected a weight for each source, as \(Self.list(before.weights(after: step))) hold now, "
                    + "found none")
        }
        var changed = self
        changed.data.weights = before.weights
        changed.data.curriculum = before.past(step)
        if before.weights(after: step) != given.weights {
            changed.data.curriculum.append(MixtureChange(step: step, weights: given.weights))
        } else {
            changed.data.curriculum += before.curriculum.filter { $0.step == step }
        }
        // What the file still plans comes to pass.
        if !given.curriculum.isEmpty { changed.data.curriculum += given.future(step) }
        return changed
    }

    private static func list(_ weights: [Double]) -> String {
        ValueFormat<[Double]>.weights.text(weights)
    }

    private func mixtureError(_ key: String, _ message: String) -> ConfigurationError {
        ConfigurationError(file: "configuration", problems: [.init(key: key, message: message)])
    }
}

extension ValueFormat where Value == [Double] {
    /// Weights of sources: a list of numbers, one of them above 0.
    static var weights: Self {
        let one = ValueFormat<Double>.number(from: .including(0), to: .including(1_000_000))
        return Self(
            expected: "a list of numbers from 0 to 1000000, one of them above 0",
            parse: { value in
                guard case .list(let elements) = value else { return nil }
                let numbers = elements.compactMap(one.parse)
                guard numbers.count == elements.count,
                    numbers.isEmpty || numbers.contains(where: { $0.billionths > 0 })
                else { return nil }
                return numbers
            },
            text: { "[\($0.map(one.text).joined(separator: ", "))]" },
            remark: { $0.remark { one.parse($0) == nil } })
    }
}

extension MixtureChange {
    /// Changes as texts, `STEP: WEIGHT WEIGHT …`, in ascending order of their steps.
    static let format = ValueFormat<[MixtureChange]>(
        expected: "a list of texts \"STEP: WEIGHT WEIGHT …\" in ascending order of their steps",
        parse: { value in
            guard case .list(let elements) = value else { return nil }
            let changes = elements.compactMap { element -> MixtureChange? in
                guard case .quoted(let text) = element else { return nil }
                return MixtureChange(text)
            }
            let isAscending = zip(changes, changes.dropFirst()).allSatisfy { $0.step < $1.step }
            return changes.count == elements.count && isAscending ? changes : nil
        },
        text: { changes in
            let texts = changes.map { change in
                "\"\(change.step): \(change.weights.map { number.text($0) }.joined(separator: " "))\""
            }
            return "[\(texts.joined(separator: ", "))]"
        },
        remark: { value in
            value.remark { element in
                guard case .quoted(let text) = element else { return true }
                return MixtureChange(text) == nil
            }
        })

    private static let number = ValueFormat<Double>.number(
        from: .including(0), to: .including(1_000_000))

    private init?(_ text: String) {
        let parts = text.split(separator: ":")
        let steps = ValueFormat<Int>.integer(1...9_999_999_999)
        guard parts.count == 2, let step = steps.parse(.plain(String(parts[0]))) else { return nil }
        let texts = parts[1].split(separator: " ")
        let weights = texts.compactMap { Self.number.parse(.plain(String($0))) }
        guard weights.count == texts.count, weights.contains(where: { $0.billionths > 0 }) else {
            return nil
        }
        self.init(step: step, weights: weights)
    }
}
