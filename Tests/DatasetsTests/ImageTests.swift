import Datasets
import Foundation
import Testing

/// Images beside Pillow's and NumPy's reading of them: Tests/Fixtures/images, made by Tests/Fixtures/images.py.
@Suite struct ImageTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Fixtures/images").path

    private static func file(_ name: String) -> String { "\(folder)/\(name)" }

    private static let expected: [String: [Float]] = {
        let data = FileManager.default.contents(atPath: file("expected.json")) ?? Data()
        return (try? JSONDecoder().decode([String: [Float]].self, from: data)) ?? [:]
    }()

    private func distance(_ found: [Float], _ expected: [Float]) -> Float {
        guard found.count == expected.count else { return .infinity }
        return zip(found, expected).reduce(0) { max($0, abs($1.0 * 255 - $1.1)) }
    }

    @Test(arguments: [
        ("colours.png", 3), ("opaque.png", 3), ("palette.png", 3), ("grey.png", 1),
        ("colours.jpg", 3),
    ])
    func filesAreRead(name: String, channels: Int) throws {
        let picture = try Picture(path: Self.file(name), channels: channels)
        let expected = try #require(Self.expected[name])
        #expect(picture.height == 9 && picture.width == 14 && picture.channels == channels)
        // Two decoders of a JPEG may round otherwise.
        let limit: Float = name.hasSuffix("jpg") ? 2.01 : 0.01
        #expect(distance(picture.values, expected) < limit)
        #expect(distance(picture.values.reversed(), expected) > 20, "control")
    }

    @Test(arguments: [(5, 4), (28, 18), (14, 4)])
    func sizesAreThoseOfPillow(width: Int, height: Int) throws {
        let picture = try Picture(path: Self.file("colours.png"), channels: 3)
        let found = picture.resized(height: height, width: width)
        let expected = try #require(Self.expected["\(width)x\(height)"])
        #expect(distance(found.values, expected) < 0.01)
        #expect(distance(found.values.reversed(), expected) > 20, "control")
    }

    @Test func patchesAreThoseOfAConvolution() {
        // Two channels: tens, and hundreds.
        let picture = Picture(
            channels: 2, height: 4, width: 4,
            values: (0..<16).flatMap { [Float($0), Float(100 + $0)] })
        #expect(
            picture.patches(2) == [
                0, 1, 4, 5, 100, 101, 104, 105, 2, 3, 6, 7, 102, 103, 106, 107,
                8, 9, 12, 13, 108, 109, 112, 113, 10, 11, 14, 15, 110, 111, 114, 115,
            ])
    }

    @Test func transformsArePureFunctions() throws {
        let picture = try Picture(path: Self.file("colours.png"), channels: 3)
        var transform = PictureTransform(size: 6)
        (transform.mean, transform.deviation) = (0.25, 0.5)
        let centre = transform(picture, draw: nil)
        #expect(centre.height == 6 && centre.width == 6)
        let plain = picture.resized(height: 6, width: 9)
        for row in 0..<6 {
            for column in 0..<6 {
                let value = plain.values[(row * 9 + column + 1) * 3]
                #expect(abs(centre.values[(row * 6 + column) * 3] - (value - 0.25) / 0.5) < 1e-6)
            }
        }
        (transform.padding, transform.flips) = (2, true)
        let drawn = (0..<40).map { transform(picture, draw: (seed: 3, sample: $0)).values }
        #expect(drawn == (0..<40).map { transform(picture, draw: (seed: 3, sample: $0)).values })
        #expect(Set(drawn).count > 25)
        #expect(transform(picture, draw: (seed: 4, sample: 0)).values != drawn[0], "control")
        // What lies outside is 0 before it is normalised.
        #expect(drawn.contains { $0.contains(-0.5) })
    }

    @Test func arraysAreRead() throws {
        let bytes: [UInt8] = [
            97, 128, 14, 140, 46, 116, 28, 70, 106, 125, 7, 236, 107, 51, 50, 187, 112, 64, 115,
            49, 41, 82, 246, 23,
        ]
        let npy = try NumberArray(path: Self.file("bytes.npy"))
        #expect(npy.shape == [3, 2, 4] && npy.values == .bytes(bytes))
        #expect(try NumberArray(path: Self.file("images.idx")) == npy)
        #expect(
            try NumberArray(path: Self.file("floats.npy")).values
                == .floats(bytes.map { Float(Double($0) / 255) }))
        #expect(try NumberArray(path: Self.file("labels.npy")).values == .integers([1, 0, 2]))
        let error = datasetError { _ = try NumberArray(path: Self.file("fortran.npy")) }
        #expect(error?.message.hasSuffix("in C order, found Fortran order") == true)
    }

    /// Damage is one error that names the file, whatever it is, and nothing is taken for memory that is not there.
    @Test(arguments: ["colours.png", "colours.jpg", "bytes.npy", "images.idx", "palette.png"])
    func damageIsNamed(name: String) throws {
        let folder = try TestFolder()
        let whole = Array(FileManager.default.contents(atPath: Self.file(name)) ?? Data())
        func read(_ bytes: [UInt8]) throws -> DatasetError? {
            let path = try folder.write("damaged", bytes)
            return datasetError {
                if name.hasSuffix("g") {
                    _ = try Picture(path: path, channels: 3)
                } else {
                    _ = try NumberArray(path: path)
                }
            }
        }
        #expect(try read(whole) == nil)
        var random = TestRandom(11)
        // A PNG of which only the mark of its end is missing has all of its pixels.
        for length in stride(from: 0, to: whole.count - 12, by: 7) {
            let error = try read(Array(whole[..<length]))
            #expect(error?.message.contains("/damaged: expected") == true, "\(length)")
        }
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(
                    in: 0...255, using: &random)
            }
            if let error = try read(bytes) {
                #expect(error.problems.count == 1 && error.message.contains("/damaged: "))
            }
        }
    }

    // MARK: Datasets

    private func makeFolder(_ folder: TestFolder, _ split: String, _ counts: [(String, Int)]) throws
    {
        let png = Array(FileManager.default.contents(atPath: Self.file("colours.png")) ?? Data())
        for (name, count) in counts {
            for number in 0..<count { try folder.write("\(split)/\(name)/\(number).png", png) }
        }
    }

    private func view(_ size: Int = 4) -> ImageView {
        ImageView(transform: PictureTransform(size: size), channels: 3, patch: 2)
    }

    @Test func foldersAreClasses() throws {
        let folder = try TestFolder()
        try makeFolder(folder, "train", [("b", 6), ("a", 10), ("é", 4)])
        let dataset = try ImageDataset(
            train: .init(images: folder.file("train")), validation: nil, fraction: 0.2, channels: 3)
        #expect(dataset.classes == ["a", "b", "é"] && dataset.trainCount == 16)
        let layout = BatchLayout(sequences: 8, microBatch: 2)
        let source = ImageBatches(dataset, view: view(), layout: layout, seed: 1)
        // An epoch has each image once; another comes in another order.
        func labels(_ epoch: Int) throws -> [Int32] {
            try (0..<8).flatMap { number in
                try source.trainingBatch(
                    position: 16 * epoch + number / 4 * 8, microBatch: number % 4)[
                        Batch.Name.targets
                    ].integers
            }
        }
        let (first, second) = (try labels(0), try labels(1))
        #expect(first.sorted() == second.sorted() && first != second)
        let evaluation = ImageEvaluationBatches(dataset, view: view(), microBatch: 3)
        #expect(evaluation.batchCount == 2)
        let held = try (0..<2).flatMap {
            try evaluation.evaluationBatch($0)[Batch.Name.targets].integers
        }
        #expect(held.count == 4)
        let counts = (0..<3).map { label in (first + held).count { $0 == Int32(label) } }
        #expect(counts == [10, 6, 4])
        let batch = try source.trainingBatch(position: 0, microBatch: 0)
        #expect(batch.fields[0].extents == [4, 12] && batch.targetWeight == 2)
        #expect(source.blank(rows: 2).targetWeight == 0)
        #expect(source.targetWeight(position: 0) == 8)
        // The same content under another name is another dataset.
        let other = try TestFolder()
        try makeFolder(other, "train", [("b", 6), ("a", 10), ("f", 4)])
        let renamed = try ImageDataset(
            train: .init(images: other.file("train")), validation: nil, fraction: 0.2, channels: 3)
        #expect(renamed.fingerprint != dataset.fingerprint)
    }

    @Test func arraysHaveLabelsBesideThem() throws {
        let place = ImageDataset.Place(
            images: Self.file("bytes.npy"), labels: Self.file("labels.npy"))
        let idx = ImageDataset.Place(
            images: Self.file("images.idx"), labels: Self.file("labels.idx"))
        let dataset = try ImageDataset(train: place, validation: idx, fraction: 0.1, channels: 1)
        #expect(dataset.classes == ["0", "1", "2"] && dataset.trainCount == 3)
        let error = datasetError {
            _ = try ImageDataset(train: place, validation: nil, fraction: 0.1, channels: 3)
        }
        #expect(
            error?.message.hasSuffix(
                "expected [images, height, width, 3] for model.channels 3, found [3, 2, 4]") == true
        )
    }

    @Test func whatIsMissingIsNamed() throws {
        let folder = try TestFolder()
        func problem(_ path: String, fraction: Double = 0.2) -> String? {
            datasetError {
                _ = try ImageDataset(
                    train: .init(images: path), validation: nil, fraction: fraction, channels: 3)
            }?.message
        }
        #expect(
            problem(folder.file("none"))?.contains("expected a folder with a folder for each class")
                == true)
        #expect(
            problem(folder.path)?.contains("expected a folder for each class, found none") == true)
        try makeFolder(folder, "one", [("a", 2)])
        #expect(problem(folder.file("one"))?.contains("of which 0 would be held out") == true)
        try folder.write("two/a/x.txt", "no image")
        #expect(
            problem(folder.file("two"))?.contains(
                "/two/a: expected .png, .jpg or .jpeg, found none") == true)
    }

    @Test func classesAreKept() throws {
        let vocabulary = Vocabulary.classes(["a", "b \"c\"", "é"])
        #expect(try Vocabulary(json: vocabulary.json, name: "x") == vocabulary)
        #expect(vocabulary.count == 3 && vocabulary.digest.count == 64)
        #expect(vocabulary.digest != Vocabulary.classes(["a", "b", "é"]).digest)
        for text in [
            "{\"type\": \"murmuration-classes\"}",
            "{\"type\": \"murmuration-classes\", \"version\": 1, \"classes\": []}",
            "{\"type\": \"murmuration-classes\", \"version\": 2, \"classes\": [\"a\"]}",
        ] {
            let error = datasetError { _ = try Vocabulary(json: text, name: "x") }
            #expect(error?.message.hasPrefix("x: expected") == true, "\(text)")
        }
    }
}
