// Alignments of two sequences by dynamic programming: a longest common subsequence and the edit
// distance.

/// The positions in the first sequence of a longest subsequence that the second one has too,
/// ascending.
///
/// Of several, the one that is found from the ends: equal ends are taken; else an element of the
/// second sequence is left out where the rest is longer without it than without one of the first,
/// else one of the first. ROUGE-Lsum's unions depend on which. Time and memory: the product of the
/// lengths.
func longestCommonSubsequence(_ first: [UInt32], _ second: [UInt32]) -> [Int] {
    let width = second.count + 1
    /// Of the first i and the first j elements, at i·width + j.
    var lengths = [Int32](repeating: 0, count: (first.count + 1) * width)
    for (row, element) in first.enumerated() {
        for (column, other) in second.enumerated() {
            let above = row * width + column
            lengths[above + width + 1] =
                element == other
                ? lengths[above] + 1 : max(lengths[above + 1], lengths[above + width])
        }
    }
    var positions: [Int] = []
    var (row, column) = (first.count, second.count)
    while row > 0, column > 0 {
        if first[row - 1] == second[column - 1] {
            (row, column) = (row - 1, column - 1)
            positions.append(row)
        } else if lengths[row * width + column - 1] > lengths[(row - 1) * width + column] {
            column -= 1
        } else {
            row -= 1
        }
    }
    return positions.reversed()
}

/// Its length alone, in memory for one row.
func longestCommonSubsequenceLength(_ first: [UInt32], _ second: [UInt32]) -> Int {
    /// Of the elements of `first` so far and the first j ones of `second`.
    var lengths = [Int32](repeating: 0, count: second.count + 1)
    for element in first {
        var diagonal: Int32 = 0
        for (column, other) in second.enumerated() {
            let above = lengths[column + 1]
            lengths[column + 1] = element == other ? diagonal + 1 : max(above, lengths[column])
            diagonal = above
        }
    }
    return Int(lengths[second.count])
}

/// The least number of insertions, deletions and substitutions of elements that make one sequence
/// the other (Levenshtein 1966). Over the reference's length it is the word error rate.
public func editDistance<Element: Equatable>(_ first: [Element], _ second: [Element]) -> Int {
    /// From the elements of `first` so far to the first j ones of `second`.
    var distances = Array(0...second.count)
    for element in first {
        var diagonal = distances[0]
        distances[0] += 1
        for (column, other) in second.enumerated() {
            let substituted = diagonal + (element == other ? 0 : 1)
            diagonal = distances[column + 1]
            distances[column + 1] = min(substituted, min(diagonal, distances[column]) + 1)
        }
    }
    return distances[second.count]
}

/// 1 − d/max(lengths) with the edit distance d: 1 for equal sequences, 0 for those with nothing in
/// common.
public func editSimilarity<Element: Equatable>(
    _ first: [Element], _ second: [Element]
) -> Double {
    let length = max(first.count, second.count)
    return length == 0 ? 1 : 1 - Double(editDistance(first, second)) / Double(length)
}
