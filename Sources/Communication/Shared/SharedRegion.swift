// Memory of any size that the members of a group on one host see in place: gradients are added where they lie, weights
// are there once. It has no file and no limit of its own: anonymous memory of a process (`memfd_create`) that the others
// open through /proc, gone when the last process that maps it ends, however that ends.

import CMPI
import Glibc
import Tensors

/// The memories of a host's members, as one of them has them mapped.
final class SharedRegion: @unchecked Sendable {
    /// By place on the host; all of them the same where the memory is one.
    let blocks: [UnsafeMutableRawPointer]
    let byteCount: Int
    let sharing: BufferSharing
    private let place: Int

    init(
        _ blocks: [UnsafeMutableRawPointer], place: Int, byteCount: Int, sharing: BufferSharing
    ) {
        (self.blocks, self.place) = (blocks, place)
        (self.byteCount, self.sharing) = (byteCount, sharing)
    }

    deinit {
        for block in Set(blocks) { munmap(block, byteCount) }
    }

    /// This member's memory.
    var own: UnsafeMutableRawPointer { blocks[place] }

    /// The byte of the memory where a buffer begins; nil where it lies elsewhere.
    func offset(of buffer: Buffer) -> Int? {
        let distance = buffer.bytes - own
        return distance >= 0 && distance + buffer.byteCount <= byteCount ? distance : nil
    }
}

/// Anonymous memory by a descriptor, which other processes of the host can open while it is.
final class AnonymousMemory {
    let descriptor: Int32
    private let byteCount: Int

    /// So many bytes, cleared; nil where the system has none to give.
    init?(byteCount: Int) {
        self.byteCount = byteCount
        descriptor = anonymousMemory("murmuration")
        // Beyond the process's limit a signal would end it.
        var limit = rlimit()
        guard descriptor >= 0, getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0,
            limit.rlim_cur >= UInt(byteCount), ftruncate(descriptor, byteCount) == 0
        else { return nil }
    }

    /// What another process has; nil where it may not be seen from here. In another container the numbers may be of
    /// something else.
    init?(_ handle: MemoryHandle) {
        byteCount = handle.byteCount
        descriptor = open("/proc/\(handle.process)/fd/\(handle.descriptor)", O_RDWR | O_CLOEXEC)
        guard descriptor >= 0, self.handle(descriptor: nil).isOfSameMemory(as: handle) else {
            return nil
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// By which another process can open it, under this descriptor or another one.
    func handle(descriptor other: Int32?) -> MemoryHandle {
        var information = stat()
        guard fstat(descriptor, &information) == 0 else { return .none }
        return MemoryHandle(
            process: Int(getpid()), descriptor: Int(other ?? descriptor),
            device: Int(truncatingIfNeeded: information.st_dev),
            inode: Int(truncatingIfNeeded: information.st_ino), byteCount: Int(information.st_size))
    }

    /// Nil where no address space is left for it.
    func map() -> UnsafeMutableRawPointer? {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else { return nil }
        madvise(address, byteCount, MADV_HUGEPAGE)
        return address
    }
}

/// Where a process has anonymous memory, and which one it is: what opens it must find that.
struct MemoryHandle {
    let process: Int
    let descriptor: Int
    let device: Int
    let inode: Int
    let byteCount: Int

    static let wordCount = 5
    static let none = MemoryHandle(words: Array(repeating: -1, count: wordCount)[...])

    func isOfSameMemory(as other: MemoryHandle) -> Bool {
        (device, inode, byteCount) == (other.device, other.inode, other.byteCount)
    }
}

extension MemoryHandle {
    init(words: ArraySlice<Int>) {
        let words = Array(words)
        (process, descriptor, device) = (words[0], words[1], words[2])
        (inode, byteCount) = (words[3], words[4])
    }

    var words: [Int] { [process, descriptor, device, inode, byteCount] }
}
