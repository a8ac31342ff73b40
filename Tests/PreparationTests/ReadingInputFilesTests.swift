import Datasets
import Files
import Foundation
import Preparation
import TestSupport
import Testing

@Suite struct ReadingInputFilesTests {
    private static func files(_ count: Int, byteCount: Int = 100) -> [InputFile] {
        (0..<count).map {
            InputFile(
                path: "folder/\(String(1_000_000 + $0))", byteCount: byteCount,
                modificationNanoseconds: 0)
        }
    }

    @Test func namesTellTheFormat() {
        let names = [
            "a.jsonl", "A.JSON.GZ", "b.ndjson.zst", "c.csv.xz", "d.tsv", "e.po", "f.mo.gz", "g.txt",
            "h.json/i",
        ]
        #expect(
            names.map { SourceFormat.auto.resolved(for: $0) } == [
                .jsonl, .jsonl, .jsonl, .csv, .tsv, .gettext, .gettext, .text, .text,
            ])
        #expect(SourceFormat.text.resolved(for: "a.csv") == .text)
    }

    @Test func unitsHoldEveryFileOnce() {
        let files = Self.files(20_000)
        let units = InputFiles.units(of: files)
        #expect(units.flatMap(\.files) == files)
        #expect(units.allSatisfy { $0.files.count <= 4096 })
        // One path in 256 ends a unit.
        #expect((40...120).contains(units.count))
        for unit in units.dropLast() where unit.files.count < 4096 {
            let path = Array(unit.files[unit.files.count - 1].path.utf8)
            #expect(SHA256.digest(of: path)[0] == 0)
        }
    }

    @Test func aFileMoreChangesOneUnit() {
        var files = Self.files(20_000)
        let before = Set(InputFiles.units(of: files).map { $0.files.map(\.path) })
        files.insert(
            InputFile(path: "folder/1010000a", byteCount: 1, modificationNanoseconds: 0), at: 10_001
        )
        let after = Set(InputFiles.units(of: files).map { $0.files.map(\.path) })
        #expect(after.subtracting(before).count <= 2)
        #expect(after.intersection(before).count >= before.count - 2)
    }

    @Test func sizesEndUnits() {
        var files = Self.files(12, byteCount: 7 << 20)
        files[5] = InputFile(path: files[5].path, byteCount: 8 << 20, modificationNanoseconds: 0)
        let units = InputFiles.units(of: files)
        #expect(units.filter { $0.files == [files[5]] }.count == 1)
        #expect(units.allSatisfy { $0.byteCount < 32 << 20 })
        #expect(units.map(\.files.count) == [4, 1, 1, 4, 2])
    }

    @Test func filesAreFoundByTheirBytes() throws {
        let folder = try TemporaryFolder()
        let names = ["b", "a/é", "a/e\u{301}", "a\nb", ".hidden", "a/x/y"]
        for name in ["a", "a/x"] { mkdir(folder.file(name), 0o755) }
        for name in names { try folder.write(name, name) }
        symlink("..", folder.file("a/loop"))
        symlink("b", folder.file("link"))
        symlink("nowhere", folder.file("dead"))
        mkfifo(folder.file("pipe"), 0o600)
        let files = try InputFiles.files([folder.file("**/*"), folder.file("b")])
        let found = files.map { String($0.path.dropFirst(folder.path.count + 1)) }
        #expect(
            found.map { Array($0.utf8) }
                == ["a\nb", "a/e\u{301}", "a/x/y", "a/é", "b", "link"].map { Array($0.utf8) })
        #expect(
            files[0].byteCount == 3 && files[0].modificationNanoseconds > 1_500_000_000_000_000_000)
        expectProblem("a named pipe") { _ = try InputFiles.units([folder.file("pipe")]) }
        expectProblem("a link to nowhere") { _ = try InputFiles.units([folder.file("dead")]) }
        expectProblem("a folder") { _ = try InputFiles.units([folder.file("a")]) }
        let path = folder.path + "/bad"
        path.withCString { start in
            var name = Array(UnsafeBufferPointer(start: start, count: strlen(start)))
            name += [CChar(bitPattern: 0xFF), 0]
            close(open(name, O_CREAT | O_WRONLY, 0o600))
        }
        expectProblem("expected names in UTF-8", "rename it") {
            _ = try InputFiles.units([folder.file("*")])
        }
        #expect(try InputFiles.units([folder.file("a/*")]).count >= 1)
    }
}
