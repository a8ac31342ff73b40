import Files
import Layers
import Tensors

extension CheckpointManifest {
    /// Bytes of a manifest, files and tensors that it may name: what a hostile one can make a reader spend.
    static let longest = 1 << 23
    /// Bytes of a text beside a manifest. An import takes no longer one, so that what it saves is read again.
    package static let longestText = 1 << 24
    private static let mostFiles = 1 << 14
    private static let mostTensors = 100_000

    /// Reads `manifest.json` of a folder: its digest first, then every member. The texts of the
    /// configuration and the tokenizer are left empty: they are files of their own.
    init(reading file: InputFile) throws(CheckpointError) {
        let path = file.path.printablePath
        guard file.byteCount <= CheckpointManifest.longest else {
            throw CheckpointError(
                .unusable,
                "\(path): expected at most \(CheckpointManifest.longest) bytes, "
                    + "found \(file.byteCount)")
        }
        let text = try file.bytes(at: 0, count: file.byteCount)
        let suffixCount = CheckpointManifest.lastLine(after: []).count
        let body = Array(text.dropLast(suffixCount))
        guard text.count >= suffixCount,
            Array(text.suffix(suffixCount)) == CheckpointManifest.lastLine(after: body)
        else {
            throw CheckpointError(
                .unusable,
                "\(path): expected a last line with the digest of those before it, "
                    + "found another; the file is torn or was changed")
        }
        var reader = JSONReader(subject: file.path, text: text)
        self = try CheckpointManifest.read(&reader, of: file)
    }

    private static func read(
        _ reader: inout JSONReader, of file: InputFile
    ) throws(CheckpointError) -> CheckpointManifest {
        var given: Int?
        var identity: TrainingProgress.Identity?
        var counters: Counters?
        var files: [File]?
        var tensors: [Entry]?
        try reader.object { (reader, key) throws(CheckpointError) in
            reader.context = key.printable
            switch key {
            case "format":
                let found = try reader.string(limit: 256)
                try reader.require(found == format, expected: format, found: found.printable)
            case "version":
                let found = try reader.integer()
                try reader.require(found >= 1, expected: "a format version", found: "\(found)")
                guard found <= version else {
                    // Not damage: an older one in its place would throw work away.
                    throw CheckpointError(
                        .mismatch,
                        "\(file.path.printablePath): expected format version 1 to \(version), found "
                            + "\(found): a newer murmur wrote it; use that one, or move it away")
                }
                given = found
            case "run": identity = try readIdentity(&reader)
            case "counters": counters = try Counters(&reader)
            case "files":
                let version = try version(given, &reader)
                files = try readFiles(&reader, PartDigest.Algorithm(ofVersion: version))
            case "tensors":
                tensors = try readTensors(&reader, version: try version(given, &reader))
            case "digest": _ = try reader.string(limit: 256)
            default: throw reader.failure(expected: "a known key", found: key.printable)
            }
        }
        reader.context = ""
        try reader.end { $0 == 0x0a }
        guard let given, let identity, let counters, let files, let tensors else {
            throw reader.failure(
                expected: "run, counters, files and tensors", found: "one of them missing")
        }
        let progress = TrainingProgress(
            step: counters.step, optimizerUpdates: counters.updates, samples: counters.samples,
            lossScale: counters.scale, identity: identity)
        return CheckpointManifest(
            formatVersion: given, progress: progress, files: files, tensors: tensors)
    }

    private static func version(
        _ given: Int?, _ reader: inout JSONReader
    ) throws(CheckpointError) -> Int {
        guard let given else { throw reader.failure(expected: "the version before", found: "none") }
        return given
    }

    private static func readIdentity(
        _ reader: inout JSONReader
    ) throws(CheckpointError) -> TrainingProgress.Identity {
        let members = try reader.members(
            strings: [
                "uuid", "configuration_digest", "tokenizer_digest", "dataset_digest", "build",
                "blas",
            ])
        // They are shown to people.
        for text in members.strings {
            let isPlain = text.unicodeScalars.allSatisfy {
                $0.value >= 0x20 && !(0x7f..<0xa0).contains($0.value) && $0.value != 0x2028
                    && $0.value != 0x2029
            }
            try reader.require(
                isPlain && text.utf8.count <= 1024,
                expected: "a line of at most 1,024 bytes", found: text.printable)
        }
        return TrainingProgress.Identity(
            run: members.strings[0], configuration: "", configurationDigest: members.strings[1],
            tokenizer: "", tokenizerDigest: members.strings[2], datasetDigest: members.strings[3],
            build: members.strings[4], blas: members.strings[5])
    }

    private struct Counters {
        var step = 0
        var updates = 0
        var samples = 0
        var scale: TrainingProgress.LossScale?

        init(_ reader: inout JSONReader) throws(CheckpointError) {
            let names = ["step", "optimizer_updates", "samples"]
            var scale: [Int]?
            var found = [Int?](repeating: nil, count: 3)
            try reader.object { (reader, key) throws(CheckpointError) in
                if key == "loss_scale" {
                    scale = try reader.members(
                        integers: ["scale", "good_steps", "hysteresis", "lost_steps"]
                    ).integers
                } else if let index = names.firstIndex(of: key) {
                    found[index] = try reader.integer()
                } else {
                    throw reader.failure(
                        expected: names.joined(separator: ", "), found: key.printable)
                }
            }
            guard let step = found[0], let updates = found[1], let samples = found[2] else {
                throw reader.failure(
                    expected: names.joined(separator: ", "), found: "one of them missing")
            }
            // What a run counts on must not overflow.
            try reader.require(
                step < 10_000_000_000 && updates < 10_000_000_000 && samples <= 1 << 60,
                expected: "steps and updates of at most ten digits, and at most 2^60 samples",
                found: "\(step), \(updates) and \(samples)")
            (self.step, self.updates, self.samples) = (step, updates, samples)
            self.scale = scale.map {
                .init(scale: $0[0], goodSteps: $0[1], hysteresis: $0[2], lostSteps: $0[3])
            }
        }
    }

    private static func readFiles(
        _ reader: inout JSONReader, _ algorithm: PartDigest.Algorithm
    ) throws(CheckpointError) -> [File] {
        var files: [File] = []
        var names = Set<String>()
        var total = 0
        try reader.array { (reader) throws(CheckpointError) in
            try reader.require(
                files.count < mostFiles, expected: "at most \(mostFiles) files", found: "more")
            let members = try reader.members(
                strings: ["name", "digest"], integers: ["bytes", "digested_bytes"])
            let (name, digest) = (members.strings[0], members.strings[1])
            try reader.require(
                isFileName(name), expected: "a file name of letters, digits, '.', '_' and '-'",
                found: name.printable)
            try reader.require(
                names.insert(name).inserted, expected: "every file once",
                found: "\(name.printable) twice")
            try reader.requireDigest(digest, algorithm)
            guard
                case (let sum, let overflow) = total.addingReportingOverflow(members.integers[0]),
                !overflow
            else {
                throw reader.failure(expected: "files below 2^63 bytes", found: "more")
            }
            total = sum
            try reader.require(
                members.integers[1] <= members.integers[0],
                expected: "digested_bytes of at most \(members.integers[0])",
                found: "\(members.integers[1])")
            files.append(
                File(
                    name: name, byteCount: members.integers[0],
                    digestedByteCount: members.integers[1], digest: digest))
        }
        return files
    }

    private static func isFileName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 255 && !name.hasPrefix(".")
            && name != fileName
            && name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0)
                    || (0x61...0x7a).contains($0) || [0x2e, 0x5f, 0x2d].contains($0)
            }
    }

    private static func readTensors(
        _ reader: inout JSONReader, version: Int
    ) throws(CheckpointError) -> [Entry] {
        var tensors: [Entry] = []
        try reader.array { (reader) throws(CheckpointError) in
            reader.context = "tensors"
            try reader.require(
                tensors.count < mostTensors, expected: "at most \(mostTensors) tensors",
                found: "more")
            let entry = try readTensor(&reader, version: version)
            let isNext =
                tensors.last.map { $0.name.utf8.lexicographicallyPrecedes(entry.name.utf8) }
                ?? true
            try reader.require(
                isNext, expected: "tensors in ascending order of their names, each once",
                found: "\(entry.name.printable) out of order")
            tensors.append(entry)
        }
        return tensors
    }

    private static func readTensor(
        _ reader: inout JSONReader, version: Int
    ) throws(CheckpointError) -> Entry {
        var name: String?
        var extents: [Int]?
        var sharding: Sharding?
        var parts: [Part]?
        try reader.object { (reader, key) throws(CheckpointError) in
            switch key {
            case "name":
                let given = try reader.string(limit: 4096)
                try reader.require(
                    !given.isEmpty && !given.unicodeScalars.contains { $0.value < 0x20 },
                    expected: "a name", found: "an empty one, or control characters")
                name = given
                reader.context = "tensor \(name!.printable)"
            case "dtype":
                let type = try reader.string(limit: 64)
                try reader.require(
                    type == "float32", expected: "dtype float32", found: type.printable)
            case "shape": extents = try reader.integers(limit: SafetensorsHeader.mostAxes)
            case "sharding": sharding = try Sharding(&reader)
            case "parts" where version < 3: parts = try readParts(&reader, version: version)
            default: throw reader.failure(expected: "a known key", found: key.printable)
            }
        }
        guard let name, let extents else {
            throw reader.failure(expected: "name and shape", found: "one of them missing")
        }
        guard checkedSize(extents, of: DType.float32.size) != nil else {
            throw reader.failure(expected: "a size below 2^63", found: "shape \(extents)")
        }
        let count = Shape(extents).count
        let spec = try sharding?.spec(of: Shape(extents), &reader)
        let shape = spec ?? ShardSpec(replicated: Shape(extents))
        guard version < 3 else { return Entry(name: name, spec: shape) }
        guard let parts else { throw reader.failure(expected: "parts", found: "none") }
        let covered = parts.reduce(0 as Int?) {
            $1.elements.lowerBound == $0 ? $1.elements.upperBound : nil
        }
        try reader.require(
            covered == count, expected: "parts that cover \(count) elements in order",
            found: "others")
        return Entry(
            name: name, spec: shape,
            parts: parts.map {
                Part(
                    file: $0.file, key: version == 1 ? name : $0.key, elements: $0.elements,
                    digest: $0.digest)
            })
    }

    private struct Sharding {
        private var axis: Int?
        private var segments: [ShardSpec.Segment] = []
        private var extent = 0
        private var slices: Int?

        /// Runs that one tensor may be made of: reading makes a list of them.
        private static let mostRuns = 1 << 21

        init(_ reader: inout JSONReader) throws(CheckpointError) {
            try reader.object { (reader, key) throws(CheckpointError) in
                switch key {
                case "axis": axis = try reader.integer()
                case "slices": slices = try reader.integer()
                case "segments":
                    try reader.array { (reader) throws(CheckpointError) in try add(&reader) }
                default: throw reader.failure(expected: "a known key", found: key.printable)
                }
            }
        }

        private mutating func add(_ reader: inout JSONReader) throws(CheckpointError) {
            let pair = try reader.integers(limit: 2)
            guard pair.count == 2, segments.count < 1024, pair[1] > 0,
                checkedSize(pair) != nil,
                case (let sum, let overflow) = extent.addingReportingOverflow(pair[0] * pair[1]),
                !overflow
            else {
                throw reader.failure(expected: "segments of units and unit size", found: "\(pair)")
            }
            extent = sum
            segments.append(ShardSpec.Segment(units: pair[0], unitSize: pair[1]))
        }

        func spec(
            of shape: Shape, _ reader: inout JSONReader
        ) throws(CheckpointError) -> ShardSpec {
            guard let axis, let slices, axis < shape.rank, extent == shape[axis],
                !segments.isEmpty, (1...1 << 20).contains(slices),
                checkedSize([extent, slices]) != nil,
                let runs = checkedSize(shape.extents[..<axis] + [segments.count, slices]),
                runs <= Self.mostRuns
            else {
                throw reader.failure(
                    expected: "a sharding whose segments cover an axis of \(shape)",
                    found: "another")
            }
            return ShardSpec(shape, axis: axis, segments: segments, slices: slices)
        }
    }

    private static func readParts(
        _ reader: inout JSONReader, version: Int
    ) throws(CheckpointError) -> [Part] {
        var parts: [Part] = []
        try reader.array { (reader) throws(CheckpointError) in
            var file: String?
            var partKey: String? = version == 1 ? "" : nil
            var digest: String?
            var elements: [Int] = []
            try reader.object { (reader, key) throws(CheckpointError) in
                switch key {
                case "file": file = try reader.string(limit: 256)
                case "key" where version > 1: partKey = try reader.string(limit: 8192)
                case "digest": digest = try reader.string(limit: 256)
                case "elements": elements = try reader.integers(limit: 2)
                default: throw reader.failure(expected: "a known key", found: key.printable)
                }
            }
            guard let file, let partKey, let digest, elements.count == 2, elements[0] <= elements[1]
            else {
                throw reader.failure(
                    expected: "a part's file, key, digest and elements", found: "others")
            }
            try reader.requireDigest(digest, PartDigest.Algorithm(ofVersion: version))
            parts.append(
                Part(
                    file: file, key: partKey, elements: elements[0]..<elements[1], digest: digest))
        }
        return parts
    }
}

extension JSONReader {
    func require(_ holds: Bool, expected: String, found: String) throws(CheckpointError) {
        if !holds { throw failure(expected: expected, found: found) }
    }

    func requireDigest(
        _ text: String, _ algorithm: PartDigest.Algorithm
    ) throws(CheckpointError) {
        try require(
            algorithm.isDigest(text), expected: "a digest \(algorithm.rawValue)…",
            found: text.printable)
    }

    /// Reads an object that has exactly the named members; values in the order of the names.
    mutating func members(
        strings: [String] = [], integers: [String] = []
    ) throws(CheckpointError) -> (strings: [String], integers: [Int]) {
        var texts = [String?](repeating: nil, count: strings.count)
        var numbers = [Int?](repeating: nil, count: integers.count)
        try object { (reader, key) throws(CheckpointError) in
            if let index = strings.firstIndex(of: key) {
                texts[index] = try reader.string(limit: 1 << 16)
            } else if let index = integers.firstIndex(of: key) {
                numbers[index] = try reader.integer()
            } else {
                throw reader.failure(
                    expected: (strings + integers).joined(separator: ", "), found: key.printable)
            }
        }
        let given = (texts.compactMap { $0 }, numbers.compactMap { $0 })
        guard given.0.count == strings.count, given.1.count == integers.count else {
            throw failure(
                expected: (strings + integers).joined(separator: ", "), found: "one of them missing"
            )
        }
        return given
    }
}
