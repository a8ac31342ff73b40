import Foundation

extension Encodable {
    /// One line of JSON for programs, whose keys are a contract: in snake case, sorted.
    var reportJSON: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.keyEncodingStrategy = .convertToSnakeCase
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}
