import Configuration
import Models

extension Key<RunConfiguration> {
    /// The tables of `docs/configuration.md`, in Markdown: the keys of every run, then those of each family.
    package static var documentation: String {
        let configuration = RunConfiguration.placeholder
        let families = Family.allCases.map(\.shape)
        let own = Set(families.flatMap { keyPaths(of: $0) })
        let common = all.filter { !own.contains($0.path) }
        return table(common, of: configuration)
            + zip(Family.allCases, families).map {
                "\n## `model.family: \($0.rawValue)`\n\n\(table(of: $1))"
            }.joined()
    }

    private static func keyPaths<Shape: ModelShape>(of shape: Shape.Type) -> [String] {
        shape.keys.map(\.path)
    }

    private static func table<Shape: ModelShape>(of shape: Shape.Type) -> String {
        table(shape.keys, of: shape.init())
    }

    private static func table<Section>(_ keys: [Key<Section>], of initial: Section) -> String {
        let rows = keys.map { key in
            "| `\(key.path)` | \(key.expected) | \(key.standardText(of: initial)) "
                + "| \(key.rule.rawValue) | \(key.summary) |\n"
        }
        return
            "| key | expects | default | on resume | meaning |\n| --- | --- | --- | --- | --- |\n"
            + rows.joined()
    }
}
