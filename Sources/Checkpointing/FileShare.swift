import Files

/// One of several shares of a checkpoint's files, which have about the same number of bytes: of all files in the order
/// of the manifest, one after the other.
struct FileShare {
    /// The files by their numbers, and which bytes of each are of the share.
    let files: [(number: Int, bytes: Range<Int>)]

    /// - Parameter share: of 0 ..< `count`; the last also has what follows the last byte: an empty file.
    init(_ share: Int, of count: Int, _ manifest: CheckpointManifest) {
        let total = manifest.files.reduce(0) { $0 + $1.byteCount }
        func start(_ share: Int) -> Int { total / count * share + min(share, total % count) }
        let (first, last) = (start(share), share == count - 1 ? Int.max : start(share + 1))
        var files: [(number: Int, bytes: Range<Int>)] = []
        var position = 0
        for (number, file) in manifest.files.enumerated() {
            let end = position + file.byteCount
            if position < last, end > first || position >= first {
                files.append(
                    (
                        number,
                        max(first, position) - position..<max(position, min(last, end)) - position
                    ))
            }
            position = end
        }
        self.files = files
    }
}

extension InputFolder {
    /// Opens a file of a manifest and compares its size.
    func open(_ file: CheckpointManifest.File) throws(CheckpointError) -> InputFile {
        let input = try open(file.name)
        guard input.byteCount == file.byteCount else {
            throw CheckpointError(
                .unusable,
                "\(input.path.printablePath): expected \(file.byteCount) bytes, "
                    + "found \(input.byteCount)")
        }
        return input
    }
}

extension CheckpointManifest.File {
    /// Compares what the digest covers.
    func compare(_ input: InputFile) throws(CheckpointError) {
        let found = try input.digest(
            of: 0..<digestedByteCount, PartDigest.Algorithm(of: digest))
        guard found == digest else {
            throw CheckpointError(
                .unusable, "\(input.path.printablePath): expected \(digest), found \(found)")
        }
    }
}

extension CheckpointManifest {
    /// Fills in the texts. Where one cannot be used, all files that are missing, or are not as they should be, are
    /// named at once.
    mutating func readTexts(in folder: InputFolder) throws(CheckpointError) {
        do throws(CheckpointError) {
            progress.identity.configuration = try text(
                CheckpointManifest.configurationName, in: folder)
            progress.identity.tokenizer = try text(CheckpointManifest.tokenizerName, in: folder)
        } catch {
            guard error.isOfOneCheckpoint else { throw error }
            var problems: [CheckpointError] = []
            for file in files {
                do throws(CheckpointError) {
                    try file.compare(folder.open(file))
                } catch {
                    problems.append(error)
                }
            }
            throw CheckpointError(joining: problems) ?? error
        }
    }

    /// A text beside the manifest, compared with its digest.
    private func text(_ name: String, in folder: InputFolder) throws(CheckpointError) -> String {
        guard let file = files.first(where: { $0.name == name }) else {
            throw CheckpointError(
                .unusable,
                "\(folder.path.printablePath): expected a file \(name), found none in the manifest")
        }
        let input = try folder.open(file)
        guard input.byteCount <= CheckpointManifest.longestText else {
            throw CheckpointError(
                .unusable,
                "\(input.path.printablePath): expected at most \(CheckpointManifest.longestText) "
                    + "bytes, found \(input.byteCount)")
        }
        try file.compare(input)
        let bytes = try input.bytes(at: 0, count: input.byteCount)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw CheckpointError(.unusable, "\(input.path.printablePath): expected UTF-8")
        }
        return text
    }
}
