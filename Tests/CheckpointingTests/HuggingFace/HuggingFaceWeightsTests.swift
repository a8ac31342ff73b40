import Checkpointing
import Communication
import Foundation
import Layers
import Tensors
import Testing

@Suite struct HuggingFaceWeightsTests {
    private static var parameters: [Parameter] {
        [
            Parameter("wte.weight", ShardSpec([9, 6], axis: 0, slices: 4), initializer: .zeros),
            Parameter("ln_f.bias", ShardSpec(replicated: [6]), initializer: .zeros),
            Parameter(
                "h.0.attn.c_attn.weight",
                ShardSpec(
                    [18, 6], axis: 0,
                    segments: Array(repeating: .init(units: 3, unitSize: 2), count: 3), slices: 4),
                initializer: .zeros),
            Parameter(
                "h.0.mlp.c_proj.weight", ShardSpec([6, 11], axis: 1, slices: 4), initializer: .zeros
            ),
        ]
    }

    private static let map = WeightMap(
        rules: parameters.map { parameter in
            let stored = "transformer.\(parameter.name)"
            return isTurned(parameter.name)
                ? .transposed(parameter.name, as: stored) : .same(parameter.name, as: stored)
        },
        prefixes: ["transformer."],
        aliases: [.init("lm_head.weight", of: "transformer.wte.weight", isHead: true)],
        ignored: ["h.*.attn.bias"])
    private static let tensors = HuggingFaceTensors(map, of: parameters)

    /// Values that every type holds.
    private static func values(_ tensor: Shape) -> [Float] {
        (0..<tensor.count).map { Float($0 - tensor.count / 2) / 8 }
    }

    private static func isTurned(_ name: String) -> Bool { name.hasPrefix("h.0.") }

    /// Rows and columns exchanged.
    private static func turned(_ values: [Float], rows: Int, columns: Int) -> [Float] {
        (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
    }

    /// A checkpoint whose tensors hold `values`, in the memory order of their specs.
    private static func checkpoint(in folder: TemporaryFolder) throws -> CheckpointReader {
        let state = parameters.map { parameter in
            let logical = values(parameter.spec.shape)
            var memory = logical
            for run in parameter.spec.runs {
                for index in 0..<run.count {
                    memory[run.memoryOffset + index] = logical[run.logicalOffset + index]
                }
            }
            let tensor = Tensor(memory, shape: [memory.count])
            return StateTensor(
                name: parameter.name, spec: parameter.spec,
                pieces: [.init(range: 0..<memory.count, buffer: tensor.buffer)])
        }
        let moments = parameters.map { parameter in
            let count = parameter.spec.shape.count
            return StateTensor(
                name: "optimizer.first_moment.\(parameter.name)", spec: parameter.spec,
                pieces: [.init(range: 0..<count, buffer: Tensor(zeros: [count]).buffer)])
        }
        let saved = try CheckpointWriter(runDirectory: folder.path, keep: 1).save(
            state + moments, progress: SampleState.progress(), communicator: InProcess.alone())
        return try CheckpointReader(path: saved.path)
    }

    private static func imported(_ path: String, isTied: Bool = true) throws -> [String: [Float]] {
        let weights = try HuggingFaceWeights(
            in: HuggingFaceFolder(path), expecting: tensors, isTied: isTied)
        try weights.checkAliases()
        try weights.checkValues()
        var values: [String: [Float]] = [:]
        for tensor in weights.state {
            #expect(tensor.spec.axis == nil, "in logical order")
            try tensor.forEachBlock { (block) throws(CheckpointError) in
                values[tensor.name, default: []] +=
                    Tensor(buffer: block, shape: [block.count]).array
            }
        }
        return values
    }

    @Test(arguments: [(1, 4), (300, 3), (Int.max / 2, 1)])
    func anExportHasTheLogicalWeights(limit: (bytes: Int, files: Int)) throws {
        let folder = try TemporaryFolder()
        let output = "\(folder.path)/out"
        let names = try HuggingFaceExport(
            Self.tensors, texts: [("config.json", Array("{}".utf8))], shardLimit: limit.bytes
        ).write(Self.checkpoint(in: folder), to: output + "/")
        #expect(try folder.names("out") == names)
        #expect(names.count { $0.hasSuffix(".safetensors") } == limit.files)
        #expect(names.contains("model.safetensors.index.json") == (limit.files > 1))

        let values = try Self.imported(output)
        for parameter in Self.parameters {
            #expect(values[parameter.name] == Self.values(parameter.spec.shape))
        }
        for name in names where name.hasSuffix(".safetensors") {
            let reader = try SafetensorsReader(path: "\(output)/\(name)")
            for entry in reader.entries {
                let parameter = try #require(
                    Self.parameters.first { "transformer.\($0.name)" == entry.name })
                let shape = parameter.spec.shape
                var expected = Self.values(shape)
                if Self.isTurned(parameter.name) {
                    #expect(entry.shape == Shape(shape.extents.reversed()))
                    expected = Self.turned(expected, rows: shape[0], columns: shape[1])
                }
                let stored = Tensor(uninitialized: entry.shape)
                try reader.read(entry, elements: 0..<shape.count, into: stored.buffer)
                #expect(stored.array == expected)
            }
        }
    }

    /// What ends an export leaves no folder of its name, nor a temporary one.
    @Test(arguments: [FileOperations.Operation.createFile, .write, .synchronize, .rename])
    func anExportIsWholeOrNotThere(operation: FileOperations.Operation) throws {
        let folder = try TemporaryFolder()
        let checkpoint = try Self.checkpoint(in: folder)
        let before = try folder.names()
        let failing = FileOperations { (next, path) throws(CheckpointError) in
            if next == operation { throw CheckpointError(.io, "\(path): stopped by the test") }
        }
        let error = checkpointError {
            _ = try HuggingFaceExport(Self.tensors, texts: [], operations: failing)
                .write(checkpoint, to: "\(folder.path)/out")
        }
        #expect(error?.message.contains("stopped by the test") == true)
        #expect(try folder.names() == before)
        _ = try HuggingFaceExport(Self.tensors, texts: []).write(
            checkpoint, to: "\(folder.path)/out")
        let again = checkpointError {
            _ = try HuggingFaceExport(Self.tensors, texts: []).write(
                checkpoint, to: "\(folder.path)/out")
        }
        #expect(again?.message.contains("expected no file or folder") == true)
    }

    // MARK: What other programs write

    /// A folder with these tensors under names that `name` gives, in one file.
    private static func write(
        _ type: SafetensorsType, more: [(name: String, shape: Shape, values: [Float])] = [],
        name: (String) -> String = { $0 }
    ) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let own = parameters.map { parameter in
            let shape = parameter.spec.shape
            guard isTurned(parameter.name) else {
                return (name(parameter.name), shape, values(shape))
            }
            return (
                name(parameter.name), Shape(shape.extents.reversed()),
                turned(values(shape), rows: shape[0], columns: shape[1])
            )
        }
        let all = own + more
        let writer = try SafetensorsWriter(
            creating: "\(folder.path)/model.safetensors",
            all.map { SafetensorsWriter.Item(name: $0.0, type: type, shape: $0.1) })
        for item in all { try writer.append(stored(item.2, as: type)) }
        try writer.finish()
        return folder
    }

    private static func stored(_ values: [Float], as type: SafetensorsType) -> Buffer {
        guard type != .float32 else { return Tensor(values, shape: [values.count]).buffer }
        if type == .float64 {
            let buffer = Buffer(count: values.count, dtype: .float64)
            for (index, value) in values.enumerated() { buffer.doubles[index] = Double(value) }
            return buffer
        }
        let buffer = Buffer(count: values.count, dtype: .float16)
        for (index, value) in values.enumerated() {
            buffer.halves[index] =
                type == .float16
                ? Float16(value) : Float16(bitPattern: UInt16(value.bitPattern >> 16))
        }
        return buffer
    }

    @Test(
        arguments: [SafetensorsType.float32, .float16, .bfloat16, .float64],
        [true, false])
    func everyTypeAndEitherPrefixIsRead(type: SafetensorsType, isPrefixed: Bool) throws {
        let mask: (name: String, shape: Shape, values: [Float]) = (
            "h.0.attn.bias", [1, 1, 2, 2], [1, 0, 1, 1]
        )
        let folder = try Self.write(type, more: [mask]) {
            isPrefixed ? "transformer.\($0)" : $0
        }
        let values = try Self.imported(folder.path)
        #expect(values.count == Self.parameters.count)
        for parameter in Self.parameters {
            #expect(values[parameter.name] == Self.values(parameter.spec.shape))
        }
    }

    @Test func aHeadMustBeTheTable() throws {
        let table = Self.values([9, 6])
        let same = try Self.write(.float32, more: [("lm_head.weight", [9, 6], table)])
        #expect(try Self.imported(same.path, isTied: false)["wte.weight"] == table)
        var other = table
        other[40] += 1
        let heads: [(shape: Shape, values: [Float], message: String)] = [
            (
                [9, 6], other,
                "lm_head.weight: expected the values of wte.weight, found another at "
                    + "element 40"
            ),
            ([6, 9], table, "lm_head.weight: expected [9, 6] as wte.weight has"),
        ]
        for head in heads {
            let folder = try Self.write(
                .float32, more: [("lm_head.weight", head.shape, head.values)])
            let error = checkpointError { _ = try Self.imported(folder.path) }
            #expect(error?.message.contains(head.message) == true, "\(error?.message ?? "none")")
        }
        let none = try Self.write(.float32)
        let error = checkpointError { _ = try Self.imported(none.path, isTied: false) }
        #expect(error?.message.contains("lm_head.weight: expected it where") == true)
    }

    /// Names as DataParallel and torch.compile leave them, in either order, and the head's too.
    @Test(arguments: ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
    func wrappersAreLeftOut(wrapper: String) throws {
        let head = ("\(wrapper)lm_head.weight", Shape([9, 6]), Self.values([9, 6]))
        let folder = try Self.write(.float32, more: [head]) { "\(wrapper)transformer.\($0)" }
        #expect(try Self.imported(folder.path).count == Self.parameters.count)
        let notes = try HuggingFaceWeights(
            in: HuggingFaceFolder(folder.path), expecting: Self.tensors, isTied: true
        ).notes
        #expect(notes.count == 1 && notes[0].hasPrefix("5 names of tensors"), "\(notes)")
        let twice = try Self.write(
            .float32, more: [(wrapper + "ln_f.bias", [6], Self.values([6]))])
        let error = checkpointError { _ = try Self.imported(twice.path) }
        #expect(error?.message.contains("ln_f.bias: expected it once") == true)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func aWeightThatIsNoNumberIsNamed(value: Float) throws {
        let folder = try Self.write(.float32)
        let path = "\(folder.path)/model.safetensors"
        let reader = try SafetensorsReader(path: path)
        let entry = try #require(reader.entry(named: "ln_f.bias"))
        var bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))
        let data = bytes.count - reader.entries.reduce(0) { max($0, $1.bytes.upperBound) }
        for index in 0..<4 {
            bytes[data + entry.bytes.lowerBound + 8 + index] = UInt8(
                truncatingIfNeeded: value.bitPattern >> (8 * index))
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let error = checkpointError { _ = try Self.imported(folder.path) }
        let message = "tensor ln_f.bias: expected finite numbers, found \(value) at element 2"
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "none")")
    }

    @Test(arguments: [
        ("model.fp16.safetensors", "a variant"),
        ("model.safetensors.index.fp16.json", "a variant"),
        ("weights.msgpack", "in other formats are not read"),
        ("pytorch_model.bin", "another format"),
    ])
    func weightsOfOtherNamesAreNamed(file: (name: String, message: String)) throws {
        let folder = try TemporaryFolder()
        try Data("{}".utf8).write(to: URL(fileURLWithPath: "\(folder.path)/\(file.name)"))
        let error = checkpointError { _ = try Self.imported(folder.path) }
        #expect(error?.message.contains(file.message) == true, "\(error?.message ?? "none")")
    }

    /// However many shards a folder has, one of them is open at a time.
    @Test func oneShardIsOpenAtATime() throws {
        let folder = try TemporaryFolder()
        let output = "\(folder.path)/out"
        _ = try HuggingFaceExport(Self.tensors, texts: [], shardLimit: 1).write(
            Self.checkpoint(in: folder), to: output)
        func open() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count {
                let path = try? FileManager.default.destinationOfSymbolicLink(
                    atPath: "/proc/self/fd/\($0)")
                return path?.hasPrefix("\(output)/") == true
            }
        }
        let weights = try HuggingFaceWeights(
            in: HuggingFaceFolder(output), expecting: Self.tensors, isTied: true)
        #expect(try open() == 0)
        for tensor in weights.state {
            try tensor.forEachBlock { (_) throws(CheckpointError) in }
            #expect(try open() == 1, "\(tensor.name)")
        }
    }
}
