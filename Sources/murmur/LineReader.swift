import Foundation
import Training

/// Lines of a file, or of standard input where it is called `-`, block by block: no file is too long. Bytes, not text.
struct LineReader: ~Copyable {
    private let handle: FileHandle
    private let name: String
    /// The beginning of a line whose end has not been read.
    private var rest: [UInt8] = []
    private var isAtEnd = false

    private let blockByteCount: Int

    private static let longestLine = 1 << 28

    /// - Parameters:
    ///   - name: of the argument, for errors.
    ///   - blockByteCount: how much is read at once.
    init(_ path: String, name: String, blockByteCount: Int = 8 << 20) throws(RunError) {
        self.name = "\(name): \(path)"
        self.blockByteCount = blockByteCount
        if path == "-" {
            handle = .standardInput
            return
        }
        var isFolder: ObjCBool = false
        if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue
        {
            throw RunError(.data, "\(self.name): expected a file, found a folder")
        }
        do {
            handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        } catch {
            throw RunError(
                .data, "\(self.name): expected to read, found \(systemReason(error))")
        }
    }

    /// What is there to read, at most a block: a pipe may give less, and is not waited for.
    private func read() throws(RunError) -> [UInt8] {
        var (block, code) = ([UInt8](), Int32(0))
        repeat {
            block = [UInt8](unsafeUninitializedCapacity: blockByteCount) { memory, count in
                let result = Foundation.read(
                    handle.fileDescriptor, memory.baseAddress, memory.count)
                (count, code) = (max(0, result), result < 0 ? errno : 0)
            }
        } while code == EINTR
        guard code == 0 else {
            throw RunError(
                .inputOutput,
                "\(name): expected to read, found \(String(cString: strerror(code)))")
        }
        return block
    }

    /// Whole lines with their ends, about a block of them; nil at the end.
    mutating func nextBlock() throws(RunError) -> [UInt8]? {
        while !isAtEnd {
            let block = try read()
            guard !block.isEmpty else {
                isAtEnd = true
                break
            }
            guard let end = block.lastIndex(of: 0x0A) else {
                rest += block
                guard rest.count <= LineReader.longestLine else {
                    throw RunError(
                        .data,
                        "\(name): expected lines of at most \(LineReader.longestLine) bytes, found a longer one"
                    )
                }
                continue
            }
            let whole = rest + block[...end]
            rest = Array(block[(end + 1)...])
            return whole
        }
        guard !rest.isEmpty else { return nil }
        defer { rest = [] }
        return rest
    }

}
