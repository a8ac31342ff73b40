// What a download leaves where a file should be.

extension InputFile {
    /// What stands here in the place of the file, and what to do; nil where it seems to be the file itself.
    func placeholder() throws(CheckpointError) -> String? {
        let head = String(
            decoding: try bytes(at: 0, count: min(byteCount, 256)), as: UTF8.self)
        if head.hasPrefix("version https://git-lfs.") {
            return "a pointer of Git LFS; fetch the file itself: git lfs pull"
        }
        let start = head.drop { $0.isWhitespace || $0 == "\u{FEFF}" }.prefix(14).lowercased()
        guard start.hasPrefix("<!doctype html") || start.hasPrefix("<html") else { return nil }
        return "a web page; download the file itself, not the page that shows it"
    }
}
