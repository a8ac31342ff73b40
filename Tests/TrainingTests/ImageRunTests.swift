import Foundation
import TestSupport
import Testing
import Training

/// A model of images from its training to its export, on files of the fixtures.
@Suite(.serialized) struct ImageRunTests {
    private static let images = Result { () -> TemporaryFolder in
        let folder = try TemporaryFolder()
        let source = "\(packageRoot)/Tests/Fixtures/images"
        for (number, name) in ["colours.png", "colours.jpg", "grey.png", "palette.png"].enumerated()
        {
            for copy in 0..<6 {
                let place = folder.file("pictures/\(number % 2 == 0 ? "birds" : "trees")")
                try FileManager.default.createDirectory(
                    atPath: place, withIntermediateDirectories: true)
                try FileManager.default.copyItem(
                    atPath: "\(source)/\(name)", toPath: "\(place)/\(copy)-\(name)")
            }
        }
        return folder
    }

    private static func train(
        _ folder: String, ranks: Int? = nil, settings: [String] = [], _ arguments: [String] = []
    ) throws -> Launch {
        let file = try images.get().file("vit.yaml")
        let text = """
            run: { directory: r, seed: 3, steps: 6 }
            model: { family: vit, image_size: 8, patch_size: 4, layers: 2, heads: 4, width: 20, dropout: 0.1 }
            data: { images: \(try images.get().file("pictures")), validation_fraction: 0.25, crop_padding: 1, flip: true }
            batch: { sequences: 8, micro_batch: 2 }
            numerics: { slices: 4, groups: 4 }
            optimizer: { learning_rate: 3e-3 }
            evaluation: { every: 3, micro_batch: 2 }
            checkpoint: { every: 3 }
            """
        try text.write(toFile: file, atomically: true, encoding: .utf8)
        let all = ["run.directory=\(folder)"] + settings
        return try murmur(
            ["train", file] + all.flatMap { ["--set", $0] } + arguments, ranks: ranks)
    }

    private func digest(_ folder: String) throws -> String {
        try murmur(["checkpoint", "digest", folder]).output
    }

    @Test func itHasTheBitsOfOneProcessAndGoesOn() throws {
        let folder = try Self.images.get()
        let (one, two) = (folder.file("one"), folder.file("two"))
        let alone = try Self.train(one)
        #expect(alone.exitCode == 0, "\(alone.summary)")
        #expect((alone.output + alone.errors).contains("18 training images, 2 classes"))
        let half = try Self.train(two, ranks: 2, ["--stop-at", "3"])
        #expect(half.exitCode == 0, "\(half.summary)")
        let rest = try Self.train(
            two, ranks: 4, settings: ["parallelism.tensor=2", "parallelism.sequence=true"],
            ["--resume"])
        #expect(rest.exitCode == 0, "\(rest.summary)")
        #expect(try digest(one) == digest(two))
        let other = try Self.train(folder.file("other"), settings: ["data.flip=false"])
        #expect(other.exitCode == 0)
        #expect(try digest(folder.file("other")) != digest(one), "control")

        let figures = try [nil, 3].map {
            try murmur(["evaluate", "--checkpoint", one], ranks: $0)
        }
        #expect(figures[0].output == figures[1].output, "\(figures[1].summary)")
        #expect(figures[0].output.contains("nats an image  accuracy "))
        #expect(figures[0].output.hasSuffix("over 6 images\n"), "\(figures[0].summary)")

        let text = try murmur(["generate", "--checkpoint", one])
        #expect(text.exitCode == 2)
        #expect(text.errors.contains("expected one that reads texts, found vit"), "\(text.errors)")

        // There and back: names of classes and normalisation too.
        let export = try murmur(["checkpoint", "export", one, folder.file("out")])
        #expect(export.exitCode == 0, "\(export.summary)")
        let settings = try String(contentsOfFile: folder.file("out/config.json"), encoding: .utf8)
        #expect(
            settings.contains("\"id2label\": {\"0\": \"birds\", \"1\": \"trees\"}"), "\(settings)")
        let back = try murmur(["checkpoint", "import", folder.file("out"), folder.file("back")])
        #expect(back.exitCode == 0, "\(back.summary)")
        let again = try murmur(
            ["checkpoint", "export", folder.file("back"), folder.file("again")])
        #expect(again.exitCode == 0, "\(again.summary)")
        for name in ["model.safetensors", "config.json", "preprocessor_config.json"] {
            let files = ["out", "again"].map {
                FileManager.default.contents(atPath: folder.file("\($0)/\(name)"))
            }
            #expect(files[0] != nil && files[0] == files[1], "\(name)")
        }
    }

    @Test func otherImagesAreAnotherRunsData() throws {
        let folder = try Self.images.get()
        let first = try Self.train(folder.file("three"), settings: ["run.steps=3"])
        #expect(first.exitCode == 0, "\(first.summary)")
        let changed = try Self.train(
            folder.file("three"), settings: ["data.validation_fraction=0.5"],
            ["--resume", "--override", "data.validation_fraction"])
        #expect(changed.exitCode == 0, "named, it may change: \(changed.summary)")
        let missing = try Self.train(
            folder.file("four"), settings: ["data.images=\(folder.file("none"))"])
        #expect(missing.exitCode == 3 && missing.errorLines.count == 1, "\(missing.summary)")
        let nothing = try Self.train(folder.file("five"), settings: ["data.images=auto"])
        #expect(nothing.exitCode == 2, "\(nothing.summary)")
        #expect(nothing.errors.contains("data.images: expected a folder or an array of images"))
    }
}
