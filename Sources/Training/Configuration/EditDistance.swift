extension String {
    /// The candidate with the smallest edit distance to this text; the earlier one of equals.
    func nearest(in candidates: [String]) -> String {
        let distances = candidates.map { editDistance(to: $0) }
        let nearest = candidates.indices.min { distances[$0] < distances[$1] }
        precondition(nearest != nil, "nearest: expected at least one candidate, got none")
        return nearest.map { candidates[$0] } ?? self
    }

    /// The same, where it is alike: the distance is below half the length of this text.
    func near(in candidates: [String]) -> String? {
        let candidate = nearest(in: candidates)
        return 2 * editDistance(to: candidate) < prefix(100).count ? candidate : nil
    }

    /// Fewest insertions, deletions and substitutions that turn this text into `other` (Levenshtein
    /// 1966). Beyond 100 characters the texts are compared by their beginnings.
    func editDistance(to other: String) -> Int {
        let (source, target) = (Array(prefix(100)), Array(other.prefix(100)))
        var row = Array(0...target.count)
        for (index, character) in source.enumerated() {
            var diagonal = row[0]
            row[0] = index + 1
            for column in target.indices {
                let substituted = diagonal + (character == target[column] ? 0 : 1)
                diagonal = row[column + 1]
                row[column + 1] = Swift.min(substituted, diagonal + 1, row[column] + 1)
            }
        }
        return row[target.count]
    }
}
