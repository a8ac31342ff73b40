// What ranks tell each other when they save and load together.

import Communication

extension Communicator {
    /// Gives every rank the bytes of each, in rank order. Collective.
    func exchange(_ bytes: [UInt8]) throws(CheckpointError) -> [[UInt8]] {
        do throws(CommunicationError) {
            return try gatherAll(bytes)
        } catch {
            throw CheckpointError(error)
        }
    }

    /// Tells every rank how it went on each: returns the ranks' values, or throws the same error, the one
    /// of the first rank that failed, on all. Collective.
    ///
    /// - Parameter joining: whether what several ranks found wrong with one checkpoint is told together.
    func agree(
        _ outcome: Result<[UInt8], CheckpointError>, joining: Bool = false
    ) throws(CheckpointError) -> [[UInt8]] {
        let message: [UInt8]
        switch outcome {
        case .success(let value): message = [0] + value
        case .failure(let error):
            switch error.kind {
            case .unusable: message = [1] + error.message.utf8
            case .mismatch: message = [2] + error.message.utf8
            case .io: message = [3] + error.message.utf8
            case .unreadable: message = [4] + error.message.utf8
            case .communication: throw error
            }
        }
        let messages = try exchange(message)
        var errors: [CheckpointError] = []
        for message in messages {
            let kind: CheckpointError.Kind
            switch message[0] {
            case 0: continue
            case 1: kind = .unusable
            case 2: kind = .mismatch
            case 4: kind = .unreadable
            default: kind = .io
            }
            errors.append(
                CheckpointError(kind, String(decoding: message.dropFirst(), as: UTF8.self)))
        }
        if let first = errors.first {
            guard joining, first.isOfOneCheckpoint else { throw first }
            var told = Set<String>()
            throw CheckpointError(
                joining: errors.filter { $0.isOfOneCheckpoint && told.insert($0.message).inserted })
                ?? first
        }
        return messages.map { Array($0.dropFirst()) }
    }

    /// Waits for an operation.
    func finish(_ operation: PendingOperation) throws(CheckpointError) {
        do throws(CommunicationError) {
            try operation.wait()
        } catch {
            throw CheckpointError(error)
        }
    }
}
