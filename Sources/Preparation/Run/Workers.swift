// The processes that prepare one corpus together: alone, or the ranks that a launcher started.

import Datasets
import Foundation

/// The processes that prepare together. They share a disk and meet between the stages.
package protocol Workers: Sendable {
    /// Of this process, from 0.
    var number: Int { get }
    var count: Int { get }

    /// Runs `body` on every process and gives all of them what each returned, by number; throws on all of them the
    /// error of the first that had one. Collective.
    /// - Parameter what: what they are at, for those who wait.
    func together(
        on what: String, _ body: () throws(DatasetError) -> [UInt8]
    ) throws(DatasetError) -> [[UInt8]]
}

extension Workers {
    /// The same where nothing is told.
    func all(
        on what: String, _ body: () throws(DatasetError) -> Void
    ) throws(DatasetError) {
        _ = try together(on: what) { () throws(DatasetError) -> [UInt8] in
            try body()
            return []
        }
    }

    /// Runs `body` on the first process alone; the others wait and share its error. Collective.
    func first(
        on what: String, _ body: () throws(DatasetError) -> Void
    ) throws(DatasetError) {
        try all(on: what) { () throws(DatasetError) in if number == 0 { try body() } }
    }

    /// Runs `body` on the first process alone and gives all of them what it returned: what decides how they go on is
    /// decided once, as a disk may show each of them another state. Collective.
    func told<Value: Codable>(
        on what: String, _ body: () throws(DatasetError) -> Value
    ) throws(DatasetError) -> Value {
        let answers = try together(on: what) { () throws(DatasetError) -> [UInt8] in
            guard number == 0 else { return [] }
            let value = try body()
            // In a list, as JSON by itself is no `null` everywhere.
            guard let data = try? JSONEncoder().encode([value]) else {
                preconditionFailure("Workers: expected a value that JSON has")
            }
            return Array(data)
        }
        guard
            let value = try? JSONDecoder().decode([Value].self, from: Data(answers[0])).first
        else {
            throw DatasetError(
                .inputOutput, "\(what): expected process 0 to tell the others, found no message")
        }
        return value
    }
}

/// A process by itself.
package struct Alone: Workers {
    package let number = 0
    package let count = 1

    package init() {}

    package func together(
        on what: String, _ body: () throws(DatasetError) -> [UInt8]
    ) throws(DatasetError) -> [[UInt8]] {
        [try body()]
    }
}

/// Which of `count` processes does which pieces of work: the largest first, each to whoever has least, so that all of
/// them know without asking.
///
/// - Returns: the pieces of process `number`, in ascending order.
func share(of sizes: [Int], number: Int, count: Int) -> [Int] {
    var loads = [Int](repeating: 0, count: count)
    var own: [Int] = []
    let order = sizes.indices.sorted { (sizes[$1], $0) < (sizes[$0], $1) }
    for piece in order {
        var least = 0
        for process in loads.indices where loads[process] < loads[least] { least = process }
        // A piece without bytes is work too.
        loads[least] += sizes[piece] + 1
        if least == number { own.append(piece) }
    }
    return own.sorted()
}
