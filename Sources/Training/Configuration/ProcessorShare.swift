// How the ranks of a host share its processors, from the masks of all of them.

import Foundation

/// Processors by their numbers on the host: an affinity mask.
package struct ProcessorMask: Equatable, Sendable, LosslessStringConvertible {
    /// In ascending order; not empty.
    package let processors: [Int]

    package init(processors: [Int]) {
        precondition(!processors.isEmpty, "ProcessorMask: expected a processor, got none")
        self.processors = Set(processors).sorted()
    }

    /// Hexadecimal digits, the highest first, as Linux writes masks: `ff,ffffffff`. Nil where there is no bit.
    package init?(_ text: String) {
        let digits = text.compactMap(\.hexDigitValue).reversed()
        let processors = digits.enumerated().flatMap { place, digit in
            (0..<4).filter { digit >> $0 & 1 == 1 }.map { 4 * place + $0 }
        }
        guard !processors.isEmpty else { return nil }
        self.processors = processors
    }

    package var description: String {
        var digits = [Int](repeating: 0, count: processors[processors.count - 1] / 4 + 1)
        for processor in processors { digits[processor / 4] |= 1 << (processor % 4) }
        return digits.reversed().map { String($0, radix: 16) }.joined()
    }
}

/// What a rank has of the processors of its host.
package struct ProcessorShare: Equatable, Sendable {
    /// Processors' worth of time.
    package let processors: Double

    /// Room for the rounding of a sum of fractions.
    private static let rounding = 1e-9

    /// A processor that k ranks of a host may use counts 1/k for each, whoever bound them to it: `mpirun`,
    /// `srun`, `taskset` or nobody.
    ///
    /// - Parameters:
    ///   - hosts: a number for each rank's host, by rank.
    ///   - masks: of each rank.
    ///   - quota: processors' worth of time that the ranks of this host are granted together; nil: no limit.
    package init(rank: Int, hosts: [Int], masks: [ProcessorMask], quota: Double? = nil) {
        let neighbours = hosts.indices.filter { hosts[$0] == hosts[rank] }
        var users: [Int: Int] = [:]
        for neighbour in neighbours {
            for processor in masks[neighbour].processors { users[processor, default: 0] += 1 }
        }
        let share = masks[rank].processors.reduce(0.0) { $0 + 1 / Double(users[$1] ?? 1) }
        let granted = quota.map { $0 / Double(neighbours.count) } ?? .infinity
        processors = min(share, granted)
    }

    /// What each of `ranks` ranks of this host is to expect where only this process's mask is known. Ranks that
    /// a launcher has bound are taken to lie evenly over the machine; others all have this mask.
    package init(
        ranks: Int, mask: ProcessorMask = AvailableProcessors.mask,
        onMachine: Int = AvailableProcessors.onMachine,
        areBound: Bool = AvailableProcessors.areBoundByLauncher,
        quota: Double? = ControlGroup().processorQuota
    ) {
        let ranks = max(1, ranks)
        let masks = ranks * mask.processors.count
        let alike = areBound ? min(ranks, max(1, (masks + onMachine - 1) / onMachine)) : ranks
        self.init(
            rank: 0, hosts: Array(repeating: 0, count: alike),
            masks: Array(repeating: mask, count: alike),
            quota: quota.map { $0 * Double(alike) / Double(ranks) })
    }

    /// Threads that it has room for: whole ones, and one at least.
    package var threads: Int { max(1, Int(processors + ProcessorShare.rounding)) }

    /// What each of so many threads gets of a processor.
    package func part(ofThreads threads: Int) -> Double {
        min(1, processors / Double(max(1, threads)))
    }

    /// Whether each of so many threads has a processor to itself.
    package func holds(threads: Int) -> Bool {
        Double(threads) <= processors + ProcessorShare.rounding
    }
}

extension World {
    /// This rank's. Collective.
    func processorShare() throws(RunError) -> ProcessorShare {
        let given = try communicator.gather("\(placement.hostLeader) \(AvailableProcessors.mask)")
        let parts = given.map { $0.split(separator: " ") }
        return ProcessorShare(
            rank: rank, hosts: parts.map { Int($0[0]) ?? 0 },
            masks: parts.map {
                ProcessorMask(String($0[1])) ?? ProcessorMask(processors: [0])
            },
            quota: ControlGroup().processorQuota)
    }
}
