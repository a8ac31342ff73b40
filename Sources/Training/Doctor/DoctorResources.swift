import Foundation

extension Doctor {
    func memory() -> Finding {
        guard let total = files.memory("MemTotal"), let available = files.memory("MemAvailable")
        else { return Finding(.advice, "memory", "cannot be read from /proc/meminfo") }
        let limit = ControlGroup(files).memoryLimit.map { min($0, total) }
        let usable = min(available, limit ?? available)
        let found =
            "\(Self.gibibytes(total)) in all, \(Self.gibibytes(available)) available"
            + (limit.map { ", limited to \(Self.gibibytes($0))" } ?? "")
        guard usable >= 1 << 30 else {
            return Finding(
                .bad, "memory", found,
                limit == usable
                    ? "raise the memory limit of the container or job" : "end what uses the memory")
        }
        return Finding(.good, "memory", found)
    }

    /// Ranks of one host exchange through it.
    func sharedMemory() -> Finding {
        let subject = "/dev/shm"
        guard let space = Self.space(at: "/dev/shm") else {
            return Finding(
                .bad, subject, "is missing", "mount -t tmpfs -o size=2g tmpfs /dev/shm")
        }
        let found = "\(Self.gibibytes(space.free)) free of \(Self.gibibytes(space.total))"
        guard space.free >= 256 << 20 else {
            return Finding(
                .advice, subject, found,
                "give the container more: docker run --shm-size=2g; in Kubernetes an emptyDir "
                    + "with medium: Memory")
        }
        return Finding(.good, subject, found)
    }

    /// Where the run writes: the folder itself, or the nearest one above that is there.
    func disk() -> Finding {
        let directory = configuration?.run.directory ?? "."
        var folder = URL(filePath: directory).standardizedFileURL
        while !FileManager.default.fileExists(atPath: folder.path), folder.path != "/" {
            folder.deleteLastPathComponent()
        }
        let path = folder.path
        guard access(path, W_OK | X_OK) == 0 else {
            return Finding(
                .bad, "disk", "\(directory): \(path) cannot be written",
                "--set run.directory=FOLDER names another one")
        }
        guard let space = Self.space(at: path) else {
            return Finding(.advice, "disk", "\(path) does not tell its size")
        }
        let found =
            "\(Self.gibibytes(space.free)) free of \(Self.gibibytes(space.total)) at \(path)"
        guard space.free >= 1 << 30 else {
            return Finding(.advice, "disk", found, "checkpoints need 12 bytes a parameter each")
        }
        return Finding(.good, "disk", found)
    }

    func hugePages() -> Finding? {
        guard let text = files.text("/sys/kernel/mm/transparent_hugepage/enabled") else {
            return nil
        }
        guard !text.contains("[never]") else {
            return Finding(
                .advice, "huge pages", "off",
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
        }
        let chosen = text.split(separator: " ").first { $0.hasPrefix("[") } ?? ""
        return Finding(.good, "huge pages", chosen.trimmingCharacters(in: ["[", "]"]))
    }

    private static func space(at path: String) -> (free: Int, total: Int)? {
        var status = statvfs()
        guard statvfs(path, &status) == 0, status.f_blocks > 0 else { return nil }
        let block = Int(status.f_frsize)
        return (Int(status.f_bavail) * block, Int(status.f_blocks) * block)
    }

    private static func gibibytes(_ bytes: Int) -> String {
        String(format: "%.1f GiB", Double(bytes) / 1_073_741_824)
    }
}
