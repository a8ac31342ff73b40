// Memory. A `Storage` owns a block of the pool and gives it back when the last tensor on it is gone;
// a `Buffer` is a typed range of a storage, which is what kernels read and ranks exchange.

import Kernels
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A block of pooled memory, 64-byte aligned, not cleared. Shared by the tensors that are views of it.
public final class Storage: @unchecked Sendable {
    package let pointer: UnsafeMutableRawPointer
    public let byteCount: Int
    /// nil: no memory is behind the pointer.
    private let sizeClass: Int?
    /// Where the block was taken while the thread's work was written down, and its number there.
    private let entry: (log: WorkLog, block: Int)?
    /// Keeps memory that is not the pool's.
    private let owner: AnyObject?

    public init(byteCount: Int) {
        precondition(
            byteCount >= 0, "Storage: expected a size of at least 0 bytes, got \(byteCount)")
        self.byteCount = byteCount
        owner = nil
        entry = WorkLog.current.map { ($0, $0.take(byteCount)) }
        guard entry?.log.isDry != true else {
            (pointer, sizeClass) = (WorkLog.nowhere, nil)
            return
        }
        let (pointer, sizeClass) = StoragePool.shared.take(byteCount)
        (self.pointer, self.sizeClass) = (pointer, sizeClass)
    }

    /// A block without memory, of which no log knows: what a dry log's tensors stand beside.
    package init(unbacked byteCount: Int) {
        (pointer, self.byteCount, sizeClass, entry) = (WorkLog.nowhere, byteCount, nil, nil)
        owner = nil
    }

    /// Memory that `owner` keeps, which is not the pool's.
    package init(_ pointer: UnsafeMutableRawPointer, byteCount: Int, owner: AnyObject) {
        (self.pointer, self.byteCount, self.owner) = (pointer, byteCount, owner)
        (sizeClass, entry) = (nil, nil)
    }

    deinit {
        if let sizeClass { StoragePool.shared.give(back: pointer, sizeClass: sizeClass) }
        if let entry { entry.log.give(entry.block) }
    }
}

/// `count` consecutive elements of a storage, from element `offset` on.
public struct Buffer: @unchecked Sendable {
    public let storage: Storage
    public let offset: Int
    public let count: Int
    public let dtype: DType

    public init(storage: Storage, offset: Int = 0, count: Int, dtype: DType = .float32) {
        precondition(
            offset >= 0 && count >= 0 && (offset + count) * dtype.size <= storage.byteCount,
            "Buffer: elements \(offset)..<\(offset + count) of \(dtype) in \(storage.byteCount) bytes"
        )
        (self.storage, self.offset, self.count, self.dtype) = (storage, offset, count, dtype)
    }

    /// A new buffer of its own, not cleared.
    public init(count: Int, dtype: DType = .float32) {
        self.init(storage: Storage(byteCount: count * dtype.size), count: count, dtype: dtype)
    }

    /// A new buffer of zeros.
    package static func cleared(count: Int, dtype: DType = .float32) -> Buffer {
        let buffer = Buffer(count: count, dtype: dtype)
        buffer.clear()
        return buffer
    }

    public var byteCount: Int { count * dtype.size }

    package var bytes: UnsafeMutableRawPointer { storage.pointer + offset * dtype.size }

    /// The elements as they are stored: Float32, Float16 or bfloat16.
    package var elements: Elements { Elements(bytes, dtype.elementType) }

    /// The elements as `Float`; the buffer must be Float32.
    package var floats: UnsafeMutablePointer<Float> {
        precondition(dtype == .float32, "Buffer: expected float32, got \(dtype)")
        return bytes.assumingMemoryBound(to: Float.self)
    }

    package var halves: UnsafeMutablePointer<Float16> {
        precondition(dtype == .float16, "Buffer: expected float16, got \(dtype)")
        return bytes.assumingMemoryBound(to: Float16.self)
    }

    package var brains: UnsafeMutablePointer<BFloat16> {
        precondition(dtype == .bfloat16, "Buffer: expected bfloat16, got \(dtype)")
        return bytes.assumingMemoryBound(to: BFloat16.self)
    }

    package var doubles: UnsafeMutablePointer<Double> {
        precondition(dtype == .float64, "Buffer: expected float64, got \(dtype)")
        return bytes.assumingMemoryBound(to: Double.self)
    }

    package var integers: UnsafeMutablePointer<Int32> {
        precondition(dtype == .int32, "Buffer: expected int32, got \(dtype)")
        return bytes.assumingMemoryBound(to: Int32.self)
    }

    /// Elements `range` of this buffer, sharing its storage.
    public subscript(range: Range<Int>) -> Buffer {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= count,
            "Buffer: range \(range) of \(count) elements")
        return Buffer(
            storage: storage, offset: offset + range.lowerBound, count: range.count, dtype: dtype)
    }

    /// Takes the elements of another buffer of the same type and size.
    package func copyBytes(from source: Buffer) {
        precondition(
            source.dtype == dtype && source.count == count,
            "Buffer: \(source.count) elements of \(source.dtype) into \(count) of \(dtype)")
        serially { bytes.copyMemory(from: source.bytes, byteCount: byteCount) }
    }

    public func clear() { serially { _ = memset(bytes, 0, byteCount) } }
}

/// Blocks by size class, kept when they are given back, so that a step after the first takes none from
/// the system. Classes are powers of two cut in four: at most a fifth of a block is unused.
package final class StoragePool: Sendable {
    package static let shared = StoragePool()

    package struct Counters: Sendable, Equatable {
        /// Bytes handed out now, and the most there ever were.
        package var liveBytes = 0
        package var peakBytes = 0
        /// Blocks and bytes taken from the system so far.
        package var systemAllocations = 0
        package var systemBytes = 0
    }

    private struct State: @unchecked Sendable {
        var free: [Int: [UnsafeMutableRawPointer]] = [:]
        var counters = Counters()
    }

    private let state = Mutex(State())

    package var counters: Counters { state.withLock { $0.counters } }

    /// The peak starts again from what is live now.
    package func resetPeak() { state.withLock { $0.counters.peakBytes = $0.counters.liveBytes } }

    fileprivate func take(_ byteCount: Int) -> (UnsafeMutableRawPointer, Int) {
        let size = StoragePool.sizeClass(of: byteCount)
        let address = state.withLock { state -> UInt in
            state.counters.liveBytes += size
            state.counters.peakBytes = max(state.counters.peakBytes, state.counters.liveBytes)
            if let pointer = state.free[size]?.popLast() { return UInt(bitPattern: pointer) }
            state.counters.systemAllocations += 1
            state.counters.systemBytes += size
            return 0
        }
        if let pointer = UnsafeMutableRawPointer(bitPattern: address) { return (pointer, size) }
        return (StoragePool.allocate(size), size)
    }

    fileprivate func give(back pointer: UnsafeMutableRawPointer, sizeClass: Int) {
        let address = UInt(bitPattern: pointer)
        state.withLock { state in
            state.counters.liveBytes -= sizeClass
            state.free[sizeClass, default: []].append(UnsafeMutableRawPointer(bitPattern: address)!)
        }
    }

    package static func sizeClass(of byteCount: Int) -> Int {
        guard byteCount > 256 else { return 256 }
        // 2^power < byteCount ≤ 2^(power + 1)
        let power = Int.bitWidth - (byteCount - 1).leadingZeroBitCount - 1
        let quarter = 1 << (power - 2)
        return (byteCount + quarter - 1) / quarter * quarter
    }

    private static func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
        var pointer: UnsafeMutableRawPointer?
        let status = posix_memalign(
            &pointer, byteCount >= HugePages.size ? HugePages.size : 64, byteCount)
        guard status == 0, let pointer else {
            fatalOutOfMemory(byteCount)
        }
        if byteCount >= HugePages.size { madvise(pointer, byteCount, MADV_HUGEPAGE) }
        return pointer
    }
}

/// Memory that cannot be had ends the process with the exit code of the contract (9): there is no way
/// on from inside an allocation, and the other ranks see this one end.
private func fatalOutOfMemory(_ byteCount: Int) -> Never {
    let message = "error: out of memory: expected \(byteCount) bytes from the system, found none\n"
    message.withCString { _ = write(2, $0, strlen($0)) }
    _exit(9)
}
