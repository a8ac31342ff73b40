/// This member's end of a group's shared memory: which chunk is where.
final class SharedChannel {
    let memory: SharedMemory
    private let fold: SharedFold
    private let size: Int
    /// Chunks of all passes that this member has given, combined and taken so far.
    private var given = 0
    private var combined = 0
    private var taken = 0
    /// The last that was seen of each member's flags.
    private var seenGiven: [Int]
    private var seenCombined: [Int]
    /// The first chunk of the pass under way.
    private var start = 0

    init(_ memory: SharedMemory) {
        self.memory = memory
        size = memory.blocks.count
        fold = SharedFold(memory.orderWithinHost)
        seenGiven = Array(repeating: 0, count: size)
        seenCombined = seenGiven
    }

    /// Does what can be done of the pass without waiting.
    ///
    /// - Returns: whether anything changed, and whether the pass is over; the next call begins another.
    func advance(
        _ pass: any SharedPass, _ signature: Int
    ) throws(SharedMismatch) -> (progressed: Bool, isOver: Bool) {
        let end = start + pass.chunkCount
        let before = (given, combined, taken)
        while true {
            while given < end && given < taken + SharedMemory.ahead { give(pass, signature) }
            while pass.combines && combined < given && haveAllGiven(beyond: combined) {
                if combined == start { try check(signature) }
                pass.combine(
                    combined - start, in: SharedSlots(memory: memory, chunk: combined), fold)
                combined += 1
                memory.store(combined, in: .combined)
            }
            let isReady =
                pass.combines
                ? haveAllCombined(beyond: taken) : taken < given && haveAllGiven(beyond: taken)
            guard isReady else { break }
            if !pass.combines && taken == start { try check(signature) }
            pass.take(taken - start, in: SharedSlots(memory: memory, chunk: taken), fold)
            taken += 1
            if taken == end {
                (start, combined) = (end, end)
                return (true, true)
            }
        }
        return (before != (given, combined, taken), false)
    }

    private func give(_ pass: any SharedPass, _ signature: Int) {
        pass.give(given - start, in: SharedSlots(memory: memory, chunk: given))
        if given == start { memory.store(signature, in: .signature(chunk: given)) }
        given += 1
        memory.store(given, in: .posted)
    }

    private func haveAllGiven(beyond chunk: Int) -> Bool {
        for place in 0..<size where seenGiven[place] <= chunk {
            seenGiven[place] = memory.load(.posted, of: place)
            if seenGiven[place] <= chunk { return false }
        }
        return true
    }

    private func haveAllCombined(beyond chunk: Int) -> Bool {
        for place in 0..<size where seenCombined[place] <= chunk {
            seenCombined[place] = memory.load(.combined, of: place)
            if seenCombined[place] <= chunk { return false }
        }
        return true
    }

    /// World ranks of the members that the pass under way waits for, and how many of its chunks are not
    /// taken.
    func silent(_ pass: any SharedPass) -> (ranks: [Int], chunks: Int) {
        let needsGiven = !pass.combines || combined <= taken
        let late = (0..<size).filter { place in
            memory.load(needsGiven ? .posted : .combined, of: place) <= taken
        }
        return (late.map { memory.members[$0] }, start + pass.chunkCount - taken)
    }

    /// Compares what every member began with the chunk at which the pass begins.
    private func check(_ signature: Int) throws(SharedMismatch) {
        for place in 0..<size {
            let found = memory.load(.signature(chunk: start), of: place)
            if found != signature {
                throw SharedMismatch(
                    rank: memory.members[place], expected: Signature(word: signature),
                    found: Signature(word: found))
            }
        }
    }
}

/// A member is in another operation, or thinks otherwise of its sizes.
struct SharedMismatch: Error {
    let rank: Int
    let expected: Signature
    let found: Signature
}
