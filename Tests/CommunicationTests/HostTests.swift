import Communication
import Foundation
import Glibc
import TestSupport
import Testing

/// What ranks of one host and of several make of where they are.
@Suite struct HostTests {
    /// The table of two hosts with 6 and 2 ranks: a group of four, two on each, whose hosts want different
    /// amounts. Every member comes to the same end.
    @Test(arguments: [
        ([100, 100], nil), ([40, 100], "/dev/shm with 40 bytes free, where 60 are wanted"),
        ([100, 19], "/dev/shm with 19 bytes free, where 20 are wanted"),
    ])
    func allMembersDecideAlike(room: [Int], refusal: String?) {
        for rank in 0..<4 {
            let found = HostLayout.arrange(
                hosts: [0, 0, 6, 6], rank: rank, room: [room[0], room[0], room[1], room[1]],
                needed: [60, 60, 20, 20])
            switch found {
            case .success(let layout):
                #expect(refusal == nil)
                #expect(layout.hosts == [0..<2, 2..<4])
                #expect((layout.host, layout.place) == (rank / 2, rank % 2))
            case .failure(let found):
                #expect(found.description.hasPrefix(refusal ?? "none"))
            }
        }
    }

    /// Ranks of a host must be neighbours; how many there are on each does not matter.
    @Test func hostsMayDiffer() throws {
        func arrange(_ hosts: [Int]) -> String {
            let room = hosts.map { _ in 100 }
            switch HostLayout.arrange(hosts: hosts, rank: 1, room: room, needed: room) {
            case .success(let layout): return "\(layout.hosts)"
            case .failure(let refusal): return refusal.description
            }
        }
        #expect(arrange([0, 1, 1, 1, 4, 4]) == "\([0..<1, 1..<4, 4..<6])")
        #expect(arrange([0, 1, 2]) == "each rank on a host of its own")
        #expect(arrange([0, 0, 2, 2, 0, 0]) == "ranks of a host that are not neighbours")
    }

    /// Of files that look like Open MPI's, those that nobody holds are removed.
    @Test func filesOfDeadJobsAreRemoved() throws {
        let folder = NSTemporaryDirectory() + "segments-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let names = ["mapped", "open", "dead"].map { "vader_segment.host.0.1.\($0)" }
        let others = ["another", "osc_sm.host.1.0.1", "sm_segment.host.0.1.0"]
        for name in names + others {
            try Data(repeating: 1, count: 4096).write(to: URL(filePath: "\(folder)/\(name)"))
        }
        try FileManager.default.createSymbolicLink(
            atPath: "\(folder)/vader_segment.link", withDestinationPath: "\(folder)/another")
        // As the library does: mapped, and no descriptor is left.
        let mapped = open("\(folder)/\(names[0])", O_RDWR | O_CLOEXEC)
        let memory = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0)
        close(mapped)
        let held = open("\(folder)/\(names[1])", O_RDWR | O_CLOEXEC)

        let removed = SharedMemoryFiles.removeAbandoned(in: folder)
        let left = try Set(FileManager.default.contentsOfDirectory(atPath: folder))
        #expect(left.isSuperset(of: [names[0], names[1], "another", "vader_segment.link"]))
        // A file system without leases keeps them all.
        if grantsLeases(folder) {
            #expect(removed == ["osc_sm.host.1.0.1", "sm_segment.host.0.1.0", names[2]])
            #expect(left.count == 4)
        }

        munmap(memory, 4096)
        close(held)
        let rest = SharedMemoryFiles.removeAbandoned(in: folder)
        if grantsLeases(folder) { #expect(Set(rest) == [names[0], names[1]]) }
    }

    private func grantsLeases(_ folder: String) -> Bool {
        let path = "\(folder)/lease"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer {
            close(descriptor)
            unlink(path)
        }
        return fcntl(descriptor, 1024, Int32(F_WRLCK)) == 0
    }
}
