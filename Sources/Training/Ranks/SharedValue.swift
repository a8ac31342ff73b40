// Ranks that must not train together, found before anything else happens.

import Communication
import Configuration
import Foundation

/// What must be the same on every rank: a name, the value that this rank has, and what to do where another
/// has another one.
public struct SharedValue: Sendable, Equatable {
    let name: String
    let value: String
    package let remedy: String?

    public init(_ name: String, _ value: String, remedy: String? = nil) {
        (self.name, self.value) = (name, value.replacing("\n", with: " "))
        let home = "give every rank the same HOME, which a leading ~ stands for"
        self.remedy =
            value.namesHome ? [remedy, home].compactMap(\.self).joined(separator: "; ") : remedy
    }
}

extension RunConfiguration {
    /// Every key and its value, but for the number of threads: ranks of one run may have more of them or
    /// fewer.
    var sharedValues: [SharedValue] {
        ConfigurationKey.all(of: model.family).filter { $0.path != "run.threads" }.map {
            SharedValue(
                $0.path, $0.text(self), remedy: "give every rank the same file and the same --set")
        }
    }
}

extension World {
    /// Throws where ranks run different programs or libraries, or were given different options or
    /// configurations. Collective, and the first thing that ranks do together.
    public func requireEqualRanks(
        options: [SharedValue], configuration: RunConfiguration?
    ) throws(RunError) {
        guard size > 1 else { return }
        try requireEqual(
            ProgramIdentity.values + options + (configuration?.sharedValues ?? []))
    }

    /// Throws where a rank has another value than the first one, naming both. Collective, and of one form
    /// whatever the values are: every rank comes to the same end, even where another program has others.
    func requireEqual(_ values: [SharedValue]) throws(RunError) {
        let lines = [placement.hostName] + values.map { "\($0.name)\t\($0.value)" }
        let given = try communicator.gather(lines.joined(separator: "\n")).map {
            $0.split(separator: "\n", omittingEmptySubsequences: false)
        }
        let (firstHost, first) = (given[0][0], given[0].dropFirst())
        for (rank, lines) in given.enumerated() where lines.dropFirst() != first {
            let (host, other) = (lines[0], lines.dropFirst())
            let index = zip(first, other).enumerated().first { $1.0 != $1.1 }?.offset
            let place = 1 + (index ?? min(first.count, other.count))
            let pairs = [first, other].map { lines in
                lines.dropFirst(place - 1).first?.split(separator: "\t", maxSplits: 1) ?? []
            }
            let name = pairs.lazy.compactMap(\.first).first ?? ""
            let found = pairs.map { $0.count > 1 ? $0[1] : "none" }
            let remedy = values.first { $0.name == name }?.remedy
            throw RunError(
                .usage,
                "\(name): expected the same on every rank, found \(found[0]) on rank 0 "
                    + "(host \(firstHost)) and \(found[1]) on rank \(rank) (host \(host))"
                    + (remedy.map { "; \($0)" } ?? ""),
                isShared: true)
        }
    }
}
