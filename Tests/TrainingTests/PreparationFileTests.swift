import Foundation
import Preparation
import Testing
import Training

private let root = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

@Suite struct PreparationFileTests {
    /// With MURMUR_WRITE_DOCS set the page is brought up to date first.
    @Test func pageHoldsTheTableOfKeys() throws {
        let page = root.appending(path: "docs/preparation.md")
        let heading = "-->\n"
        let table = PreparationConfiguration.documentation
        if ProcessInfo.processInfo.environment["MURMUR_WRITE_DOCS"] != nil {
            let text = try String(contentsOf: page, encoding: .utf8)
            let end = try #require(text.range(of: heading, options: .backwards)?.upperBound)
            try Data((text[..<end] + "\n" + table).utf8).write(to: page)
        }
        let text = try String(contentsOf: page, encoding: .utf8)
        #expect(text.hasSuffix(heading + "\n" + table))
    }

    @Test func allProblemsAreToldWithTheirLines() {
        let error = #expect(throws: ConfigurationError.self) {
            try PreparationConfiguration.parse(
                yaml: """
                    input:
                      files: [a]
                      kind: poems
                      fields: ["text"]
                    quality: { rules: [gopher_quality, gopher_quality] }
                    duplicates: { near: true, treshold: 0.8 }
                    outputs: { directory: b }
                    """, file: "p.yaml", overrides: ["output.validation_fraction=1"])
        }
        let lines = error?.lines ?? []
        #expect(lines.count == 7)
        for (start, part) in [
            ("p.yaml:3: input.kind: ", "found poems"),
            ("p.yaml:4: input.fields: ", "of which element 1 is"),
            ("p.yaml:5: quality.rules: ", "element 2, gopher_quality, is there twice"),
            ("p.yaml:6: duplicates.treshold: ", "the nearest is duplicates.threshold"),
            ("p.yaml:7: ", "the nearest is output"),
            ("--set: output.validation_fraction: ", "below 1"),
            ("p.yaml: output.directory: ", "found nothing"),
        ] {
            #expect(
                lines.contains { $0.hasPrefix(start) && $0.contains(part) }, "\(start): \(lines)")
        }
    }

    @Test func conditionsBetweenKeysAreChecked() {
        for keys in [
            "output: { directory: b, validation_fraction: 0.6, test_fraction: 0.5 }",
            "output: { directory: b }\nlanguage: { allowed: [de] }",
            "output: { directory: . }", "output: { directory: / }", "output: { directory: a/../ }",
        ] {
            #expect(throws: ConfigurationError.self) {
                try PreparationConfiguration.parse(yaml: "input: { files: [a] }\n" + keys)
            }
        }
        for keys in ["targets: [b]", "classes: [x]"] {
            #expect(throws: ConfigurationError.self) {
                try PreparationConfiguration.parse(
                    yaml: "input: { files: [a], \(keys) }\noutput: { directory: c }")
            }
        }
        let error = #expect(throws: ConfigurationError.self) {
            try PreparationConfiguration.parse(
                yaml: "input: { files: [] }\noutput: { directory: c }", file: "p.yaml")
        }
        #expect(error?.lines.count == 1)
        #expect(error?.lines.first?.hasPrefix("p.yaml:1: input.files: ") == true)
    }
}
