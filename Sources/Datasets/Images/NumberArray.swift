// Arrays of numbers as others store them: NumPy's .npy (format 1 to 3) and the IDX files of MNIST.

/// An array that was read as a whole.
package struct NumberArray: Equatable {
    package enum Values: Equatable {
        case bytes([UInt8])
        case floats([Float])
        case integers([Int])
    }

    package let shape: [Int]
    package let values: Values

    /// Elements; more are refused.
    private static let limit = 1 << 33

    package init(path: String) throws(DatasetError) {
        try self.init(NumberArray.bytes(of: path), path)
    }

    /// A file that can be held in memory as a whole.
    static func bytes(of path: String) throws(DatasetError) -> [UInt8] {
        try Folder.read(path, limit: limit)
    }

    /// - Parameter path: of the file that the bytes are, for errors.
    init(_ bytes: [UInt8], _ path: String) throws(DatasetError) {
        if bytes.starts(with: [0x93] + Array("NUMPY".utf8)) {
            try self.init(npy: bytes, path)
        } else if bytes.count > 4, bytes[0] == 0, bytes[1] == 0 {
            try self.init(idx: bytes, path)
        } else if bytes.starts(with: [0x1F, 0x8B]) {
            throw DatasetError(
                .corrupt, "\(path): expected .npy or IDX, found gzip; unpack it first: gunzip")
        } else {
            throw DatasetError(.corrupt, "\(path): expected .npy or IDX, found neither")
        }
    }

    /// Two zeros, a type, the number of extents; extents as big-endian 32-bit numbers.
    private init(idx bytes: [UInt8], _ path: String) throws(DatasetError) {
        let rank = Int(bytes[3])
        guard bytes[2] == 0x08, (1...4).contains(rank), bytes.count >= 4 + 4 * rank else {
            throw DatasetError(
                .corrupt,
                "\(path): expected an IDX of bytes with 1 to 4 extents, found type \(bytes[2]) with \(rank)"
            )
        }
        shape = (0..<rank).map { axis in
            bytes[4 + 4 * axis..<8 + 4 * axis].reduce(0) { $0 << 8 | Int($1) }
        }
        let count = try NumberArray.count(shape, path)
        values = .bytes(
            Array(try NumberArray.data(bytes, from: 4 + 4 * rank, count: count, path)))
    }

    private init(npy bytes: [UInt8], _ path: String) throws(DatasetError) {
        func problem(_ found: String) -> DatasetError {
            DatasetError(
                .corrupt,
                "\(path): expected a .npy of |u1, <f4, <f8, <i4 or <i8 in C order, found \(found)")
        }
        guard bytes.count >= 12, (1...3).contains(bytes[6]) else {
            throw problem("its header damaged")
        }
        let wide = bytes[6] > 1
        let length = (0..<(wide ? 4 : 2)).reduce(0) { $0 | Int(bytes[8 + $1]) << (8 * $1) }
        let start = wide ? 12 : 10
        guard length <= 1 << 16, bytes.count >= start + length else {
            throw problem("its header cut off")
        }
        let header = String(decoding: bytes[start..<start + length], as: UTF8.self)
        let form =
            /'descr':\s*'(?<type>[^']*)'.*'fortran_order':\s*(?<order>True|False).*'shape':\s*\((?<shape>[0-9, ]*)\)/
        guard let match = header.firstMatch(of: form) else { throw problem("another header") }
        guard match.order == "False" else { throw problem("Fortran order") }
        shape = match.shape.split(separator: ",").compactMap {
            Int($0.trimmingPrefix(while: \.isWhitespace))
        }
        let count = try NumberArray.count(shape, path)
        func numbers<Number>(_ type: Number.Type) throws(DatasetError) -> [Number] {
            let size = MemoryLayout<Number>.size
            let data = try NumberArray.data(
                bytes, from: start + length, count: count * size, path)
            return data.withUnsafeBytes { raw in
                (0..<count).map { raw.loadUnaligned(fromByteOffset: $0 * size, as: type) }
            }
        }
        switch match.type {
        case "|u1": values = .bytes(try numbers(UInt8.self))
        case "<f4": values = .floats(try numbers(Float.self))
        case "<f8": values = .floats(try numbers(Double.self).map { Float($0) })
        case "<i4": values = .integers(try numbers(Int32.self).map { Int($0) })
        case "<i8": values = .integers(try numbers(Int64.self).map { Int($0) })
        default: throw problem("\(match.type)")
        }
    }

    private static func count(_ shape: [Int], _ path: String) throws(DatasetError) -> Int {
        var count = 1
        for extent in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: extent)
            guard !overflow, extent > 0, product <= limit else {
                throw DatasetError(
                    .tooLarge,
                    "\(path): expected extents above 0 and at most \(limit) numbers, found \(shape)"
                )
            }
            count = product
        }
        return count
    }

    private static func data(
        _ bytes: [UInt8], from start: Int, count: Int, _ path: String
    ) throws(DatasetError) -> ArraySlice<UInt8> {
        guard bytes.count - start == count else {
            throw DatasetError(
                .corrupt,
                "\(path): expected \(count) bytes of numbers, found \(bytes.count - start)")
        }
        return bytes[start...]
    }
}
