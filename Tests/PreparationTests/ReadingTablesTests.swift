import Datasets
import Preparation
import Testing

@Suite struct ReadingTablesTests {
    private static func read(
        _ text: String, as name: String = "a.csv", _ kind: RecordKind = .text,
        _ change: (inout ReadingOptions) -> Void = { _ in }
    ) throws -> Reading {
        try Reading(text, as: name) {
            $0.fields.kind = kind
            change(&$0)
        }
    }

    @Test func quotedFieldsHoldAnything() throws {
        let reading = try Self.read(
            "id,text,\"url\"\r\n1,\"a, \"\"b\"\"\r\nc\",u\r\n\r\n2,5\" disk,\r\n3,\"\",\r\n4,last,v"
        )
        #expect(reading.texts == ["a, \"b\"\r\nc", "5\" disk", "last"])
        #expect(reading.documents.map(\.address) == ["u", nil, "v"])
        #expect(reading.counts[.empty] == 1)
    }

    @Test func columnsOfTabsAreNotQuoted() throws {
        let reading = try Self.read("text\tlabel\n\"a\t1\nb \\t\t0\n", as: "a.TSV.gz", .labelled)
        #expect(reading.texts == ["\"a", "b \\t"] && reading.documents.map(\.label) == [1, 0])
    }

    @Test func faultsAreNamedByTheirLine() throws {
        let start = "id,text\n1,\"a\nb\"\n"
        expectProblem("a.csv: line 4: expected 2 columns as in the first row, found 3") {
            _ = try Self.read(start + "1,2,3\n")
        }
        expectProblem("line 4: expected ',' behind the quotation mark") {
            _ = try Self.read(start + "1,\"a\"b\"\n")
        }
        expectProblem("line 4: expected a quotation mark that ends a field") {
            _ = try Self.read(start + "1,\"a\n2,b\n")
        }
        expectProblem("line 4: expected a quotation mark that ends a field") {
            _ = try Self.read(start + "1,\"a" + String(repeating: "\n2,b", count: 1000)) {
                $0.limits.documentBytes = 100
            }
        }
        expectProblem("line 1: expected columns named \"source\", found \"text\", \"target\"") {
            _ = try Self.read("text,target\n", .pairs)
        }
        let dropped = try Self.read(start + "1,2,3\n2,c\n") { $0.malformed = .drop }
        #expect(dropped.texts == ["a\nb", "c"] && dropped.counts[.malformed] == 1)
    }

    @Test func recordsComeFromColumns() throws {
        let table = "prompt,response,chosen,rejected\np,r,c,d\n"
        #expect(try Self.read(table, .conversations).parts == [["prompt: p\n", "response: r"]])
        #expect(
            try Self.read(table, .preferences).parts == [
                ["prompt: p\n", "chosen: c", "rejected: d"]
            ])
    }
}
