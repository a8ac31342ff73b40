extension ConfigurationKey {
    /// The table of `docs/configuration.md`: one row a key, in Markdown.
    package static var documentation: String {
        let configuration = RunConfiguration(
            run: .init(directory: "", steps: 1),
            model: .init(layers: 1, heads: 1, width: 1, contextLength: 1),
            batch: .init(sequences: 1, microBatch: 1), optimizer: .init(learningRate: 1))
        let rows = all.map { key in
            let standard =
                switch key.standard {
                case .required: "required"
                case .value: "`\(key.text(configuration))`"
                case .derived(let text, _): text
                }
            return "| `\(key.path)` | \(key.expected) | \(standard) | \(key.rule.rawValue) "
                + "| \(key.summary) |\n"
        }
        return
            "| key | expects | default | on resume | meaning |\n| --- | --- | --- | --- | --- |\n"
            + rows.joined()
    }
}
