import Communication
import Foundation
import TestSupport
import Testing
import Training

@Suite struct SharedFolderTests {
    /// What each rank is told that looks into the folder of its number.
    private func messages(_ directories: [String]) throws -> [String] {
        try InProcess.run(ranks: directories.count) { communicator in
            do throws(RunError) {
                try SharedFolder.require(
                    directories[communicator.rank], world: World(communicator: communicator))
                return ""
            } catch {
                return "\(error.exitCode): \(error.message)"
            }
        }
    }

    @Test(arguments: [1, 2, 4])
    func oneFolderIsAcceptedAndLeftAsItWas(ranks: Int) throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder.file(".probe-of-a-killed-run")))
        #expect(try messages(Array(repeating: folder.path, count: ranks)).allSatisfy(\.isEmpty))
        #expect(try folder.names(in: "").isEmpty)
    }

    @Test func ranksThatDoNotSeeItAreNamed() throws {
        let (folder, other) = (try TemporaryFolder(), try TemporaryFolder())
        let paths = [folder.path, other.path, folder.path, folder.file("missing")]
        // Each names the folder by the path that it was given.
        let found = zip(paths, try messages(paths)).map { path, message in
            message.split(separator: path).joined(separator: "@")
        }
        #expect(
            Set(found).count == 1 && found[0].hasPrefix("5: @: expected one folder"))
        #expect(found[0].contains("rank 1 (host "), "\(found[0])")
        #expect(found[0].contains("rank 3 (host "), "\(found[0])")
        #expect(!found[0].contains("rank 2 (host ") && !found[0].contains("rank 0 (host "))
        #expect(try folder.names(in: "").isEmpty && other.names(in: "").isEmpty)
    }

    @Test func aFolderThatCannotBeWrittenToIsNamed() throws {
        let found = try messages(["/proc", "/proc"])
        #expect(Set(found).count == 1 && found[0].hasPrefix("5: /proc: expected a folder to write"))
    }
}
