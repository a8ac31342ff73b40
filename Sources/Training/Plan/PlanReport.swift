import Datasets
import Foundation
import Kernels

/// What is expected of the machine: the plan's work at a measured rate.
public struct PlanSpeed: Sendable, Equatable, Encodable {
    /// Fused multiply-adds in registers with all the threads of all ranks that this machine has processors for.
    public let peakFlopsPerSecond: Double
    /// Model FLOP/s over that peak, as the width leads to expect.
    public let expectedRatio: Double
    public let tokensPerSecond: Double
    public let stepSeconds: Double
    public let runSeconds: Double
}

extension Plan {
    /// Model FLOP/s over the peak, as measured on Zen 4: 0.48 at a width of 64, 0.53 at 128, 0.66 at 256; from 384
    /// to 768 0.65 to 0.77 on three processors. What is not a product grows with the width, products with its
    /// square.
    static func expectedRatio(width: Double) -> Double { 0.78 * width / (width + 48) }

    /// - Parameter peak: of all ranks together, FLOP/s.
    public func speed(peak: Double) -> PlanSpeed {
        let ratio = Plan.expectedRatio(width: productWidth)
        let tokens = peak * ratio / (flopsPerToken + repeatedFlopsPerToken)
        return PlanSpeed(
            peakFlopsPerSecond: peak, expectedRatio: ratio, tokensPerSecond: tokens,
            stepSeconds: tokensPerStep / tokens, runSeconds: Double(steps) * tokensPerStep / tokens)
    }
}

/// A plan with where its figures come from: what `murmur plan` prints.
public struct PlanReport: Sendable, Encodable {
    public let plan: Plan
    public let speed: PlanSpeed
    public let limitBytes: Int?
    public let vocabularySource: String
    private let limit: MemoryLimit?
    private let usesMatrixUnit: Bool

    private enum CodingKeys: CodingKey { case plan, speed, limitBytes, vocabularySource }

    /// Plans `ranks` ranks on this machine and measures its peak, which takes a moment.
    ///
    /// A character tokenizer's vocabulary is that of the data, which is opened for it.
    public init(_ configuration: RunConfiguration, ranks: Int) throws(RunError) {
        try checkMachine()
        do throws(ConfigurationError) {
            _ = try configuration.check(ranks: ranks, readsData: false)
        } catch {
            throw RunError(error)
        }
        let threads = configuration.run.threads ?? ProcessorShare(ranks: ranks).threads
        let (vocabulary, source) = try configuration.plannedVocabulary()
        limit = .current
        usesMatrixUnit = configuration.precision.storage == .bfloat16 && MatrixUnit.isUsed
        plan = Plan(
            configuration, vocabulary: vocabulary, ranks: ranks, threads: threads,
            ranksHere: ranks, limit: limit)
        (limitBytes, vocabularySource) = (limit?.bytes, source)
        let used = min(ranks * threads, AvailableProcessors.count)
        Threads.start(max(1, used))
        speed = plan.speed(peak: kernels.peakFlopsPerSecond())
    }

    /// Throws where the ranks do not fit into this machine's memory.
    public func requireMemory() throws(RunError) {
        try plan.requireMemory(ranksHere: plan.ranks, limit: limit)
    }

    /// One line.
    public var json: String { get throws { try reportJSON } }

    /// As people read it.
    public var text: String {
        let parameters = plan.parameters
        var rows: [(String, String)] = [
            ("vocabulary", "\(plan.vocabulary) (\(vocabularySource))"),
            ("parameters", "\(parameters.total)"),
        ]
        rows += parameters.parts.map { ("  \($0.name)", "\($0.count)") }
        rows += [
            ("parameters a rank", "\(plan.heldParameters.total)"),
            ("memory a rank", Self.mebibytes(plan.memoryTotal)),
        ]
        for part in plan.memory.parts {
            let note =
                switch part.name {
                case "gradients": "  in buffers: \(plan.gradientBuffers)"
                case "checkpoint's copy":
                    plan.copiesState ? "" : "  a block of it: \(Plan.streaming)"
                default: ""
                }
            rows.append(("  \(part.name)", Self.mebibytes(part.bytes) + note))
        }
        if let limit { rows.append(("limit", "\(Self.mebibytes(limit.bytes)) \(limit.reason)")) }
        let (tokens, ratio) = (speed.tokensPerSecond, speed.expectedRatio)
        let again =
            plan.repeatedFlopsPerToken > 0
            ? String(format: ", and %.4g made again", plan.repeatedFlopsPerToken) : ""
        rows += [
            (
                "data × tensor",
                "\(plan.data) × \(plan.tensor) ranks of \(plan.threads) threads"
                    + (plan.sequence ? ", tokens split too" : "")
            ),
            ("FLOPs a token", String(format: "%.4g", plan.flopsPerToken) + again),
            ("tokens a step", String(format: "%.0f", plan.tokensPerStep)),
            (
                "peak",
                String(format: "%.4g GFLOP/s, measured", speed.peakFlopsPerSecond / 1e9)
                    + (InstructionSet.used.map { " with \($0.name)" } ?? "")
                    + (usesMatrixUnit ? "; the tiles do several times that" : "")
            ),
            (
                "tokens a second",
                String(format: "%.4g, if the run reaches %.0f %% of peak", tokens, 100 * ratio)
            ),
            ("a step", Self.duration(speed.stepSeconds)),
            ("\(plan.steps) steps", Self.duration(speed.runSeconds)),
        ]
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { name, value in
            "\(name.padding(toLength: width + 2, withPad: " ", startingAt: 0))\(value)"
        }.joined(separator: "\n")
    }

    private static func mebibytes(_ bytes: Int) -> String {
        String(format: "%9.1f MiB", Double(bytes) / 1_048_576)
    }

    private static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<120: String(format: "%.3g s", seconds)
        case ..<7200: String(format: "%.1f minutes", seconds / 60)
        case ..<172_800: String(format: "%.1f hours", seconds / 3600)
        default: String(format: "%.1f days", seconds / 86_400)
        }
    }
}

extension RunConfiguration {
    /// The number of symbols, and where it is from. Opens the data only where nothing else tells.
    func plannedVocabulary() throws(RunError) -> (size: Int, source: String) {
        if let size = model.shape.vocabulary { return (size, "model.vocabulary") }
        if !data.text.isEmpty && data.tokenizer == .byte {
            return (Tokenizer.byte(ByteTokenizer()).vocabularySize, "the byte tokenizer")
        }
        guard !data.isEmpty else { throw symbolsMissing }
        switch try openDataset().vocabulary {
        case .tokens(let tokenizer):
            return (tokenizer.vocabularySize, "the tokenizer of the data, which was opened for it")
        case .classes(let names):
            return (names.count, "the classes of the data, which were opened for it")
        }
    }
}
