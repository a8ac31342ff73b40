// The report as one page of HTML that needs nothing else: counts at each stage, what was left out and why, with
// examples, and how long documents are.

import Files
import Foundation

struct ReportPage {
    private let report: PreparationReport
    private let configuration: PreparationConfiguration

    init(_ report: PreparationReport, configuration: PreparationConfiguration) {
        (self.report, self.configuration) = (report, configuration)
    }

    var html: String {
        """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"><title>Preparation</title>
        <style>\(ReportPage.style)</style></head><body>
        <h1>\(configuration.output.directory.htmlText)</h1>
        <h2>Stages</h2>\(stages)
        <h2>Left out</h2>\(losses)
        <h2>Changed</h2>\(changes)
        <h2>Lengths</h2>\(lengths)
        <h2>Examples of what was left out</h2>\(examples)
        <h2>Configuration</h2><pre>\(configuration.text.htmlText)</pre>
        </body></html>

        """
    }

    private static let style = """
        body { font: 15px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }
        table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: left; border-bottom: 1px solid #ccc; }
        td.number { text-align: right; font-variant-numeric: tabular-nums; } pre, q { white-space: pre-wrap; overflow-wrap: anywhere; }
        .bar { background: #456; height: .8em; display: inline-block; }
        """

    private var stages: String {
        let (read, cleaned, tokens) = (report.cleaning, report.cleaning.cleaning, report.tokens)
        var rows = [
            ("files", read.files), ("bytes on disk", read.readBytes),
            ("bytes unpacked", read.unpackedBytes), ("documents read", read.documents),
            ("documents after cleaning", cleaned.documentsOut),
            ("after contamination", read.kept),
            (
                "after duplicates",
                read.kept - tokens.exactDuplicates - tokens.nearDuplicates
            ),
        ]
        for split in PreparedSplit.allCases {
            rows.append(("\(split.rawValue): documents", tokens[split].documents))
            rows.append(("\(split.rawValue): tokens", tokens[split].tokens))
        }
        return table(rows)
    }

    private var losses: String {
        report.losses.isEmpty ? "<p>Nothing.</p>" : table(report.losses.map { ($0.name, $0.count) })
    }

    private var changes: String {
        let cleaned = report.cleaning.cleaning
        var rows = [
            ("texts normalised", cleaned.textsNormalized),
            ("control characters removed", cleaned.controlCharacters),
            ("texts repaired", cleaned.textsRepaired),
        ]
        rows += cleaned.linesRemoved.all.map { ("lines removed: \($0.key.rawValue)", $0.count) }
        rows += cleaned.redactions.all.map { ("redacted: \($0.key.rawValue)", $0.count) }
        return table(rows)
    }

    private var lengths: String {
        var histogram = LengthHistogram()
        for split in PreparedSplit.allCases { histogram += report.tokens[split].lengths }
        let most = max(1, histogram.counts.max() ?? 1)
        let rows = histogram.counts.enumerated().map { bucket, count in
            let width = Double(count) / Double(most) * 30
            return """
                <tr><td class="number">\(bucket == 0 ? 0 : 1 << bucket) – \((1 << (bucket + 1)) - 1)</td>\
                <td class="number">\(count)</td><td><span class="bar" style="width: \
                \(String(format: "%.2f", width))em"></span></td></tr>
                """
        }
        return "<table><tr><th>tokens</th><th>documents</th><th></th></tr>\(rows.joined())</table>"
    }

    private var examples: String {
        let rows = report.cleaning.examples.map { example in
            """
            <tr><td>\(example.reason.htmlText)</td><td>\(example.path.printable(most: 200).htmlText)<br>\
            document \(example.number)</td><td><q>\(example.text.htmlText)</q></td></tr>
            """
        }
        return rows.isEmpty
            ? "<p>None.</p>"
            : "<table><tr><th>rule</th><th>where</th><th>text</th></tr>\(rows.joined())</table>"
    }

    private func table(_ rows: [(String, Int)]) -> String {
        let rows = rows.map {
            "<tr><td>\($0.0.htmlText)</td><td class=\"number\">\($0.1)</td></tr>"
        }
        return "<table>\(rows.joined())</table>"
    }
}

extension String {
    /// As text of HTML.
    fileprivate var htmlText: String {
        replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
    }
}
