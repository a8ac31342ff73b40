// The one place where faults of the layers below become a kind of `RunError`.

import Checkpointing
import Communication
import Datasets
import Foundation

extension RunError {
    public init(_ error: CommunicationError) {
        self.init(error.kind == .deadline ? .deadline : .inputOutput, error.message)
    }

    public init(_ error: DatasetError) {
        let kind: Kind =
            switch error.kind {
            case .inputOutput: .inputOutput
            case .outputExists: .usage
            case .missing, .invalidText, .corrupt, .tooSmall, .tooLarge, .tokenOutOfRange,
                .mismatch:
                .data
            }
        self.init(kind, problems: error.problems)
    }

    public init(_ error: CheckpointError) {
        switch error.kind {
        case .unusable, .mismatch: self.init(.checkpoint, error.message)
        case .unreadable, .io: self.init(.inputOutput, error.message)
        case .communication(let cause): self.init(cause)
        }
    }
}

/// Runs `body`; what goes wrong between ranks is the error of a run in this step.
func communicating<Result>(
    step: Int? = nil, _ body: () throws(CommunicationError) -> Result
) throws(RunError) -> Result {
    do throws(CommunicationError) {
        return try body()
    } catch {
        throw RunError(error).located(step: step)
    }
}

/// Runs `body`; what is wrong with a checkpoint is the error of a run or of a command.
package func checkpointing<Result>(
    _ body: () throws(CheckpointError) -> Result
) throws(RunError) -> Result {
    do throws(CheckpointError) {
        return try body()
    } catch {
        throw RunError(error)
    }
}

/// The same for what ranks do together: what is wrong with a checkpoint is the same on all of them, what goes wrong
/// between them is not.
func checkpointingTogether<Result>(
    _ body: () throws(CheckpointError) -> Result
) throws(RunError) -> Result {
    do throws(CheckpointError) {
        return try body()
    } catch {
        var failure = RunError(error)
        if case .communication = error.kind { throw failure }
        failure.isShared = true
        throw failure
    }
}

/// Writes a whole file, which is there as it was or as it is to be.
func write(_ text: String, to path: String) throws(RunError) {
    let temporary = path + ".new"
    do {
        try Data(text.utf8).write(to: URL(fileURLWithPath: temporary))
    } catch {
        unlink(temporary)
        throw RunError(.inputOutput, "\(path): expected to write, found \(systemReason(error))")
    }
    guard rename(temporary, path) == 0 else {
        let reason = String(cString: strerror(errno))
        unlink(temporary)
        throw RunError(.inputOutput, "\(path): expected to write, found \(reason)")
    }
}

/// What the system said, without Foundation's wrapping.
package func systemReason(_ error: any Error) -> String {
    let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? any Error
    let cause = (underlying ?? error) as NSError
    guard cause.domain == NSPOSIXErrorDomain else { return cause.localizedDescription }
    return String(cString: strerror(Int32(cause.code)))
}
