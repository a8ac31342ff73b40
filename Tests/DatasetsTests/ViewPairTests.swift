import Datasets
import Testing

/// Pairs for encoder–decoders, in batches of a fixed number and of a budget of tokens.
@Suite struct ViewPairTests {
    private func record(_ source: [Int32], _ target: [Int32]) -> Record {
        Record(parts: [.init(.source, source), .init(.target, target)])
    }

    private func view(_ length: Int = 70) -> PairView {
        PairView(
            sourceLength: length, targetLength: length, marks: SequenceMarks(start: 0, end: 1))
    }

    @Test func sourceAndTargetWithTheirMarks() throws {
        let records = MemoryRecords([
            record([5, 6, 7], [8, 9]), record([4], []), record([], [3, 3, 3]),
            record(Array(10..<30), Array(30..<50)),
        ])
        let view = PairView(
            sourceLength: 12, targetLength: 6, marks: SequenceMarks(start: 0, end: 1))
        let batch = try RecordEvaluationBatches(records: records, view: view, microBatch: 4)
            .evaluationBatch(0)
        #expect(batch.fields.map(\.name) == ["tokens", "lengths", "decoder_tokens", "targets"])
        #expect(batch[Batch.Name.tokens].extents == [12])
        #expect(
            (0..<4).map(batch.source)
                == [[5, 6, 7, 1], [4, 1], [1], Array(10..<21) + [1]])
        #expect(
            (0..<4).map(batch.countedTargets)
                == [[8, 9, 1], [1], [3, 3, 3, 1], [30, 31, 32, 33, 34, 1]])
        #expect(
            (0..<4).map { batch.row(Batch.Name.decoderTokens, $0) } == [
                [0, 8, 9, 0, 0, 0], [0, 0, 0, 0, 0, 0], [0, 3, 3, 3, 0, 0],
                [0, 30, 31, 32, 33, 34],
            ])
        #expect(batch.row(Batch.Name.targets, 0) == [8, 9, 1, -1, -1, -1])
        let census = try view.census(of: records, in: 0..<4)
        #expect(census.records == 4 && census.truncated == 1 && census.withoutTarget == 0)
        #expect(census.targets == Int(batch.targetWeight))
    }

    @Test func otherMarksAndNone() throws {
        let records = MemoryRecords([record([5], [8, 9]), record([], [])])
        func batch(_ marks: SequenceMarks) throws -> Batch {
            try RecordEvaluationBatches(
                records: records, view: PairView(sourceLength: 9, targetLength: 9, marks: marks),
                microBatch: 2
            ).evaluationBatch(0)
        }
        let bart = try batch(SequenceMarks(start: 2, begin: 0, end: 2))
        #expect(bart.source(0) == [0, 5, 2] && bart.countedTargets(0) == [0, 8, 9, 2])
        #expect(bart.row(Batch.Name.decoderTokens, 0) == [2, 0, 8, 9, 0, 0, 0, 0])
        let bare = try batch(SequenceMarks(start: 3))
        #expect(bare.source(0) == [5] && bare.countedTargets(0) == [8, 9])
        #expect(bare[Batch.Name.lengths].integers == [1, 1] && bare.countedTargets(1).isEmpty)
        let broken = MemoryRecords([Record(parts: [.init(.source, [1])])])
        let error = datasetError {
            _ = try RecordEvaluationBatches(records: broken, view: view(), microBatch: 1)
                .evaluationBatch(0)
        }
        #expect(error?.kind == .mismatch && error?.message.contains("found source") == true)
    }

    /// Pools of consecutive records, sorted, cut where one more row would be more than the budget.
    private func referenceGroups(
        _ records: MemoryRecords, limit: Int, budget: Int, pool: Int
    ) -> [[Int]] {
        func length(_ number: Int, _ part: Int) -> Int {
            min(records.records[number].parts[part].tokens.count + 1, limit)
        }
        func cost(_ group: [Int]) -> Int {
            let longest = group.flatMap { [length($0, 0), length($0, 1)] }.max()!
            return group.count * min((longest + 7) / 8 * 8, limit)
        }
        var groups: [[Int]] = []
        for start in stride(from: 0, to: records.count, by: pool) {
            let sorted = (start..<min(start + pool, records.count)).sorted {
                [length($0, 1), length($0, 0), $0].lexicographicallyPrecedes(
                    [length($1, 1), length($1, 0), $1])
            }
            groups.append([])
            for number in sorted {
                if groups[groups.count - 1].isEmpty || cost(groups.last! + [number]) <= budget {
                    groups[groups.count - 1].append(number)
                } else {
                    groups.append([number])
                }
            }
        }
        return groups
    }

    @Test func groupsAreTheOnesOfTheDescription() throws {
        let records = MemoryRecords.pairs(1003)
        for (budget, pool, limit) in [(256, 100, 70), (64, 1, 40), (512, 4096, 33), (70, 8, 70)] {
            let groups = try PairGroups(
                records: records, view: view(limit),
                budget: TokenBudget(tokens: budget, poolSize: pool))
            let expected = referenceGroups(records, limit: limit, budget: budget, pool: pool)
            #expect(try (0..<groups.count).map { try groups.members(of: $0) } == expected)
            // Any other order of asking, and more pools than are kept.
            for group in stride(from: groups.count - 1, through: 0, by: -7) {
                #expect(try groups.members(of: group) == expected[group])
            }
            #expect(expected.map(\.count).max()! <= groups.maximumRows)
            for (group, members) in expected.enumerated().prefix(40) {
                let batch = try GroupedPairEvaluationBatches(groups: groups).evaluationBatch(group)
                #expect(
                    (0..<batch.sequences).map { Int(batch.source($0)[0]) - 1000 } == members)
                #expect(
                    batch.sequences
                        * max(
                            batch[Batch.Name.tokens].extents[0],
                            batch[Batch.Name.targets].extents[0]) <= budget)
            }
        }
        let other = referenceGroups(records, limit: 70, budget: 248, pool: 100)
        #expect(other != referenceGroups(records, limit: 70, budget: 256, pool: 100), "control")
    }

    /// Pools counted by several ranks are the ones that one counts.
    @Test func countingIsShared() throws {
        let records = MemoryRecords.pairs(1003)
        let budget = TokenBudget(tokens: 256, poolSize: 64)
        let pools = budget.poolCount(records: records.count)
        let alone = try PairGroups(records: records, view: view(), budget: budget)
        let counts = try [0..<5, 5..<6, 6..<pools].flatMap {
            try PairGroups.groupCounts(of: $0, records: records, view: view(), budget: budget)
        }
        let together = try PairGroups(
            records: records, view: view(), budget: budget, counts: counts)
        #expect(counts.count == 16 && together.count == alone.count)
        for group in 0..<alone.count {
            #expect(try alone.members(of: group) == together.members(of: group))
        }
        var changed = records
        changed.records.swapAt(0, 1000)
        changed.records[3] = record(Array(repeating: 1, count: 60), [1])
        let error = datasetError {
            let groups = try PairGroups(
                records: changed, view: view(), budget: TokenBudget(tokens: 64, poolSize: 64),
                counts: counts)
            _ = try groups.members(of: 0)
        }
        #expect(error?.kind == .mismatch)
    }

    /// The records of each group that comes, by the first token of its sources.
    private func groups(_ source: any BatchSource, from position: Int, steps: Int) throws -> [[Int]]
    {
        try trainingBatches(source, from: position, steps: steps).map { batch in
            (0..<batch.sequences).map { Int(batch.source($0)[0]) - 1000 }
        }
    }

    @Test func everyPairOnceAnEpochOnAnyLayoutAndAfterAnyStart() throws {
        let records = MemoryRecords.pairs(1003)
        func source(_ groupsPerStep: Int, seed: UInt64 = 3) throws -> GroupedPairBatches {
            try GroupedPairBatches(
                groups: PairGroups(
                    records: records, view: view(),
                    budget: TokenBudget(tokens: 256, poolSize: 100)),
                groupsPerStep: groupsPerStep, seed: seed)
        }
        let epoch = try source(1).order.count
        let all = try groups(source(1), from: 0, steps: 2 * epoch)
        let (first, second) = (Array(all.prefix(epoch)), Array(all.suffix(epoch)))
        #expect(first.flatMap { $0 }.sorted() == Array(0..<1003))
        #expect(second.flatMap { $0 }.sorted() == Array(0..<1003))
        #expect(Set(first) == Set(second) && first != second)
        for width in [2, 3, 8] {
            let steps = 2 * epoch / width
            #expect(
                try groups(source(width), from: 0, steps: steps)
                    == Array(all.prefix(steps * width)))
        }
        // Killed at any position, begun anew with another layout.
        for position in stride(from: 0, to: 2 * epoch - 4, by: 37) {
            #expect(
                try groups(source(4), from: position, steps: 1)
                    == Array(all[position..<position + 4]))
        }
        #expect(try groups(source(1, seed: 4), from: 0, steps: epoch) != first, "control")
        let step = try (0..<8).map { try source(8).trainingBatch(position: 0, microBatch: $0) }
        for (before, after) in zip(step, step.dropFirst()) {
            #expect(before.firstSequence + before.sequences <= after.firstSequence)
        }
        let blank = try source(1).blank(rows: 2)
        #expect(blank.sequences == 2 && blank.targetWeight == 0)
        #expect(blank.fields.map(\.name) == step[0].fields.map(\.name))
        #expect(datasetError { _ = try source(5000) }?.kind == .tooSmall)
    }

    /// The share of padding: a budget of 4,096 tokens against as many rows as that gives on average, in random order.
    @Test func groupsHoldLittlePadding() throws {
        let records = MemoryRecords.pairs(20_000, longest: 120)
        let view = view(128)
        func padding(_ batches: [Batch]) -> Double {
            var (all, real) = (0, 0)
            for batch in batches {
                all += batch[Batch.Name.tokens].values.count + batch.weights.count
                real += batch[Batch.Name.lengths].integers.reduce(0) { $0 + Int($1) }
                real += Int(batch.targetWeight)
            }
            return 1 - Double(real) / Double(all)
        }
        let groups = try PairGroups(
            records: records, view: view, budget: TokenBudget(tokens: 4096))
        let grouped = try (0..<groups.count).map {
            try GroupedPairEvaluationBatches(groups: groups).evaluationBatch($0)
        }
        let rows = records.count / groups.count
        let plain = try RecordBatches(
            records: records, view: view, layout: BatchLayout(sequences: rows, microBatch: rows),
            seed: 1)
        let (few, many) = (
            padding(grouped),
            padding(try trainingBatches(plain, from: 0, steps: records.count / rows))
        )
        #expect(few < 0.2 && many > 0.6, "\(few) of grouped batches, \(many) of plain ones")
    }
}
