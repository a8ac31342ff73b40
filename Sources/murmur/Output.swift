import Foundation
import Training

/// What a command was asked for, on standard output.
enum Output {
    /// A value as one line of JSON.
    static func write(line value: some Encodable) throws(RunError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data = try? encoder.encode(value)
        try write(data.map { String(decoding: $0, as: UTF8.self) + "\n" } ?? "{}\n")
    }

    static func write(_ text: String) throws(RunError) {
        do {
            try FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
        } catch {
            throw RunError(.inputOutput, "standard output: expected to write, found \(error)")
        }
    }
}
