import Configuration
import Foundation
import Preparation
import Testing
import Training

/// The repository's root.
private let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

@Suite struct ConfigurationDocumentationTests {
    /// With MURMUR_WRITE_DOCS set the page is brought up to date first.
    @Test func pageHoldsTheTableOfKeys() throws {
        let page = root.appending(path: "docs/configuration.md")
        let heading = "-->\n"
        if ProcessInfo.processInfo.environment["MURMUR_WRITE_DOCS"] != nil {
            let text = try String(contentsOf: page, encoding: .utf8)
            let end = try #require(text.range(of: heading, options: .backwards)?.upperBound)
            try Data((text[..<end] + "\n" + ConfigurationKey.documentation).utf8).write(to: page)
        }
        let text = try String(contentsOf: page, encoding: .utf8)
        #expect(text.hasSuffix(heading + "\n" + ConfigurationKey.documentation))
        for key in ConfigurationKey.all { #expect(text.contains("| `\(key.path)` |")) }
    }

    private static let names =
        (try? FileManager.default.subpathsOfDirectory(
            atPath: root.appending(path: "configs").path))?.filter { $0.hasSuffix(".yaml") } ?? []

    @Test(arguments: names) func configurationsOfTheRepositoryLoad(name: String) throws {
        let path = root.appending(path: "configs/\(name)").path
        guard try !PreparationConfiguration.describes(file: path) else {
            _ = try PreparationConfiguration.load(file: path)
            return
        }
        let configuration = try RunConfiguration.load(file: path)
        #expect(try RunConfiguration.parse(yaml: configuration.yaml) == configuration)
        // A configuration without data is there to be measured, on one rank at first.
        let trains = !configuration.data.isEmpty
        for count in trains ? [1, 2, 4] : [1] {
            #expect(try configuration.check(ranks: count, readsData: trains) == [])
        }
    }

    @Test func configurationsAreThere() { #expect(Self.names.count >= 5) }

    @Test func benchDividesOverTwoRanks() throws {
        let configuration = try RunConfiguration.load(
            file: root.appending(path: "configs/gpt2-124m.yaml").path,
            overrides: ["batch.micro_batch=2"])
        #expect(try configuration.check(ranks: 2, readsData: false) == [])
    }

    /// The example of the documentation is read as it stands.
    @Test func exampleOfThePageLoads() throws {
        let page = root.appending(path: "docs/configuration.md")
        let parts = try String(contentsOf: page, encoding: .utf8).components(separatedBy: "```")
        let example = try #require(parts.first { $0.hasPrefix("yaml\n") }).dropFirst(5)
        #expect(throws: Never.self) { try RunConfiguration.parse(yaml: String(example)) }
    }
}
