import Tensors

#if canImport(Glibc)
    import Glibc
#endif

/// Room on disk for what need not stay in memory. The file has no name from the beginning on, so that
/// nothing is left of it, however the process ends.
final class ScratchFile {
    private let path: String
    private let descriptor: Int32
    private var byteCount = 0

    init(in folder: String) throws(CheckpointError) {
        path = "\(folder)/.scratch-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
        let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        descriptor = open(path, flags, 0o600)
        guard descriptor >= 0 else { throw .system("open", path) }
        unlink(path)
    }

    deinit { close(descriptor) }

    func append(_ buffer: Buffer) throws(CheckpointError) {
        let start = byteCount
        try buffer.withRawSpan { (bytes) throws(CheckpointError) in
            let code = bytes.withUnsafeBytes { source -> Int32 in
                var written = 0
                while written < source.count {
                    let status = pwrite(
                        descriptor, source.baseAddress! + written, source.count - written,
                        off_t(start + written))
                    if status < 0 && errno == EINTR { continue }
                    guard status > 0 else { return status < 0 ? errno : EIO }
                    written += status
                }
                return 0
            }
            guard code == 0 else { throw .system("write", path, code, wanted: bytes.byteCount) }
        }
        byteCount += buffer.byteCount
    }

    /// What was appended, as memory that can be read. The mapping outlives this object.
    func storage() throws(CheckpointError) -> Storage {
        guard let storage = Storage(mapping: descriptor, byteCount: byteCount) else {
            throw .system("mmap", path)
        }
        return storage
    }
}
