// One image, decoded: from PNG or JPEG through the system's libraries.

import CImages
import Foundation

/// Numbers of pixels, row by row, the channels of a pixel side by side.
package struct Picture: Equatable {
    package let channels: Int
    package let height: Int
    package let width: Int
    /// [height, width, channels]; of 8-bit images from 0 to 1.
    package var values: [Float]

    package init(channels: Int, height: Int, width: Int, values: [Float]) {
        precondition(values.count == channels * height * width, "Picture: \(values.count) values")
        (self.channels, self.height, self.width) = (channels, height, width)
        self.values = values
    }

    init(channels: Int, height: Int, width: Int, bytes: some Sequence<UInt8>) {
        self.init(
            channels: channels, height: height, width: width,
            values: bytes.map { Float($0) / 255 })
    }

    /// Pixels of a side; what is larger is taken for damage or malice.
    private static let longestSide = 32_768
    private static let mostPixels = 1 << 27
    /// Of a file.
    private static let mostBytes = 1 << 30

    static let extensions: Set<String> = ["png", "jpg", "jpeg"]

    /// Reads a file by its first bytes, in so many channels: 1 for grey, 3 for colours; transparency goes.
    package init(path: String, channels: Int) throws(DatasetError) {
        let bytes = try Folder.read(path, limit: Picture.mostBytes)
        if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47]) {
            try self.init(png: bytes, path, channels)
        } else if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
            try self.init(jpeg: bytes, path, channels)
        } else {
            throw DatasetError(.corrupt, "\(path): expected a PNG or a JPEG, found neither")
        }
    }

    private init(png bytes: [UInt8], _ path: String, _ channels: Int) throws(DatasetError) {
        var image = png_image()
        image.version = png_uint_32(PNG_IMAGE_VERSION)
        defer { png_image_free(&image) }
        func problem() -> DatasetError {
            let reason = withUnsafeBytes(of: image.message) { text in
                String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
            }
            return DatasetError(
                .corrupt, "\(path): expected a sound PNG, found the error \"\(reason)\"")
        }
        guard png_image_begin_read_from_memory(&image, bytes, bytes.count) != 0 else {
            throw problem()
        }
        let (height, width) = (Int(image.height), Int(image.width))
        try Picture.requireSize(height, width, path)
        // Grey, or colours one after the other.
        image.format = png_uint_32(channels == 1 ? 0 : PNG_FORMAT_FLAG_COLOR)
        var pixels = [UInt8](repeating: 0, count: height * width * channels)
        // What is transparent lies on black.
        var background = png_color()
        guard png_image_finish_read(&image, &background, &pixels, 0, nil) != 0 else {
            throw problem()
        }
        self.init(channels: channels, height: height, width: width, bytes: pixels)
    }

    private init(jpeg bytes: [UInt8], _ path: String, _ channels: Int) throws(DatasetError) {
        let decoder = tjInitDecompress()
        defer { tjDestroy(decoder) }
        func problem() -> DatasetError {
            let reason = tjGetErrorStr2(decoder).map { String(cString: $0) } ?? "unknown"
            return DatasetError(
                .corrupt, "\(path): expected a sound JPEG, found the error \"\(reason)\"")
        }
        var (width, height, sampling, colours): (Int32, Int32, Int32, Int32) = (0, 0, 0, 0)
        guard
            tjDecompressHeader3(
                decoder, bytes, UInt(bytes.count), &width, &height, &sampling, &colours) == 0
        else { throw problem() }
        try Picture.requireSize(Int(height), Int(width), path)
        let format = channels == 1 ? TJPF_GRAY : TJPF_RGB
        var pixels = [UInt8](repeating: 0, count: Int(height) * Int(width) * channels)
        // A damaged or truncated file is an error, not a grey corner.
        let flags = TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING
        guard
            tjDecompress2(
                decoder, bytes, UInt(bytes.count), &pixels, width, 0, height,
                Int32(format.rawValue),
                Int32(flags)) == 0
        else { throw problem() }
        self.init(channels: channels, height: Int(height), width: Int(width), bytes: pixels)
    }

    private static func requireSize(
        _ height: Int, _ width: Int, _ path: String
    ) throws(DatasetError) {
        guard (1...longestSide).contains(height), (1...longestSide).contains(width),
            height * width <= mostPixels
        else {
            throw DatasetError(
                .tooLarge,
                "\(path): expected sides up to \(longestSide) and at most \(mostPixels) pixels, found "
                    + "\(width) x \(height)")
        }
    }
}
