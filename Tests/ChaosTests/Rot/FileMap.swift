import Checkpointing
import TestSupport

/// What the bytes of a checkpoint's file are.
struct FileMap {
    enum Kind: String, CaseIterable {
        case manifest
        case manifestDigest = "manifest's digest"
        case text
        case headerLength = "header length"
        case header
        case padding
        case tensor
    }

    let name: String
    let byteCount: Int
    /// Without empty ones; they cover the file.
    let regions: [(kind: Kind, range: Range<Int>)]
    private let tensors: [(name: String, range: Range<Int>)]

    init(_ name: String, path: String) throws {
        let bytes = try ChaosTests.bytes(of: path)
        var regions: [(kind: Kind, range: Range<Int>)] = []
        var tensors: [(name: String, range: Range<Int>)] = []
        if name == "manifest.json" {
            // The last line: "digest": "sha256:, 64 digits, "} and a newline.
            let body = bytes.count - 85
            regions = [(.manifest, 0..<body), (.manifestDigest, body..<bytes.count)]
        } else if name.hasSuffix(".safetensors") {
            let first = 8 + bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            let text = bytes[..<first].lastIndex { $0 != 0x20 }! + 1
            regions = [
                (.headerLength, 0..<8), (.header, 8..<text), (.padding, text..<first),
                (.tensor, first..<bytes.count),
            ]
            // A key is the tensor's name and, in brackets, which elements of it.
            tensors = try SafetensorsReader(path: path).entries.map { entry in
                let name = entry.name[..<entry.name.lastIndex(of: "[")!]
                let range = first + entry.bytes.lowerBound..<first + entry.bytes.upperBound
                return (String(name), range)
            }
        } else {
            regions = [(.text, 0..<bytes.count)]
        }
        (self.name, byteCount) = (name, bytes.count)
        (self.regions, self.tensors) = (regions.filter { !$0.range.isEmpty }, tensors)
    }

    func kind(of offset: Int) -> Kind? { regions.first { $0.range.contains(offset) }?.kind }

    /// The tensor whose byte lies there.
    func tensor(at offset: Int) -> String? { tensors.first { $0.range.contains(offset) }?.name }

    /// What a reason must have that passes over a checkpoint for damage to this byte.
    func reasons(at offset: Int, folder: String) -> [String] {
        ["\(folder)/\(name): "]
            + (tensor(at: offset).map { ["tensor \($0): expected xxh64:"] } ?? [])
    }
}

/// One bit of one file.
struct Flip: CustomStringConvertible {
    let file: FileMap
    let offset: Int
    let bit: Int

    /// Evenly over all bytes, or evenly over what bytes can be.
    init(in files: [FileMap], evenlyOverBytes: Bool, _ dice: inout Dice) {
        if evenlyOverBytes {
            var byte = dice.roll(files.reduce(0) { $0 + $1.byteCount })
            var index = 0
            while byte >= files[index].byteCount {
                byte -= files[index].byteCount
                index += 1
            }
            (file, offset) = (files[index], byte)
        } else {
            let all = files.flatMap { file in file.regions.map { (file, $0.range) } }
            let (file, range) = dice.pick(all)
            (self.file, offset) = (file, range.lowerBound + dice.roll(range.count))
        }
        bit = dice.roll(8)
    }

    init(in file: FileMap, _ dice: inout Dice) {
        (self.file, offset, bit) = (file, dice.roll(file.byteCount), dice.roll(8))
    }

    var description: String { "\(file.name), byte \(offset), bit \(bit)" }
}
