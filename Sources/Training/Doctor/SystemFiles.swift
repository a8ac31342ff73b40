import Foundation

/// The text files in which Linux tells about itself; `root` is another folder in tests.
package struct SystemFiles: Sendable {
    private let root: String

    package init(root: String = "") { self.root = root }

    /// The file without white space at its ends; nil where it cannot be read.
    package func text(_ path: String) -> String? {
        guard let text = try? String(contentsOfFile: root + path, encoding: .utf8) else {
            return nil
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// The value in bytes of a line `Name: 123 kB` of `/proc/meminfo`.
    package func memory(_ name: String) -> Int? {
        text("/proc/meminfo")?.split(separator: "\n")
            .first { $0.hasPrefix("\(name):") }
            .flatMap { $0.split(separator: " ").dropFirst().first }
            .flatMap { Int($0) }
            .map { $0 * 1024 }
    }
}

/// What the control group of this process grants it: limits of a container, a Slurm job, a unit.
package struct ControlGroup: Sendable {
    private let files: SystemFiles

    package init(_ files: SystemFiles = SystemFiles()) { self.files = files }

    /// Bytes; the smallest limit of the group and those above it, nil where there is none.
    package var memoryLimit: Int? {
        let limits =
            values("memory.max", controller: nil)
            + values("memory.limit_in_bytes", controller: "memory")
        // Version 1 says "no limit" with the largest multiple of a page.
        return limits.compactMap { Int($0) }.filter { $0 < 1 << 60 }.min()
    }

    /// Processors' worth of time, nil where it is not limited.
    package var processorQuota: Double? {
        let unified = values("cpu.max", controller: nil).compactMap { line -> Double? in
            let parts = line.split(separator: " ").compactMap { Double($0) }
            return parts.count == 2 ? parts[0] / parts[1] : nil
        }
        let quotas = values("cpu.cfs_quota_us", controller: "cpu").compactMap { Double($0) }
        let periods = values("cpu.cfs_period_us", controller: "cpu").compactMap { Double($0) }
        let legacy = zip(quotas, periods).compactMap { $0 > 0 && $1 > 0 ? $0 / $1 : nil }
        return (unified + legacy).min()
    }

    /// The file of this name in the process's group and in every group above it, lowest first;
    /// `controller` is one of version 1, nil asks for version 2.
    private func values(_ name: String, controller: String?) -> [String] {
        let groups = files.text("/proc/self/cgroup")?.split(separator: "\n") ?? []
        let group = groups.lazy.compactMap { line -> Substring? in
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return nil }
            let controllers = parts[1].split(separator: ",").map(String.init)
            let isWanted = controller.map { controllers.contains($0) } ?? controllers.isEmpty
            return isWanted ? parts[2] : nil
        }.first
        guard var path = group else { return [] }
        let mount = "/sys/fs/cgroup" + (controller.map { "/\($0)" } ?? "")
        var found: [String] = []
        while true {
            let folder = path == "/" ? "" : path
            if let text = files.text("\(mount)\(folder)/\(name)") { found.append(text) }
            guard let slash = path.lastIndex(of: "/"), !folder.isEmpty else { return found }
            path = slash == path.startIndex ? "/" : path[..<slash]
        }
    }
}
