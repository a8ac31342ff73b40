import ArgumentParser
import Foundation
import Training

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Times training steps and the machine's matrix product, and prints their ratio.",
        discussion: """
            Pseudo-random tokens, no data. Model FLOPs are 6 a parameter and token, and 12 · layers · \
            context · width a token, as in the PaLM paper; the rate that they are compared with is \
            OpenBLAS's own, measured between the steps.
            """)

    @OptionGroup var arguments: ConfigurationArguments

    @Flag(help: "Prints one line of JSON.")
    var json = false

    @Option(help: ArgumentHelp("Steps to time, after 2 that warm up.", valueName: "n"))
    var steps = 8

    func validate() throws {
        if steps < 1 { throw ValidationError("--steps: expected a number from 1, found \(steps)") }
    }

    func run() throws {
        let configuration = try arguments.load(readsData: false)
        try withWorld(
            timeout: configuration.run.communicationTimeout, configuration: configuration
        ) { world throws(RunError) in
            let result = try bench(configuration, steps: steps, world: world)
            if world.isFirst { try show(result) }
        }
    }

    private func show(_ result: BenchResult) throws(RunError) {
        guard !json else {
            do {
                return print(try result.json)
            } catch {
                throw RunError(.divergence, "bench: expected finite figures, found \(result)")
            }
        }
        print(
            """
            step           \(Self.number(result.stepSeconds)) s
            tokens         \(Self.number(result.tokensPerSecond)) a second
            model          \(Self.number(result.modelFlopsPerSecond / 1e9)) GFLOP/s
            sgemm          \(Self.number(result.sgemmFlopsPerSecond / 1e9)) GFLOP/s
            ratio          \(Self.number(result.ratio))
            communication  \(Self.number(100 * result.communicationShare)) % of a step
            memory         \(Self.number(Double(result.peakRssBytes) / 1_073_741_824)) GiB a rank
            layout         \(result.worldSize) ranks of \(result.threads) threads
            """)
    }

    private static func number(_ value: Double) -> String { String(format: "%.4g", value) }
}
