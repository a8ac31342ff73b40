/// Problems of a configuration while they are found: the first ones in words, the others counted. A hostile file
/// has as many as it has bytes, and each costs time to describe.
struct ConfigurationProblems {
    static let most = 20

    private var described: [ConfigurationError.Problem] = []
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    /// What is to be told of them.
    var all: [ConfigurationError.Problem] {
        let others = count - described.count
        return described
            + (others > 0 ? [.init(key: "", message: "and \(others) more problems")] : [])
    }

    mutating func append(_ problem: @autoclosure () -> ConfigurationError.Problem) {
        count += 1
        if described.count < Self.most { described.append(problem()) }
    }
}
