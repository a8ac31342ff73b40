// A folder of temporary files that is gone when its owner is, also where a signal ends the process.

import Foundation
import Synchronization

/// A name for a folder in TMPDIR, which is made by whoever writes into it. One a process at a time.
final class ScratchFolder {
    let path: String
    private let end = End()
    private var actions: [(number: Int32, before: sigaction)] = []

    private static let received = Atomic<Int32>(0)

    /// Whether the folder is gone, told to the thread that watches.
    private final class End: Sendable { let isThere = Atomic(false) }

    /// - Parameter name: of the folder; the ranks of a host that share it have the same.
    init(name: String) {
        path = FileManager.default.temporaryDirectory.appendingPathComponent(name).path
        for number in StopSignal.numbers where !StopSignal.isIgnored(number) {
            var (action, before) = (sigaction(), sigaction())
            action.__sigaction_handler.sa_handler = {
                ScratchFolder.received.store($0, ordering: .relaxed)
            }
            action.sa_flags = SA_RESTART
            sigaction(number, &action, &before)
            actions.append((number, before))
        }
        // A handler may not remove files: this does, where the work in between asks nobody.
        Thread.detachNewThread { [path, end] in
            while !end.isThere.load(ordering: .acquiring) {
                ScratchFolder.endWhereAsked(removing: path)
                usleep(20_000)
            }
        }
    }

    /// Ends the process as the signal would have, where one has come.
    private static func endWhereAsked(removing path: String) {
        let number = received.load(ordering: .relaxed)
        guard number != 0 else { return }
        try? FileManager.default.removeItem(atPath: path)
        signal(number, SIG_DFL)
        kill(getpid(), number)
    }

    /// Throws where there is no folder to make it in: one that somebody has misspelled is not made.
    func requireParent() throws(RunError) {
        let parent = (path as NSString).deletingLastPathComponent
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: parent, isDirectory: &isFolder),
            isFolder.boolValue
        else {
            throw RunError(
                .inputOutput,
                "TMPDIR: expected a folder for temporary files, found none at \(parent); name one "
                    + "that exists, or a place for the tokens with --set data.cache=")
        }
    }

    deinit {
        end.isThere.store(true, ordering: .releasing)
        try? FileManager.default.removeItem(atPath: path)
        ScratchFolder.endWhereAsked(removing: path)
        for action in actions {
            var before = action.before
            sigaction(action.number, &before, nil)
        }
    }
}
