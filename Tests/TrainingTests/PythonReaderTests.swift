import Foundation
import TestSupport
import Testing

/// A Python that the reader can run in.
enum ReaderPython {
    /// An interpreter that has what the reader imports.
    static let path: String? = {
        let given = ProcessInfo.processInfo.environment["MURMUR_PYTHON"]
        let candidates = [given, "\(packageRoot)/.build/python/bin/python3"].compactMap { $0 }
        return candidates.first { path in
            guard FileManager.default.isExecutableFile(atPath: path) else { return false }
            let launch = try? Program(path: path).run(
                ["-c", "import numpy, safetensors, xxhash"])
            return launch?.exitCode == 0
        }
    }()
}

/// The reader of docs/checkpoint-format.md, which is Python and knows nothing but that page, reads what
/// runs have saved.
@Suite(
    .serialized,
    .enabled(
        if: ReaderPython.path != nil,
        "no Python with numpy, safetensors and xxhash in .build/python, where launch/test puts it, or in MURMUR_PYTHON"
    ))
struct PythonReaderTests {
    /// The only block of Python of the page.
    private func reader(_ folder: TemporaryFolder) throws -> String {
        let page = try String(
            contentsOfFile: "\(packageRoot)/docs/checkpoint-format.md", encoding: .utf8)
        let blocks = page.matches(of: #/```python\n((?:.|\n)*?)```\n/#)
        try #require(blocks.count == 1, "found \(blocks.count) blocks of Python")
        let code = String(blocks[0].1)
        #expect(code.split(separator: "\n").count <= 40, "the reader is to stay short")
        return try folder.write("reader.py", code)
    }

    @Test(arguments: [(nil, 1), (2, 1), (2, 2)] as [(Int?, Int)], [false, true])
    func itPrintsTheDigest(layout: (ranks: Int?, tensor: Int), hasLossScale: Bool) throws {
        let run = try RunFolder()
        let launch = try run.train(
            ranks: layout.ranks,
            settings: ["parallelism.tensor=\(layout.tensor)", "run.steps=3", "run.threads=1"]
                + (hasLossScale ? ["precision.loss_scale=dynamic"] : []))
        try #require(launch.exitCode == 0, "\(launch.summary)")
        let script = try reader(run.folder)
        let read = try python(script, run.checkpoint(3))
        #expect(read.exitCode == 0 && read.errors == "", "\(read.summary)")
        #expect(try read.output == run.digest(), "\(read.summary)")
        #expect(read.output.count == 65)
        guard layout.ranks != nil, !hasLossScale else { return }
        try expectDamageIsFound(run, script)
    }

    /// The control: a byte anywhere, and it refuses to print.
    private func expectDamageIsFound(_ run: RunFolder, _ script: String) throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: run.checkpoint(3))
        #expect(files.count == 5)
        for file in files {
            let path = URL(fileURLWithPath: "\(run.checkpoint(3))/\(file)")
            let sound = try Data(contentsOf: path)
            for index in [9, sound.count / 2, sound.count - 2] {
                var damaged = sound
                damaged[index] ^= 1
                try damaged.write(to: path)
                let read = try python(script, run.checkpoint(3))
                #expect(
                    read.exitCode != 0 && read.output == "",
                    "byte \(index) of \(file): \(read.summary)")
            }
            try sound.write(to: path)
        }
        #expect(try python(script, run.checkpoint(3)).exitCode == 0)
    }

    private func python(_ script: String, _ checkpoint: String) throws -> Launch {
        try Program(path: ReaderPython.path ?? "python3").run([script, checkpoint])
    }
}
