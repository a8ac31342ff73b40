import Foundation
import Glibc
import TestSupport

/// A file system in an image, mounted, whose power can be cut: a copy of the image is what a disk would have at
/// that moment. The image lies on a file system (XFS) that copies a file by sharing its blocks, which no
/// write to the image interrupts: what the disk was given before is in the copy, and nothing that came later.
final class PowerCutDisk {
    enum FileSystem: String, CaseIterable {
        case ext4, xfs

        fileprivate var make: [String] {
            // A small journal comes round often.
            self == .ext4 ? ["mkfs.ext4", "-q", "-J", "size=4"] : ["mkfs.xfs", "-q"]
        }
        fileprivate var size: String { self == .ext4 ? "64M" : "320M" }
        /// The copy is mounted beside the original.
        fileprivate var options: String { self == .ext4 ? "loop" : "loop,nouuid" }
    }

    /// Where it is mounted.
    let path: String
    private let fileSystem: FileSystem
    private let place: Place
    private let mounted: Mount

    /// What lies under disks: memory with a file system that shares blocks in it.
    final class Place {
        fileprivate let folder: TemporaryFolder
        private var memory: SmallDisk?
        private let mounted: Mount

        init() throws {
            folder = try TemporaryFolder()
            memory = try SmallDisk(at: folder.file("memory"), kibibytes: 2 << 20)
            let image = folder.file("memory/image")
            try call("truncate", "-s", "2G", image)
            try call("mkfs.xfs", "-q", "-m", "reflink=1", image)
            mounted = try Mount(image, at: folder.file("images"), options: "loop")
        }

        deinit {
            mounted.end()
            memory = nil
        }
    }

    init(_ fileSystem: FileSystem, in place: Place, at path: String) throws {
        (self.fileSystem, self.place, self.path) = (fileSystem, place, path)
        let image = place.folder.file("images/disk")
        try? FileManager.default.removeItem(atPath: image)
        try call("truncate", "-s", fileSystem.size, image)
        try call(fileSystem.make + [image])
        mounted = try Mount(image, at: path, options: fileSystem.options)
    }

    /// Unmounts it, after which the folder that it was mounted at can be removed.
    func end() { mounted.end() }

    deinit { end() }

    /// Cuts the power: what the disk has then is mounted at `path`, as it would be after the machine's next
    /// start, until `end()`.
    func cut(mountingAt path: String) throws -> Cut {
        let image = place.folder.file("images/cut")
        try call("cp", "--reflink=always", place.folder.file("images/disk"), image)
        return Cut(mount: try Mount(image, at: path, options: fileSystem.options), image: image)
    }

    final class Cut {
        private let mount: Mount
        private let image: String

        fileprivate init(mount: Mount, image: String) { (self.mount, self.image) = (mount, image) }

        func end() {
            mount.end()
            unlink(image)
        }

        deinit { end() }
    }

    /// Whether this machine has what it takes: root, loop devices, and the programs that make file systems.
    static let isPossible: Bool = {
        guard let folder = try? TemporaryFolder(), let place = try? Place(),
            let disk = try? PowerCutDisk(.ext4, in: place, at: folder.file("disk"))
        else { return false }
        defer { disk.end() }
        guard let cut = try? disk.cut(mountingAt: folder.file("cut")) else { return false }
        cut.end()
        return true
    }()
}

/// A mounted image.
private final class Mount {
    private let path: String
    private var isMounted = true

    init(_ image: String, at path: String, options: String) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try call("mount", "-o", options, image, path)
    }

    func end() {
        guard isMounted else { return }
        isMounted = false
        // Whoever still has a file open there keeps it for so long.
        if umount2(path, 0) != 0 { umount2(path, Int32(MNT_DETACH)) }
    }

    deinit { end() }
}

/// Runs a program of the system, which must succeed.
private func call(_ words: String...) throws { try call(words) }

private func call(_ words: [String]) throws {
    let launch = try Program(path: "/usr/bin/env").run(
        ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + words, timeout: 60)
    guard launch.exitCode == 0 else {
        throw NotFound(description: "\(words.joined(separator: " ")): \(launch.summary)")
    }
}
