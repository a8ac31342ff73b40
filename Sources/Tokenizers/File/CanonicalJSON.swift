// One spelling for one tokenizer: programs write the same tokenizer.json with other spaces, orders and forms of merges. What
// a checkpoint keeps, and what its digest is of, is this spelling.

extension JSONNode {
    /// A tokenizer.json without what does not concern tokens (`truncation`, `padding`) and what is null, members in the
    /// order of their keys, a vocabulary in that of its numbers, merges as pairs, no spaces.
    var canonicalTokenizer: [UInt8] {
        guard case .object(let members) = self else { return [] }
        let kept = members.filter { !["truncation", "padding"].contains($0.key.text) }
        var out: [UInt8] = []
        JSONNode.object(kept).writeCanonical(to: &out, key: "")
        out.append(0x0A)
        return out
    }

    private func writeCanonical(to out: inout [UInt8], key: String) {
        switch self {
        case .null, .bool, .integer, .number, .decimal, .string: writeCompact(to: &out)
        case .array(let values):
            out.append(0x5B)
            let isMerges = key == "merges"
            let kept = isMerges ? values.filter { !$0.isVersionLine } : values
            for (index, value) in kept.enumerated() {
                if index > 0 { out.append(0x2C) }
                (isMerges ? value.mergePair : value).writeCanonical(to: &out, key: "")
            }
            out.append(0x5D)
        case .object(let members):
            let present = members.filter { $0.value != .null }
            let sorted =
                key == "vocab"
                ? present.sorted { $0.value.order < $1.value.order }
                : present.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            out.append(0x7B)
            for (index, member) in sorted.enumerated() {
                if index > 0 { out.append(0x2C) }
                JSONNode.quote(member.key, to: &out)
                out.append(0x3A)
                member.value.writeCanonical(to: &out, key: member.key.text)
            }
            out.append(0x7D)
        }
    }

    /// The first line of merges.txt, which some files kept among the merges.
    private var isVersionLine: Bool {
        if case .string(let line) = self { line.starts(with: "#version".utf8) } else { false }
    }

    /// A merge that is written as one text, as two.
    private var mergePair: JSONNode {
        guard case .string(let line) = self else { return self }
        let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
        return parts.count == 2 ? .array(parts.map { .string(Array($0)) }) : self
    }

    private var order: Int {
        if case .integer(let value) = self { return value }
        return .max
    }
}

extension [UInt8] {
    fileprivate var text: String { String(decoding: self, as: UTF8.self) }
}
