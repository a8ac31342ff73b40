/// A normalization form of Unicode (UAX #15), at the version of `Decompositions`.
struct NormalizationForm: Sendable, Equatable {
    /// NFKC, NFKD
    let isCompatible: Bool
    /// NFC, NFKC
    let composes: Bool

    /// Whether a text of such characters alone surely stays as it is.
    @inline(__always)
    func leaves(_ scalar: UInt32) -> Bool {
        if scalar < 0xA0 { return true }
        // Composed letters of European languages, which have no compatible form.
        if composes && !isCompatible && scalar < 0x300 { return true }
        return Decompositions.shared.isInert(scalar)
    }

    /// A character, and how many more it stands for (`TextSink.emit`).
    private typealias Change = (scalar: UInt32, change: Int)

    /// Writes the normalized text.
    func write(_ scalars: [UInt32], to sink: inout some TextSink) {
        let changes = decompose(scalars)
        if composes {
            for part in recompose(changes) { sink.emit(part.scalar, change: part.change) }
        } else {
            for part in changes { sink.emit(part.scalar, change: part.change) }
        }
    }

    /// Full decompositions in canonical order; a character takes its change along.
    private func decompose(_ scalars: [UInt32]) -> [Change] {
        let data = Decompositions.shared
        var changes: [Change] = []
        changes.reserveCapacity(scalars.count + scalars.count / 8)
        // From where on characters are not starters.
        var marks = 0
        func sortMarks() {
            guard changes.count - marks > 1 else { return }
            let sorted = data.inCanonicalOrder(Array(changes[marks...]), \.scalar)
            changes.replaceSubrange(marks..., with: sorted)
        }
        for scalar in scalars {
            var isFirst = true
            data.decompose(scalar, compatibly: isCompatible) { part in
                if data.combiningClass(part) == 0 {
                    sortMarks()
                    changes.append((part, isFirst ? 0 : 1))
                    marks = changes.count
                } else {
                    changes.append((part, isFirst ? 0 : 1))
                }
                isFirst = false
            }
        }
        sortMarks()
        return changes
    }

    /// Canonical composition. A composed character stands for what its parts stood for.
    private func recompose(_ parts: [Change]) -> [Change] {
        let data = Decompositions.shared
        var result: [Change] = []
        result.reserveCapacity(parts.count)
        /// The last starter, and what follows it so far without having joined it.
        var starter: Change?
        var waiting: [Change] = []
        var lastClass: UInt8?
        func release() {
            if let starter { result.append(starter) }
            result += waiting
            waiting.removeAll(keepingCapacity: true)
            lastClass = nil
        }
        for part in parts {
            let combiningClass = data.combiningClass(part.scalar)
            guard let first = starter else {
                if combiningClass == 0 { starter = part } else { result.append(part) }
                continue
            }
            let isBlocked = lastClass.map { $0 >= combiningClass } ?? false
            if !isBlocked, let whole = data.compose(first.scalar, part.scalar) {
                starter = (whole, first.change + part.change - 1)
            } else if combiningClass == 0 {
                release()
                starter = part
            } else {
                waiting.append(part)
                lastClass = combiningClass
            }
        }
        release()
        return result
    }
}
