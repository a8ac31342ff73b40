import Layers

extension Plan {
    /// Elements of a model's parameters, by part: of the whole model, or of what a rank holds of it.
    public struct Parameters: Sendable, Equatable, Encodable {
        /// A part of the model, in the order of the forward pass.
        public struct Part: Sendable, Equatable {
            /// The head of the names of its parameters, with a star for the number of a layer: `h.*.attn`.
            public let name: String
            public internal(set) var count: Int
        }

        public let parts: [Part]
        public let total: Int

        private enum CodingKeys: CodingKey { case parts, total }

        /// - Parameter parameters: names with counts of elements.
        init(_ parameters: [(name: String, count: Int)]) {
            var parts: [Part] = []
            var places: [String: Int] = [:]
            for (name, count) in parameters {
                let name = Parameters.part(of: name)
                if let place = places[name] {
                    parts[place].count += count
                } else {
                    places[name] = parts.count
                    parts.append(Part(name: name, count: count))
                }
            }
            self.parts = parts
            total = parameters.reduce(0) { $0 + $1.count }
        }

        /// 0 where the model has no such part.
        public subscript(name: String) -> Int { parts.first { $0.name == name }?.count ?? 0 }

        /// The name up to what belongs to a layer, without `weight` or `bias`.
        private static func part(of name: String) -> String {
            let names = name.split(separator: ".").dropLast().map {
                $0.allSatisfy(\.isNumber) ? "*" : String($0)
            }
            let last = names.lastIndex(of: "*") ?? names.count
            return names.isEmpty ? name : names.prefix(last + 2).joined(separator: ".")
        }

        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(
                Dictionary(uniqueKeysWithValues: parts.map { ($0.name, $0.count) }), forKey: .parts)
            try container.encode(total, forKey: .total)
        }
    }
}
