import Foundation
import Glibc

/// A file system of so many KiB, for as long as the value lives.
package final class SmallDisk {
    package let path: String
    package let kibibytes: Int

    package init(at path: String, kibibytes: Int) throws {
        (self.path, self.kibibytes) = (path, kibibytes)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("tmpfs", path, "tmpfs", 0, "size=\(kibibytes)k") == 0 else {
            throw NotFound(description: "tmpfs: expected to mount, found errno \(errno)")
        }
    }

    /// Throws while a file of it is open for writing.
    package func remount(readOnly: Bool) throws {
        let flags = UInt(MS_REMOUNT) | (readOnly ? UInt(MS_RDONLY) : 0)
        guard mount("tmpfs", path, "tmpfs", flags, "size=\(kibibytes)k") == 0 else {
            throw NotFound(description: "tmpfs: expected to be mounted again, found errno \(errno)")
        }
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }

    /// Mounting takes a privilege that not every container has.
    package static let isPossible: Bool = {
        guard let folder = try? TemporaryFolder() else { return false }
        return (try? SmallDisk(at: folder.file("disk"), kibibytes: 4)) != nil
    }()
}
