import Testing

/// How many ranks a run has, and what they share: copies of the model × ranks that hold one copy.
struct RunLayout: Sendable, CustomStringConvertible, CustomTestStringConvertible {
    let data: Int
    let tensor: Int
    var threads = 1

    init(_ data: Int, _ tensor: Int, threads: Int = 1) {
        (self.data, self.tensor, self.threads) = (data, tensor, threads)
    }

    /// All (data, tensor) of at most four ranks.
    static let all = [
        RunLayout(1, 1), RunLayout(2, 1), RunLayout(4, 1), RunLayout(1, 2), RunLayout(2, 2),
        RunLayout(1, 4),
    ]

    var rankCount: Int { data * tensor }
    /// Under mpirun where there are several.
    var ranks: Int? { rankCount == 1 ? nil : rankCount }
    var settings: [String] { ["run.threads=\(threads)", "parallelism.tensor=\(tensor)"] }
    var description: String { "\(data)×\(tensor)" + (threads == 1 ? "" : ", \(threads) threads") }
    var testDescription: String { description }
}
