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

    /// So many bytes, cleared; nil where the system has none to give.
    init?(byteCount: Int) {
        descriptor = anonymousMemory("murmuration")
        guard descriptor >= 0, ftruncate(descriptor, byteCount) == 0 else { return nil }
    }

    /// What a process has under a descriptor; nil where it may not be seen from here, as in another container.
    init?(descriptor: Int32, of process: Int32) {
        self.descriptor = open("/proc/\(process)/fd/\(descriptor)", O_RDWR | O_CLOEXEC)
        guard self.descriptor >= 0 else { return nil }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Nil where no address space is left for it.
    func map(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        let address = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        guard let address, address != MAP_FAILED else { return nil }
        madvise(address, byteCount, MADV_HUGEPAGE)
        return address
    }
}
