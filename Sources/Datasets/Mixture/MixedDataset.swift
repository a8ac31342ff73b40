import Files
import Foundation

/// Several prepared folders of one tokenizer, by the names of their folders.
public struct MixedDataset: Sendable {
    public struct Source: Sendable {
        /// The last part of the folder's path.
        public let name: String
        public let dataset: PreparedDataset
    }

    public let sources: [Source]
    /// So many weights add up within 60 bits.
    private static let most = 1000

    public var tokenizer: Tokenizer { sources[0].dataset.tokenizer }

    /// SHA-256 that names tokenizer, content and order of all tokens of all sources.
    ///
    /// - Parameter readsDocuments: as of a prepared folder.
    public func fingerprint(readsDocuments: Bool) -> String {
        let parts = sources.map {
            "\($0.name) \($0.dataset.fingerprint(readsDocuments: readsDocuments))"
        }
        return SHA256.digest(of: Array(parts.joined(separator: "\n").utf8)).hexadecimal
    }

    /// Training tokens of each source.
    public var tokenCounts: [Int] { sources.map(\.dataset.train.count) }

    /// Opens folders that were prepared; the problems of all are reported at once.
    public init(folders: [String]) throws(DatasetError) {
        precondition(!folders.isEmpty, "MixedDataset: expected folders, got none")
        guard folders.count <= MixedDataset.most else {
            throw DatasetError(
                .tooLarge,
                "data.sources: expected at most \(MixedDataset.most) folders, found \(folders.count)"
            )
        }
        var (sources, errors): ([Source], [DatasetError]) = ([], [])
        for folder in folders {
            do throws(DatasetError) {
                let source = Source(
                    name: (folder as NSString).lastPathComponent,
                    dataset: try PreparedDataset(folder: folder))
                if sources.contains(where: { $0.name == source.name }) {
                    throw DatasetError(
                        .mismatch,
                        "\(folder): expected sources of different names, found \(source.name) twice; "
                            + "rename one of the folders")
                }
                if let first = sources.first,
                    first.dataset.tokenizer.digest != source.dataset.tokenizer.digest
                {
                    throw DatasetError(
                        .mismatch,
                        "\(folder): tokenizer: expected \(first.dataset.tokenizer.digest) as in "
                            + "\(folders[0]), found \(source.dataset.tokenizer.digest); prepare the "
                            + "sources with one tokenizer")
                }
                if let first = sources.first,
                    first.dataset.train.kind != source.dataset.train.kind
                {
                    throw DatasetError(
                        .mismatch,
                        "\(folder): expected \(first.dataset.train.kind.name) as in \(folders[0]), found "
                            + source.dataset.train.kind.name)
                }
                if let first = sources.first, first.dataset.classes != source.dataset.classes {
                    throw DatasetError(
                        .mismatch,
                        "\(folder): classes: expected \(first.dataset.classes) as in \(folders[0]), found "
                            + "\(source.dataset.classes); prepare the sources with one list input.classes"
                    )
                }
                sources.append(source)
            } catch {
                errors.append(error)
            }
        }
        if !errors.isEmpty { throw DatasetError(all: errors) }
        self.sources = sources
    }
}
