// Counts of n-grams, which BLEU, chrF and ROUGE compare. An n-gram is the (n − 1)-gram before it
// and one symbol more: so all are nodes of a trie, and a node's number stands for the n-gram
// wherever texts share the trie.

/// How often an n-gram occurs.
struct NGramCount {
    /// Of the n-gram's node.
    var number: UInt32
    var count: UInt32
}

/// The n-grams of a text.
struct NGramProfile {
    /// Of each order from 1: what occurs, with ascending numbers.
    var orders: [[NGramCount]] = []
    /// Of each order: the sum of its counts.
    var totals: [Int] = []

    static func + (first: NGramProfile, second: NGramProfile) -> NGramProfile {
        NGramProfile(
            orders: first.orders + second.orders, totals: first.totals + second.totals)
    }

    /// Of each order: n-grams that both have, each as often as the one that has it less often.
    func matches(_ other: NGramProfile) -> [Int] {
        zip(orders, other.orders).map { first, second in
            var (sum, index) = (0, 0)
            for ngram in first {
                while index < second.count, second[index].number < ngram.number { index += 1 }
                guard index < second.count else { break }
                if second[index].number == ngram.number {
                    sum += Int(min(ngram.count, second[index].count))
                }
            }
            return sum
        }
    }

    /// Each n-gram as often as the one has it that has it more often; totals are of no meaning
    /// then.
    func union(_ other: NGramProfile) -> NGramProfile {
        let orders = zip(orders, other.orders).map { first, second in
            var result: [NGramCount] = []
            result.reserveCapacity(first.count + second.count)
            var index = 0
            for ngram in first {
                while index < second.count, second[index].number < ngram.number {
                    result.append(second[index])
                    index += 1
                }
                guard index < second.count, second[index].number == ngram.number else {
                    result.append(ngram)
                    continue
                }
                let count = max(ngram.count, second[index].count)
                result.append(NGramCount(number: ngram.number, count: count))
                index += 1
            }
            return result + second[index...]
        }
        return NGramProfile(orders: orders, totals: [])
    }
}

/// Numbers for the words and n-grams of texts that are to be compared with one another.
///
/// Words and characters may share it, as long as no profile of the ones is compared with one of the
/// others.
struct NGramNumbering {
    private var words: [Word: UInt32] = [:]
    /// From a node's number and the symbol that follows to the number of the next one; 0 is the
    /// root.
    private var children: [UInt64: UInt32] = [:]

    init() {}

    /// The number of each word.
    mutating func symbols(of text: [Word]) -> [UInt32] {
        text.map { word in
            if let number = words[word] { return number }
            let number = UInt32(words.count)
            words[word] = number
            return number
        }
    }

    /// The n-grams of all orders up to this one.
    mutating func profile(of symbols: [UInt32], orders: Int) -> NGramProfile {
        var profile = NGramProfile()
        /// Of the n-gram that begins at each symbol, as far as one does: each order has one fewer.
        var nodes = symbols.map { _ in UInt32(0) }
        for reach in 0..<orders {
            if reach > 0 { _ = nodes.popLast() }
            for start in nodes.indices {
                nodes[start] = child(of: nodes[start], symbols[start + reach])
            }
            profile.orders.append(NGramNumbering.counts(of: nodes))
            profile.totals.append(nodes.count)
        }
        return profile
    }

    private mutating func child(of node: UInt32, _ symbol: UInt32) -> UInt32 {
        let key = UInt64(node) << 32 | UInt64(symbol)
        if let child = children[key] { return child }
        let child = UInt32(children.count + 1)
        children[key] = child
        return child
    }

    private static func counts(of nodes: [UInt32]) -> [NGramCount] {
        var result: [NGramCount] = []
        result.reserveCapacity(nodes.count)
        for number in nodes.sorted() {
            if let last = result.last, last.number == number {
                result[result.count - 1].count += 1
            } else {
                result.append(NGramCount(number: number, count: 1))
            }
        }
        return result
    }
}
