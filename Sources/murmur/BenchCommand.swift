import ArgumentParser
import Foundation
import Training

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Times training steps and the processor's peak, and prints their ratio.",
        discussion: """
            Pseudo-random tokens, no data. Model FLOPs are 6 a parameter and token, and 12 · layers · \
            context · width a token, as in the PaLM paper. They are compared with the peak rate of fused \
            multiply-adds in registers, and with OpenBLAS's product, both measured between the steps.
            """)

    @OptionGroup var arguments: ConfigurationArguments

    @Flag(help: "Prints one line of JSON.")
    var json = false

    @Flag(help: "Also says where the time of a step goes, on standard error.")
    var profile = false

    @Flag(help: "Also saves checkpoints in the run directory, and removes them.")
    var saves = false

    @Flag(help: "Times the generation of a text instead of steps, beside reading the weights.")
    var generation = false

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Steps to time, after 2 that warm up. (default: 8)", valueName: "n"),
        transform: wholeNumber)
    var steps = 8

    func validate() throws {
        if generation && (profile || saves) {
            throw ValidationError("--generation: expected neither --profile nor --saves, found one")
        }
        if steps < 1 { throw ValidationError("--steps: expected a number from 1, found \(steps)") }
    }

    func run() throws {
        let configuration = try arguments.load(readsData: false)
        try withWorld(
            timeout: configuration.run.communicationTimeout,
            options: [
                SharedValue("command", "bench"), SharedValue("--steps", "\(steps)"),
                SharedValue("--generation", "\(generation)"),
                SharedValue("--profile", "\(profile)"), SharedValue("--saves", "\(saves)"),
            ], configuration: configuration
        ) { world throws(RunError) in
            if generation {
                let rates = try benchGeneration(configuration, world: world)
                return try show(rates)
            }
            let result = try bench(
                configuration, steps: steps, profiles: profile, saves: saves, world: world)
            if world.isFirst { try show(result) }
        }
    }

    private func show(_ result: BenchResult) throws(RunError) {
        if let rows = result.profile { Report.table(BenchCommand.table(rows)) }
        guard !json else {
            do {
                return print(try result.json)
            } catch {
                throw RunError(.divergence, "bench: expected finite figures, found \(result)")
            }
        }
        showSteps(result)
        if let saves = result.saves { showSaves(saves) }
    }

    private func show(_ rates: GenerationRates) throws(RunError) {
        guard !json else {
            do {
                return print(try rates.json)
            } catch {
                throw RunError(.divergence, "bench: expected finite figures, found \(rates)")
            }
        }
        print(
            """
            token          \(Self.number(rates.tokenSeconds * 1e3)) ms, \
            \(Self.number(rates.generationTokensPerSecond)) tokens/s
            weights        \(Self.number(Double(rates.weightBytes) / 1e6)) MB, read at \
            \(Self.number(rates.readBytesPerSecond / 1e9)) GB/s
            of that        \(Self.number(rates.readRatio))
            """)
    }

    private func showSaves(_ saves: SaveRates) {
        let share = saves.saveBytesPerSecond / saves.diskBytesPerSecond
        print(
            """
            save           \(Self.number(Double(saves.saveBytes) / 1e9)) GB, steps wait \
            \(Self.number(saves.savePauseSeconds)) s
            saving         \(Self.number(saves.saveBytesPerSecond / 1e9)) GB/s, \
            \(Self.number(100 * share)) % of the disk's \
            \(Self.number(saves.diskBytesPerSecond / 1e9))
            digest         \(Self.number(saves.digestBytesPerSecond / 1e9)) GB/s
            """)
    }

    private func showSteps(_ result: BenchResult) {
        print(
            """
            step           \(Self.number(result.stepSeconds)) s
            tokens         \(Self.number(result.tokensPerSecond)) a second
            model          \(Self.number(result.modelFlopsPerSecond / 1e9)) GFLOP/s
            peak           \(Self.number(result.peakFlopsPerSecond / 1e9)) GFLOP/s, of which \
            \(Self.number(100 * result.peakRatio)) %\(result.instructions.map { ", with \($0)" } ?? "")
            sgemm          \(Self.sgemm(result))
            bandwidth      \(Self.number(result.memoryBytesPerSecond / 1e9)) GB/s
            communication  \(Self.number(100 * result.communicationShare)) % of a step
            memory         \(Self.number(Double(result.peakRssBytes) / 1_073_741_824)) GiB a rank
            layout         \(result.data) × \(result.tensor) ranks of \(result.threads) threads (data × tensor)
            """)
    }

    private static func sgemm(_ result: BenchResult) -> String {
        guard let rate = result.sgemmFlopsPerSecond.value, let ratio = result.ratio.value else {
            return result.note ?? "not measured"
        }
        return "\(number(rate / 1e9)) GFLOP/s, of which \(number(100 * ratio)) %"
    }

    /// One line a kind of work, and their sum.
    private static func table(_ rows: [ProfileRow]) -> [String] {
        func line(_ cells: [String]) -> String {
            let name = cells[0].padding(toLength: 38, withPad: " ", startingAt: 0)
            let direction = cells[1].padding(toLength: 10, withPad: " ", startingAt: 0)
            let numbers = cells.dropFirst(2).map {
                String(repeating: " ", count: max(1, 10 - $0.count)) + $0
            }
            return name + direction + numbers.joined()
        }
        func cell(_ value: Double?, _ format: String) -> String {
            value.map { String(format: format, $0) } ?? ""
        }
        let heads = [
            "training thread", "", "ms a step", "% of it", "calls", "GFLOP/s", "% of peak", "GB/s",
        ]
        let sum = rows.reduce(0) { $0 + $1.milliseconds }
        return [line(heads)]
            + rows.map {
                line([
                    $0.name, $0.direction, cell($0.milliseconds, "%.3f"),
                    cell(100 * $0.share, "%.1f"),
                    cell($0.calls, "%.4g"), cell($0.gflopsPerSecond, "%.1f"),
                    cell($0.shareOfPeak.map { 100 * $0 }, "%.0f"),
                    cell($0.gigabytesPerSecond, "%.1f"),
                ])
            } + [line(["step", "", cell(sum, "%.3f")])]
    }

    private static func number(_ value: Double) -> String { String(format: "%.4g", value) }
}
