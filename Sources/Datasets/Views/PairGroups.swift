// Pairs of about the same length in one batch: little padding, and as many rows as a budget of tokens allows.
//
// Records are taken in *pools* of some thousand that follow each other. A pool is sorted by length and cut into *groups*
// of which none is wider than the budget. A group is what the order of a run is made of, so the position in the data
// is one number and every record comes once an epoch; as in fairseq (Ott et al. 2019) the groups stay the same and come
// in another order in every epoch. In memory stand 8 bytes a pool, and the plans of the pools that were used last.

import Foundation

/// How many tokens a group may have.
public struct TokenBudget: Sendable, Equatable {
    /// At most so many rows × columns, padding included, of the source and of the target.
    public let tokens: Int
    /// Records of a pool: more give less padding and take longer to plan. Below 65,536.
    public let poolSize: Int

    public init(tokens: Int, poolSize: Int = 4096) {
        precondition(
            tokens > 0 && poolSize > 0 && poolSize < 1 << 16,
            "TokenBudget: \(tokens) tokens, pools of \(poolSize) records")
        (self.tokens, self.poolSize) = (tokens, poolSize)
    }

    public func poolCount(records: Int) -> Int { (records + poolSize - 1) / poolSize }
}

/// The groups of a source of pairs.
public struct PairGroups: Sendable {
    let records: any RecordSource
    let view: PairView
    let budget: TokenBudget
    /// The number of the first group of each pool, and of all groups.
    private let starts: [Int]
    private let plans = PlanCache()

    /// - Parameter counts: groups of each pool as `groupCounts` gives them; where they aren't given, they are counted
    ///   now. They must be those of these records, this view and this budget.
    public init(
        records: any RecordSource, view: PairView, budget: TokenBudget, counts: [Int]? = nil
    ) throws(DatasetError) {
        guard records.count > 0 else {
            throw DatasetError(.tooSmall, "records: expected at least 1 pair, found 0")
        }
        let pools = budget.poolCount(records: records.count)
        let counts =
            if let counts { counts } else {
                try PairGroups.groupCounts(
                    of: 0..<pools, records: records, view: view, budget: budget)
            }
        precondition(
            counts.count == pools, "PairGroups: counts of \(counts.count) pools for \(pools)")
        (self.records, self.view, self.budget) = (records, view, budget)
        starts = counts.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
    }

    /// The groups of each of some pools: ranks and threads may share the counting of all.
    public static func groupCounts(
        of pools: Range<Int>, records: any RecordSource, view: PairView, budget: TokenBudget
    ) throws(DatasetError) -> [Int] {
        var counts: [Int] = []
        for pool in pools {
            counts.append(
                try PoolPlan(pool, records: records, view: view, budget: budget).groupCount)
        }
        return counts
    }

    /// Number of groups.
    public var count: Int { starts[starts.count - 1] }

    /// No group has more rows.
    public var maximumRows: Int {
        let shown = view.shown(source: 0, target: 0)
        let columns = view.columns(source: shown.source, target: shown.target)
        return max(1, budget.tokens / max(columns.source, columns.target))
    }

    /// The records of a group, the shortest target first.
    public func members(of group: Int) throws(DatasetError) -> [Int] {
        precondition(group >= 0 && group < count, "PairGroups: group \(group) of \(count)")
        // The last pool that starts at or before the group.
        var (low, high) = (0, starts.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= group { low = middle } else { high = middle }
        }
        let plan: PoolPlan
        if let known = plans[low] {
            plan = known
        } else {
            plan = try PoolPlan(low, records: records, view: view, budget: budget)
            plans.insert(plan, for: low)
        }
        guard plan.groupCount == starts[low + 1] - starts[low] else {
            throw DatasetError(
                .mismatch,
                "records of pool \(low): expected \(starts[low + 1] - starts[low]) groups as at the "
                    + "start, found \(plan.groupCount); were the records changed?")
        }
        return plan.members(of: group - starts[low]).map { low * budget.poolSize + $0 }
    }

    func batch(_ group: Int, firstSequence: Int) throws(DatasetError) -> Batch {
        try view.batch(members(of: group), of: records, firstSequence: firstSequence)
    }
}

/// How a pool is cut.
struct PoolPlan: Sendable {
    /// Numbers within the pool, in the order of their lengths.
    private let order: [UInt16]
    /// Where each group starts in `order`, and its end.
    private let starts: [UInt16]

    init(
        _ pool: Int, records: any RecordSource, view: PairView, budget: TokenBudget
    ) throws(DatasetError) {
        let first = pool * budget.poolSize
        let range = first..<min(first + budget.poolSize, records.count)
        let lengths = try records.lengths(of: range, roles: [.source, .target])
        precondition(
            lengths.count == 2 * range.count,
            "PoolPlan: \(lengths.count) lengths of \(range.count) records")
        // Target, source and place in one number, so that sorting is comparing numbers; lengths are those that
        // the model is shown.
        let keys = range.indices.map { index in
            let place = index - range.lowerBound
            let (source, target) = view.shown(
                source: lengths[2 * place], target: lengths[2 * place + 1])
            return UInt64(target) << 40 | UInt64(source) << 16 | UInt64(place)
        }.sorted()
        var (starts, rows, source, target): ([UInt16], Int, Int, Int) = ([0], 0, 0, 0)
        for (index, key) in keys.enumerated() {
            let next = (source: Int(key >> 16 & 0xFF_FFFF), target: Int(key >> 40))
            (source, target) = (max(source, next.source), max(target, next.target))
            let columns = view.columns(source: source, target: target)
            rows += 1
            if rows > 1, rows * max(columns.source, columns.target) > budget.tokens {
                starts.append(UInt16(index))
                (rows, source, target) = (1, next.source, next.target)
            }
        }
        order = keys.map { UInt16($0 & 0xFFFF) }
        self.starts = starts + [UInt16(keys.count)]
    }

    var groupCount: Int { starts.count - 1 }

    func members(of group: Int) -> [Int] {
        order[Int(starts[group])..<Int(starts[group + 1])].map { Int($0) }
    }
}

/// The plans that were made last. What is in it changes how long an answer takes, and never the answer. Its state is
/// only touched under `lock`.
private final class PlanCache: @unchecked Sendable {
    private static let capacity = 64
    private let lock = NSLock()
    private var plans: [(pool: Int, plan: PoolPlan)] = []
    private var next = 0

    subscript(pool: Int) -> PoolPlan? {
        lock.withLock { plans.first { $0.pool == pool }?.plan }
    }

    /// The oldest gives way.
    func insert(_ plan: PoolPlan, for pool: Int) {
        lock.withLock {
            if plans.count < PlanCache.capacity {
                plans.append((pool, plan))
            } else {
                plans[next] = (pool, plan)
                next = (next + 1) % PlanCache.capacity
            }
        }
    }
}

/// Training batches of pairs of about the same length: a sample of the order, and so a sequence of the layout, is a
/// group, and a micro-batch is one group. Each record comes once an epoch.
public struct GroupedPairBatches: BatchSource {
    public let layout: BatchLayout
    public let order: RecordOrder
    private let groups: PairGroups

    /// Expects at least as many groups as a step has.
    ///
    /// - Parameter groupsPerStep: micro-batches of a step.
    public init(groups: PairGroups, groupsPerStep: Int, seed: UInt64) throws(DatasetError) {
        guard groups.count >= groupsPerStep else {
            throw DatasetError(
                .tooSmall,
                "training pairs: expected at least one step, \(groupsPerStep) groups of up to "
                    + "\(groups.budget.tokens) tokens, found \(groups.count) in "
                    + "\(groups.records.count) pairs; use more pairs or a smaller budget")
        }
        layout = BatchLayout(sequences: groupsPerStep, microBatch: 1)
        order = RecordOrder(count: groups.count, seed: seed, .groups)
        self.groups = groups
    }

    /// The first sequence is numbered as if all groups before it were as large as can be, so that no two rows of a step
    /// have the same number.
    public func trainingBatch(position: Int, microBatch: Int) throws(DatasetError) -> Batch {
        let sequences = layout.sequences(ofMicroBatch: microBatch)
        return try groups.batch(
            order.record(ofSample: position + sequences.lowerBound),
            firstSequence: sequences.lowerBound * groups.maximumRows)
    }

    public func targetWeight(position: Int) -> Double? { nil }

    public func blank(rows: Int) -> Batch { groups.view.blank(rows: rows) }
}

/// Evaluation batches of the same: each group once.
public struct GroupedPairEvaluationBatches: EvaluationSource {
    private let groups: PairGroups

    public init(groups: PairGroups) { self.groups = groups }

    public var batchCount: Int { groups.count }

    public func evaluationBatch(_ index: Int) throws(DatasetError) -> Batch {
        try groups.batch(index, firstSequence: index * groups.maximumRows)
    }
}
