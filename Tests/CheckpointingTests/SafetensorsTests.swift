import Checkpointing
import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct SafetensorsTests {
    private static let items: [SafetensorsWriter.Item] = [
        .init(name: "a", shape: [2, 3]), .init(name: "empty", shape: [0, 4]),
        .init(name: "half", type: .float16, shape: [3]), .init(name: "scalar", shape: []),
        .init(name: "ü \"\\", type: .int32, shape: [1, 2]),
    ]

    private static func writeSample(into folder: TemporaryFolder) throws -> String {
        let path = "\(folder.path)/sample.safetensors"
        let writer = try SafetensorsWriter(creating: path, items)
        let a = Tensor([1, 2, 3, 4, 5, 6] as [Float], shape: [6])
        try writer.append(a.buffer[0..<4])
        try writer.append(a.buffer[4..<6])
        try writer.append(Tensor(zeros: [3], dtype: .float16).buffer)
        try writer.append(Tensor([9] as [Float], shape: [1]).buffer)
        try writer.append(Tensor(integers: [7, -8], shape: [2]).buffer)
        try writer.finish()
        return path
    }

    @Test func whatIsWrittenIsRead() throws {
        let folder = try TemporaryFolder()
        let reader = try SafetensorsReader(path: Self.writeSample(into: folder))
        #expect(reader.metadata == ["format": "pt"])
        #expect(reader.entries.map(\.name).sorted() == Self.items.map(\.name).sorted())
        for item in Self.items {
            let entry = try #require(reader.entry(named: item.name))
            #expect(entry.type == item.type && entry.shape == item.shape)
        }
        let run = Tensor(uninitialized: [3])
        let a = try #require(reader.entry(named: "a"))
        try reader.read(a, elements: 2..<5, into: run.buffer)
        #expect(run.array == [3, 4, 5])
        let last = try #require(reader.entry(named: "ü \"\\"))
        let error = checkpointError {
            try reader.read(last, elements: 0..<2, into: run.buffer[0..<2])
        }
        #expect(error?.message.contains("expected float32, found I32") == true)
        let file = try contents(reader.path)
        #expect(Array(file.suffix(8)) == [7, 0, 0, 0, 0xf8, 0xff, 0xff, 0xff])
        #expect(file[0] % 8 == 0, "the tensors start at a multiple of 8")
    }

    @Test func aFileCutAtAnyByteIsRefused() throws {
        let folder = try TemporaryFolder()
        let bytes = try contents(Self.writeSample(into: folder))
        _ = try SafetensorsReader(path: folder.write(bytes, as: "whole"))
        for count in 0..<bytes.count {
            let path = try folder.write(Array(bytes.prefix(count)), as: "cut")
            let error = checkpointError { _ = try SafetensorsReader(path: path) }
            #expect(error?.message.contains("/cut: ") == true, "\(count) bytes")
        }
        let longer = try folder.write(bytes + [0], as: "longer")
        #expect(checkpointError { _ = try SafetensorsReader(path: longer) } != nil)
    }

    @Test(arguments: HostileFile.all.indices)
    func aHostileFileIsRefused(_ index: Int) throws {
        let hostile = HostileFile.all[index]
        let folder = try TemporaryFolder()
        let path = try folder.write(hostile.bytes, as: "hostile.safetensors")
        let error = checkpointError { _ = try SafetensorsReader(path: path) }
        let message = error?.message ?? "accepted"
        #expect(message.contains("hostile.safetensors: "), "\(hostile.name): \(message)")
        #expect(message.contains(hostile.message), "\(hostile.name): \(message)")
        #expect(message.utf8.count < 1000 && !message.contains("\n"), "\(hostile.name)")
        guard case .unusable = error?.kind else {
            Issue.record("\(hostile.name): expected unusable, found \(String(describing: error))")
            return
        }
    }

    /// The control of the corpus: files of the same forms, sound.
    @Test func soundFilesAreTaken() throws {
        let folder = try TemporaryFolder()
        let sound: [(json: String, data: Int)] = [
            ("{}", 0), ("{}      ", 0), ("{ }", 0), ("{\"__metadata__\":{\"a\":\"b\"}}", 0),
            (HostileFile.tensor("[1]", "[0,4]"), 4),
            (HostileFile.tensor("[]", "[0,8]", type: "I64"), 8),
            (HostileFile.tensor("[3,0]", "[0,0]", type: "BF16"), 0),
            (HostileFile.tensor("[ 2 ,\n2 ]", "[0, 4]", type: "BOOL"), 4),
        ]
        for (json, data) in sound {
            let bytes = HostileFile.file(Array(json.utf8), data: data)
            _ = try SafetensorsReader(path: folder.write(bytes, as: "sound"))
        }
        let escaped = HostileFile.tensor("[0]", "[0,0]", name: "\\ud83d\\ude00\\/\\u00e9")
        let reader = try SafetensorsReader(
            path: folder.write(HostileFile.file(Array(escaped.utf8)), as: "escaped"))
        #expect(reader.entries.map(\.name) == ["😀/é"])
    }

    @Test func whatIsNoFileIsRefused() throws {
        let folder = try TemporaryFolder()
        for path in [folder.path, "\(folder.path)/missing", "/dev/zero"] {
            let error = checkpointError { _ = try SafetensorsReader(path: path) }
            #expect(error?.message.contains("expected") == true, "\(path)")
        }
    }
}
