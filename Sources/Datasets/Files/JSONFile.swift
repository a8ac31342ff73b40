import Foundation

/// JSON of a known shape: keys that are not expected are an error, and the bytes written are always the
/// same for the same value.
enum JSONFile {
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(value) else {
            preconditionFailure("JSONFile: expected a value of strings and integers, got \(value)")
        }
        return Array(data) + Array("\n".utf8)
    }

    /// Decodes an object whose keys are all among `keys`.
    static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: [UInt8], name: String, keys: Set<String>
    ) throws(DatasetError) -> Value {
        do {
            let decoder = JSONDecoder()
            let unknown = try decoder.decode([String: Ignored].self, from: Data(bytes)).keys
                .filter { !keys.contains($0) }.sorted()
            if let key = unknown.first {
                throw DatasetError(
                    .corrupt,
                    "\(name): expected the keys \(keys.sorted().joined(separator: ", ")), found "
                        + key.debugDescription)
            }
            return try decoder.decode(type, from: Data(bytes))
        } catch let error as DatasetError {
            throw error
        } catch {
            throw DatasetError(
                .corrupt, "\(name): expected \(summary(keys)), found \(reason(error))")
        }
    }

    private static func summary(_ keys: Set<String>) -> String {
        "a JSON object of \(keys.sorted().joined(separator: ", "))"
    }

    private static func reason(_ error: any Error) -> String {
        func place(_ context: DecodingError.Context) -> String {
            let path = context.codingPath.map {
                $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)"
            }
            return path.isEmpty ? "at the top" : "at " + path.joined()
        }
        switch error as? DecodingError {
        case .typeMismatch(_, let context): return "another type \(place(context))"
        case .valueNotFound(_, let context): return "null \(place(context))"
        case .keyNotFound(let key, _): return "no key \(key.stringValue.debugDescription)"
        case .dataCorrupted, .none: return "no valid JSON"
        @unknown default: return "no valid JSON"
        }
    }

    /// Any value.
    private struct Ignored: Decodable {
        init(from decoder: any Decoder) {}
    }
}
