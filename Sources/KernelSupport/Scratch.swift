// Working memory that a thread keeps: a kernel that needs a block of partial results takes it here, and
// the second step allocates nothing.

import Glibc
import Synchronization

/// Calls `body` with `count` floats of the calling thread's own, 64-byte aligned, not cleared.
///
/// Calls may nest, each level having its block. The memory is kept until the thread ends. In a dry log
/// (`WorkLog`) the body is called, with no memory.
@inlinable
package func withScratch<Result>(
    _ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Result
) -> Result {
    let block = Scratch.enter(count)
    defer { Scratch.leave() }
    return body(block)
}

@usableFromInline
package enum Scratch {
    /// Blocks that threads have taken from the system for it so far.
    package static var systemAllocations: Int { allocations.load(ordering: .relaxed) }

    fileprivate static let allocations = Atomic<Int>(0)

    /// The block of the next level.
    @usableFromInline
    static func enter(_ count: Int) -> UnsafeMutablePointer<Float> {
        WorkLog.dry?.enterScratch(count) ?? ScratchArena.ofThisThread.enter(count)
    }

    @usableFromInline
    static func leave() {
        if let log = WorkLog.dry { log.leaveScratch() } else { ScratchArena.ofThisThread.leave() }
    }
}

private final class ScratchArena {
    private var blocks: [(pointer: UnsafeMutableRawPointer, count: Int)] = []
    private var depth = 0

    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        let status = pthread_key_create(&key) { raw in
            if let raw { Unmanaged<ScratchArena>.fromOpaque(raw).release() }
        }
        precondition(status == 0, "ScratchArena: pthread_key_create returned \(status)")
        return key
    }()

    static var ofThisThread: ScratchArena {
        if let raw = pthread_getspecific(key) {
            return Unmanaged<ScratchArena>.fromOpaque(raw).takeUnretainedValue()
        }
        let arena = ScratchArena()
        pthread_setspecific(key, Unmanaged.passRetained(arena).toOpaque())
        return arena
    }

    func enter(_ count: Int) -> UnsafeMutablePointer<Float> {
        if depth == blocks.count { blocks.append((ScratchArena.allocate(0), 0)) }
        if blocks[depth].count < count {
            blocks[depth].pointer.deallocate()
            blocks[depth] = (ScratchArena.allocate(count), count)
            Scratch.allocations.wrappingAdd(1, ordering: .relaxed)
        }
        depth += 1
        return blocks[depth - 1].pointer.assumingMemoryBound(to: Float.self)
    }

    func leave() { depth -= 1 }

    /// Large blocks lie in huge pages where the system gives them: a panel of a product is read from end to
    /// end again and again, and would not fit the tables of small ones.
    private static func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        let bytes = max(count, 1) * MemoryLayout<Float>.stride
        if bytes < HugePages.size { return .allocate(byteCount: bytes, alignment: 64) }
        let rounded = HugePages.roundedUp(bytes)
        let block = UnsafeMutableRawPointer.allocate(byteCount: rounded, alignment: HugePages.size)
        madvise(block, rounded, MADV_HUGEPAGE)
        return block
    }

    deinit { for block in blocks { block.pointer.deallocate() } }
}
