// Images with a class each, wherever they lie: a folder for each class, or an array of images beside one of labels.

import Files
import Foundation

/// Images of one split. Files are decoded when they are asked for, arrays are in memory.
struct ImageSet: Sendable {
    private enum Content: Sendable {
        case files([String])
        /// [images, height, width, channels], 8-bit or as it comes.
        case bytes([UInt8], shape: [Int])
        case floats([Float], shape: [Int])
    }

    private let content: Content
    /// The class of each image.
    let labels: [Int]
    /// In the order of their numbers.
    let classes: [String]
    /// SHA-256 of what it was made from: names and sizes of files, numbers of arrays.
    let fingerprint: String

    /// What the two keys of a configuration name: one folder, or an array of images and one of labels.
    ///
    /// - Parameter channels: that the model takes; an array has as many.
    init(images: String, labels: String?, channels: Int) throws(DatasetError) {
        if let labels {
            try self.init(array: images, labels: labels, channels: channels)
        } else {
            try self.init(folder: images)
        }
    }

    private init(array images: String, labels: String, channels: Int) throws(DatasetError) {
        let files = try [images, labels].map { (path) throws(DatasetError) in
            let bytes = try NumberArray.bytes(of: path)
            return (
                array: try NumberArray(bytes, path), digest: SHA256.digest(of: bytes).hexadecimal
            )
        }
        let (array, numbers) = (files[0].array, files[1].array)
        var shape = array.shape
        if shape.count == 3 { shape.append(1) }
        guard shape.count == 4, shape[3] == channels else {
            throw DatasetError(
                .mismatch,
                "\(images): expected [images, height, width\(channels == 1 ? "" : ", \(channels)")] for "
                    + "model.channels \(channels), found \(array.shape)")
        }
        switch array.values {
        case .bytes(let bytes): content = .bytes(bytes, shape: shape)
        case .floats(let floats): content = .floats(floats, shape: shape)
        case .integers:
            throw DatasetError(
                .mismatch, "\(images): expected bytes or floating-point numbers, found integers")
        }
        let classes: [Int]
        switch numbers.values {
        case .bytes(let bytes): classes = bytes.map { Int($0) }
        case .integers(let integers): classes = integers
        case .floats:
            throw DatasetError(
                .mismatch, "\(labels): expected integers, found floating-point numbers")
        }
        guard numbers.shape == [shape[0]] else {
            throw DatasetError(
                .mismatch,
                "\(labels): expected [\(shape[0])], a label for each image, found \(numbers.shape)")
        }
        if let wrong = classes.first(where: { !(0..<1 << 20).contains($0) }) {
            throw DatasetError(
                .mismatch, "\(labels): expected labels from 0 to \(1 << 20 - 1), found \(wrong)")
        }
        self.labels = classes
        self.classes = (0...(classes.max() ?? 0)).map(String.init)
        fingerprint = ImageSet.digest(of: files.map(\.digest))
    }

    private init(folder: String) throws(DatasetError) {
        var names: [String] = []
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw DatasetError(
                .missing,
                "\(folder): expected a folder with a folder for each class, or data.labels beside an "
                    + "array of images, found \(FileKind.unfit(folder, for: S_IFDIR) ?? "none")")
        }
        classes =
            names.filter {
                !$0.hasPrefix(".") && FileKind.unfit(Folder.join(folder, $0)) == "a folder"
            }.inByteOrder
        guard !classes.isEmpty else {
            throw DatasetError(
                .missing, "\(folder): expected a folder for each class, found none")
        }
        var (paths, labels): ([String], [Int]) = ([], [])
        var told: [String] = []
        for (label, name) in classes.enumerated() {
            let place = Folder.join(folder, name)
            let files = ((try? FileManager.default.contentsOfDirectory(atPath: place)) ?? [])
                .filter {
                    Picture.extensions.contains(($0 as NSString).pathExtension.lowercased())
                }.inByteOrder
            guard !files.isEmpty else {
                throw DatasetError(
                    .missing, "\(place): expected .png, .jpg or .jpeg, found none")
            }
            for file in files {
                let path = Folder.join(place, file)
                told.append("\(name)/\(file) \(try FileDescriptor(reading: path).byteCount())")
                paths.append(path)
                labels.append(label)
            }
        }
        (content, self.labels) = (.files(paths), labels)
        fingerprint = ImageSet.digest(of: told)
    }

    private static func digest(of parts: [String]) -> String {
        SHA256.digest(of: Array(parts.joined(separator: "\n").utf8)).hexadecimal
    }

    var count: Int { labels.count }

    func picture(_ index: Int, channels: Int) throws(DatasetError) -> Picture {
        func slice(_ shape: [Int]) -> Range<Int> {
            let length = shape[1] * shape[2] * shape[3]
            return index * length..<(index + 1) * length
        }
        switch content {
        case .files(let paths): return try Picture(path: paths[index], channels: channels)
        case .bytes(let bytes, let shape):
            return Picture(
                channels: channels, height: shape[1], width: shape[2], bytes: bytes[slice(shape)])
        case .floats(let floats, let shape):
            return Picture(
                channels: channels, height: shape[1], width: shape[2],
                values: Array(floats[slice(shape)]))
        }
    }
}
