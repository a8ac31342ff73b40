import Files
import Foundation
import Testing

@Suite struct FileKindTests {
    @Test func whatStandsInTheWayIsNamed() throws {
        let folder = NSTemporaryDirectory() + "murmuration-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func path(_ name: String) -> String { "\(folder)/\(name)" }
        try Data().write(to: URL(fileURLWithPath: path("file")))
        #expect(mkfifo(path("pipe"), 0o600) == 0)
        for (name, target) in [("link", "file"), ("dangling", "no\nthing"), ("loop", "loop")] {
            #expect(symlink(target, path(name)) == 0)
        }
        #expect(FileKind.unfit(path("file")) == nil && FileKind.unfit(path("none")) == nil)
        #expect(FileKind.unfit(path("link")) == nil)
        #expect(FileKind.unfit(path("pipe")) == "a named pipe")
        #expect(FileKind.unfit("/dev/null") == "a device")
        #expect(FileKind.unfit(folder) == "a folder")
        #expect(FileKind.unfit(path("dangling")) == "a link to no\\nthing that leads nowhere")
        #expect(FileKind.unfit(path("loop")) == "a link to loop that leads nowhere")
        #expect(FileKind.unfit(folder, for: S_IFDIR) == nil)
        #expect(FileKind.unfit(path("link"), for: S_IFDIR) == "a regular file")
        #expect(
            FileKind.unfit(path("link"), for: S_IFREG, followingLinks: false) == "a link to file")
    }
}
