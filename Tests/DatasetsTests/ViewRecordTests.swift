import Datasets
import Testing

/// The order of records, and the views of labelled texts, instructions and preferences.
@Suite struct ViewRecordTests {
    private func fields(_ batch: Batch) -> [[Int32]] {
        (0..<batch.sequences).flatMap { row in
            [batch.row(Batch.Name.tokens, row), batch.row(Batch.Name.targets, row)]
        }
    }

    private func batch(_ view: any RecordView, _ records: [Record]) throws -> Batch {
        try RecordEvaluationBatches(
            records: MemoryRecords(records), view: view, microBatch: records.count
        ).evaluationBatch(0)
    }

    @Test(arguments: [1, 2, 7, 256, 1003])
    func everyRecordOnceAnEpoch(count: Int) {
        let order = RecordOrder(count: count, seed: 42)
        let epochs = (0..<3).map { epoch in
            (epoch * count..<(epoch + 1) * count).map { order.record(ofSample: $0) }
        }
        for epoch in epochs { #expect(epoch.sorted() == Array(0..<count)) }
        if count > 7 {
            #expect(Set(epochs).count == 3)
            #expect(RecordOrder(count: count, seed: 43).record(ofSample: 0) != epochs[0][0])
        }
    }

    /// The order is part of what a checkpoint means: these never change.
    @Test func theOrderIsTheOneOfAllVersions() {
        let order = RecordOrder(count: 1003, seed: 1337)
        let samples = [0, 1, 2, 1002, 1003, 1_000_000, Int.max]
        #expect(
            samples.map { order.record(ofSample: $0) } == [572, 85, 999, 618, 286, 424, 160])
    }

    @Test func noLayoutAndNoStartChangesWhatComes() throws {
        let records = MemoryRecords.pairs(103)
        let view = PairView(
            sourceLength: 64, targetLength: 64, marks: SequenceMarks(start: 0, end: 1))
        func names(_ sequences: Int, _ microBatch: Int, from position: Int, _ steps: Int) throws
            -> [Int32]
        {
            let source = try RecordBatches(
                records: records, view: view,
                layout: BatchLayout(sequences: sequences, microBatch: microBatch), seed: 8)
            return try trainingBatches(source, from: position, steps: steps).flatMap { batch in
                (0..<batch.sequences).map { batch.source($0)[0] - 1000 }
            }
        }
        let all = try names(1, 1, from: 0, 206)
        #expect(all.prefix(103).sorted() == Array(0..<103))
        #expect(all.suffix(103).sorted() == Array(0..<103))
        #expect(all.prefix(103) != all.suffix(103), "control")
        for (sequences, microBatch) in [(4, 1), (4, 2), (8, 8), (6, 3)] {
            let steps = 206 / sequences
            #expect(
                try names(sequences, microBatch, from: 0, steps)
                    == Array(all.prefix(steps * sequences)))
            for position in stride(from: 0, to: 190, by: 23) {
                #expect(
                    try names(sequences, microBatch, from: position, 1)
                        == Array(all[position..<position + sequences]))
            }
        }
        #expect(datasetError { _ = try names(104, 1, from: 0, 1) }?.kind == .tooSmall)
    }

    @Test func labelledTexts() throws {
        let records = [
            Record(parts: [.init(.text, [5, 6])], label: 1),
            Record(parts: [.init(.source, [5]), .init(.target, [7, 8])], label: 0),
            Record(parts: [.init(.text, Array(10..<30))], label: 2),
            Record(parts: [.init(.text, [])], label: 2),
        ]
        let view = LabelledView(length: 10, classes: 3, begin: 101, end: 102)
        let batch = try batch(view, records)
        #expect(
            (0..<4).map(batch.source) == [
                [101, 5, 6, 102], [101, 5, 102, 7, 8, 102], [101] + Array(10..<18) + [102],
                [101, 102],
            ])
        #expect(batch[Batch.Name.targets].integers == [1, 0, 2, 2])
        #expect(batch.weights == [1, 1, 1, 1] && batch[Batch.Name.tokens].extents == [10])
        let measured = try SyntheticLabels(
            sampleLength: 10, vocabularySize: 50, targets: 1, classes: 3,
            layout: BatchLayout(sequences: 4, microBatch: 4), seed: 1
        ).trainingBatch(position: 0, microBatch: 0)
        #expect(batch.fields.map(\.name) == measured.fields.map(\.name))
        #expect(batch.fields.map(\.extents) == measured.fields.map(\.extents))
        #expect(batch.weights.count == measured.weights.count)
        #expect(view.blank(rows: 4).shape == batch.shape && view.blank(rows: 4).targetWeight == 0)
        let source = try RecordBatches(
            records: MemoryRecords(records), view: view,
            layout: BatchLayout(sequences: 2, microBatch: 1), seed: 1)
        #expect(source.targetWeight(position: 0) == 2)
        #expect(try view.census(of: MemoryRecords(records), in: 0..<4).truncated == 1)
        // Without marks, an empty text too.
        let bare = try self.batch(
            LabelledView(length: 1, classes: 3, begin: nil, end: nil), [records[0], records[3]])
        #expect(bare.source(0) == [5] && bare[Batch.Name.lengths].integers == [1, 1])
        for label in [nil, 3, -1] as [Int32?] {
            let error = datasetError {
                _ = try self.batch(view, [Record(parts: [.init(.text, [5])], label: label)])
            }
            #expect(error?.kind == .mismatch)
            #expect(error?.message.contains("record 0: expected a class from 0 to 2") == true)
        }
    }

    /// 90 begins, 91 ends; prompts from 10, answers from 20 on.
    private let conversation = Record(parts: [
        .init(.prompt, [10, 11]), .init(.response, [20, 21]), .init(.prompt, [12]),
        .init(.response, [22]),
    ])

    @Test func onlyAnswersCount() throws {
        let view = InstructionView(length: 16, begin: 90, end: 91)
        let batch = try batch(
            view,
            [
                conversation, Record(parts: [.init(.prompt, [10])]),
                Record(parts: [.init(.response, [])]),
            ])
        #expect(
            fields(batch) == [
                [90, 10, 11, 20, 21, 91, 12, 22], [10, 11, 20, 21, 91, 12, 22, 91],
                [90, 0, 0, 0, 0, 0, 0, 0], [10, -1, -1, -1, -1, -1, -1, -1],
                [90, 0, 0, 0, 0, 0, 0, 0], [91, -1, -1, -1, -1, -1, -1, -1],
            ])
        #expect(batch.rowWeights(0) == [0, 0, 1, 1, 1, 0, 1, 1])
        #expect(batch.rowWeights(1) == [Float](repeating: 0, count: 8))
        #expect(batch.rowWeights(2) == [1, 0, 0, 0, 0, 0, 0, 0])
        let bare = try self.batch(InstructionView(length: 16, begin: nil, end: nil), [conversation])
        #expect(bare.row(Batch.Name.targets, 0) == [11, 20, 21, 12, 22, -1, -1, -1])
        #expect(bare.rowWeights(0) == [0, 1, 1, 0, 1, 0, 0, 0])
        let blank = view.blank(rows: 3)
        #expect(blank.shape == batch.shape && blank.targetWeight == 0)
    }

    /// The first token of a sequence is nobody's target, also where it is an answer's.
    @Test func longConversationsLoseTheirBeginningOrAreNotShown() throws {
        let cut = try batch(InstructionView(length: 4, begin: 90, end: 91), [conversation])
        #expect(fields(cut) == [[90, 91, 12, 22], [91, 12, 22, 91]])
        #expect(cut.rowWeights(0) == [1, 0, 1, 1])
        let plain = try batch(InstructionView(length: 4, begin: nil, end: 91), [conversation])
        #expect(fields(plain) == [[21, 91, 12, 22], [91, 12, 22, 91]])
        #expect(plain.rowWeights(0) == [1, 0, 1, 1])
        let one = try batch(InstructionView(length: 1, begin: nil, end: nil), [conversation])
        #expect(fields(one) == [[12], [22]] && one.weights == [1])
        let dropping = InstructionView(length: 4, begin: 90, end: 91, overflow: .drops)
        let dropped = try batch(dropping, [conversation])
        #expect(fields(dropped) == [[0, 0, 0, 0], [-1, -1, -1, -1]] && dropped.targetWeight == 0)
        let fits = InstructionView(length: 8, begin: 90, end: 91, overflow: .drops)
        #expect(try batch(fits, [conversation]).targetWeight == 5, "control")
        var records = MemoryRecords([conversation, conversation])
        records.records.append(Record(parts: [.init(.prompt, [10]), .init(.text, [20])]))
        func census(_ view: InstructionView) throws -> [Int] {
            let census = try view.census(of: records, in: 0..<3)
            return [census.records, census.truncated, census.withoutTarget, census.targets]
        }
        #expect(try census(dropping) == [3, 2, 3, 0])
        #expect(try census(fits) == [3, 0, 1, 10])
        #expect(try census(InstructionView(length: 4, begin: 90, end: 91)) == [3, 2, 1, 6])
    }

    private func preference(_ prompt: [Int32], _ chosen: [Int32], _ rejected: [Int32]) -> Record {
        Record(parts: [.init(.prompt, prompt), .init(.chosen, chosen), .init(.rejected, rejected)])
    }

    @Test func theBetterAnswerComesBeforeTheWorse() throws {
        let view = PreferenceView(length: 16, begin: 90, end: 91)
        let records = [preference([10, 11], [20, 21], [30]), preference([12], [], [31, 32])]
        let batch = try batch(view, records)
        #expect(batch.sequences == 4 && batch.firstSequence == 0)
        #expect(
            fields(batch) == [
                [90, 10, 11, 20, 21, 0, 0, 0], [10, 11, 20, 21, 91, -1, -1, -1],
                [90, 10, 11, 30, 0, 0, 0, 0], [10, 11, 30, 91, -1, -1, -1, -1],
                [90, 12, 0, 0, 0, 0, 0, 0], [12, 91, -1, -1, -1, -1, -1, -1],
                [90, 12, 31, 32, 0, 0, 0, 0], [12, 31, 32, 91, -1, -1, -1, -1],
            ])
        #expect(
            (0..<4).map(batch.rowWeights) == [
                [0, 0, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0],
                [0, 1, 1, 1, 0, 0, 0, 0],
            ])
        let source = try RecordBatches(
            records: MemoryRecords(records + records), view: view,
            layout: BatchLayout(sequences: 4, microBatch: 2), seed: 1)
        let second = try source.trainingBatch(position: 0, microBatch: 1)
        #expect(second.sequences == 4 && second.firstSequence == 4)
        #expect(source.blank(rows: 2).shape == second.shape)
        #expect(source.blank(rows: 2).targetWeight == 0)
        let error = datasetError {
            _ = try self.batch(view, [Record(parts: [.init(.prompt, [1]), .init(.chosen, [2])])])
        }
        #expect(error?.message.contains("found prompt, chosen") == true)
    }

    @Test func longPreferencesKeepOnePromptForBoth() throws {
        let view = PreferenceView(length: 5, begin: 90, end: 91)
        let long = try batch(view, [preference([10, 11, 12, 13], [20, 21], [30])])
        #expect(
            fields(long) == [
                [90, 12, 13, 20, 21], [12, 13, 20, 21, 91], [90, 12, 13, 30, 0],
                [12, 13, 30, 91, -1],
            ])
        let longer = try batch(view, [preference([10, 11], Array(20..<28), [30])])
        #expect(
            fields(longer) == [
                [90, 11, 20, 21, 22], [11, 20, 21, 22, 23], [90, 11, 30, 0, 0],
                [11, 30, 91, -1, -1],
            ])
        #expect(longer.rowWeights(0) == [0, 1, 1, 1, 1])
        let census = try view.census(
            of: MemoryRecords([
                preference([10], [20], [30]), preference([10, 11], Array(20..<28), [30]),
            ]), in: 0..<2)
        #expect(census.truncated == 1 && census.withoutTarget == 0 && census.targets == 10)
        let empty = PreferenceView(length: 5, begin: 90, end: nil)
        #expect(
            try empty.census(of: MemoryRecords([preference([10], [20], [])]), in: 0..<1)
                .withoutTarget == 1)
    }
}
