// The calls that change files, as an x86-64 kernel numbers them, and which file each is about.

import Glibc

/// A call that changes files.
struct ChangingCall {
    enum Subject {
        /// Number of the argument that is a descriptor.
        case descriptor(Int)
        /// Numbers of those that are paths.
        case paths([Int])
        /// A path, where the flags in the argument of that number make or empty a file.
        case opened(path: Int, flags: Int)
    }

    let name: String
    let subject: Subject
    /// Number of the argument that says how many bytes are written.
    var byteCount: Int?

    static let all: [UInt64: ChangingCall] = [
        1: ChangingCall(name: "write", subject: .descriptor(0), byteCount: 2),
        2: ChangingCall(name: "open", subject: .opened(path: 0, flags: 1)),
        18: ChangingCall(name: "pwrite64", subject: .descriptor(0), byteCount: 2),
        20: ChangingCall(name: "writev", subject: .descriptor(0)),
        74: ChangingCall(name: "fsync", subject: .descriptor(0)),
        75: ChangingCall(name: "fdatasync", subject: .descriptor(0)),
        76: ChangingCall(name: "truncate", subject: .paths([0])),
        77: ChangingCall(name: "ftruncate", subject: .descriptor(0)),
        82: ChangingCall(name: "rename", subject: .paths([0, 1])),
        83: ChangingCall(name: "mkdir", subject: .paths([0])),
        84: ChangingCall(name: "rmdir", subject: .paths([0])),
        85: ChangingCall(name: "creat", subject: .paths([0])),
        86: ChangingCall(name: "link", subject: .paths([1])),
        87: ChangingCall(name: "unlink", subject: .paths([0])),
        88: ChangingCall(name: "symlink", subject: .paths([1])),
        257: ChangingCall(name: "openat", subject: .opened(path: 1, flags: 2)),
        258: ChangingCall(name: "mkdirat", subject: .paths([1])),
        263: ChangingCall(name: "unlinkat", subject: .paths([1])),
        264: ChangingCall(name: "renameat", subject: .paths([1, 3])),
        265: ChangingCall(name: "linkat", subject: .paths([3])),
        277: ChangingCall(name: "sync_file_range", subject: .descriptor(0)),
        285: ChangingCall(name: "fallocate", subject: .descriptor(0)),
        296: ChangingCall(name: "pwritev", subject: .descriptor(0)),
        316: ChangingCall(name: "renameat2", subject: .paths([1, 3])),
        326: ChangingCall(name: "copy_file_range", subject: .descriptor(2)),
        328: ChangingCall(name: "pwritev2", subject: .descriptor(0)),
    ]

    /// The file that a call is about, if it changes it; of two, the first in `folder`.
    func path(
        _ arguments: [UInt64], of thread: pid_t, in folder: String
    ) -> String? {
        let paths: [String]
        switch subject {
        case .descriptor(let number):
            let link = "/proc/\(thread)/fd/\(Int32(truncatingIfNeeded: arguments[number]))"
            paths = [target(of: link)]
        case .paths(let numbers):
            paths = numbers.map { text(at: arguments[$0], of: thread) }
        case .opened(let path, let flags):
            let makes = Int32(truncatingIfNeeded: arguments[flags]) & (O_CREAT | O_TRUNC) != 0
            paths = makes ? [text(at: arguments[path], of: thread)] : []
        }
        return paths.first { $0.hasPrefix(folder + "/") || $0 == folder }
    }
}

/// What a symbolic link says.
private func target(of link: String) -> String {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = readlink(link, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(count, 0)).map(UInt8.init), as: UTF8.self)
}

/// The text in a thread's memory that ends with a zero.
private func text(at address: UInt64, of thread: pid_t) -> String {
    let memory = open("/proc/\(thread)/mem", O_RDONLY | O_CLOEXEC)
    defer { close(memory) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = pread(memory, &bytes, bytes.count, off_t(truncatingIfNeeded: address))
    return String(decoding: bytes.prefix(max(count, 0)).prefix { $0 != 0 }, as: UTF8.self)
}
