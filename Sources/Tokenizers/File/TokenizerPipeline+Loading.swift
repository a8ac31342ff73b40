import Foundation

extension TokenizerPipeline {
    /// Reads a tokenizer.json, or that of a folder.
    package static func load(_ path: String) throws(TokenizerError) -> TokenizerPipeline {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        let file = isFolder.boolValue ? path + "/tokenizer.json" : path
        guard exists, let data = try? Data(contentsOf: URL(fileURLWithPath: file)) else {
            throw TokenizerError(.corrupt, "\(file): expected a tokenizer, found none")
        }
        return try TokenizerPipeline(json: Array(data), name: file)
    }
}
