// `murmur bench --generation`: how fast one text is continued, beside how fast the weights are read.

import Communication
import Decoding
import Foundation
import Kernels
import Models

/// What generation found; the JSON keys are a contract. Medians of the rounds.
public struct GenerationRates: Sendable, Encodable {
    /// New tokens of one text a second, the prompt's own time left out.
    public var generationTokensPerSecond: Double
    /// Seconds from a token to the next.
    public var tokenSeconds: Double
    /// Of all weights as they are stored: each token needs them once.
    public var weightBytes: Int
    /// At which the same threads read those weights and do nothing else.
    public var readBytesPerSecond: Double
    /// Time to read the weights over the time of a token, of the same round.
    public var readRatio: Double

    public var json: String { get throws { try reportJSON } }
}

private let promptLength = 16
private let newTokens = 128
private let mostRounds = 7
/// After which no round begins.
private let secondsToTake = 120.0

/// Continues a text of pseudo-random tokens with new weights, always with the most probable token, in turn with plain
/// reads of the weights. One rank.
public func benchGeneration(
    _ configuration: RunConfiguration, world: World
) throws(RunError) -> GenerationRates {
    guard world.size == 1 else {
        throw RunError(.usage, "--generation: expected one rank, found \(world.size)")
    }
    try configuration.startThreads(world)
    guard
        let model = try configuration.makeModel(
            symbols: configuration.symbols(ofData: nil)) as? any Generative
    else {
        throw RunError(
            .usage,
            "model.family: expected one that continues texts, found "
                + configuration.model.family.rawValue)
    }
    let tokens = min(newTokens, model.contextLength - promptLength)
    guard tokens > 1 else {
        throw RunError(
            .usage,
            "--generation: expected a context of more than \(promptLength + 1) tokens, found "
                + "\(model.contextLength)")
    }
    let replica = try configuration.makeReplica(of: model, world: world)
    try communicating { () throws(CommunicationError) in
        try replica.initialize(seed: configuration.run.seed)
    }
    let weights = model.parameters.map(\.leaf.value.buffer)
    let blocks = weights.map { UnsafeRawBufferPointer(start: $0.bytes, count: $0.byteCount) }
    let stream = RandomStream(seed: configuration.run.seed, stream: 0)
    let classes = model.output.classCount
    let prompt = (0..<promptLength).map {
        Int32(min(classes - 1, Int(stream.uniform(at: UInt64($0)) * Double(classes))))
    }
    let generation = Generation(count: tokens, sampling: Sampling(temperature: 0))
    var rounds: [(token: Double, read: Double)] = []
    let start = ContinuousClock.now
    // The first round takes its memory from the system.
    for round in 0...mostRounds where round < 2 || start.secondsSince < secondsToTake {
        let read = median((0..<3).map { _ in kernels.secondsToRead(blocks) })
        var instants: [ContinuousClock.Instant] = []
        _ = generate(model, prompts: [prompt], generation) { _, _ in
            instants.append(.now)
            return true
        }
        let elapsed = (instants[instants.count - 1] - instants[0]).inSeconds
        if round > 0 { rounds.append((elapsed / Double(instants.count - 1), read)) }
    }
    withExtendedLifetime(weights) {}
    let bytes = weights.reduce(0) { $0 + $1.byteCount }
    let token = median(rounds.map(\.token))
    return GenerationRates(
        generationTokensPerSecond: 1 / token, tokenSeconds: token, weightBytes: bytes,
        readBytesPerSecond: Double(bytes) / median(rounds.map(\.read)),
        readRatio: median(rounds.map { $0.read / $0.token }))
}

extension ContinuousClock.Instant {
    fileprivate var secondsSince: Double { (.now - self).inSeconds }
}
