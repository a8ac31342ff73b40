// Training of a language model, and its file:
//
//     0    8    `MURMLNG` and a line feed
//     8    4    version: 1
//     12   4    buckets are 2 to this: 10 to 18
//     16   4    languages: 1 to 255
//     20   4    bytes of their names, n: each name, with a line feed behind it, ascending by bytes
//     24   n    the names
//     …         languages · buckets bytes: the costs of each bucket, in the order of the languages
//     …    4    CRC-32C of everything before
//
// All integers are little-endian.

import Datasets
import Files
import Tokenizers

extension LanguageModel {
    private static let magic = Array("MURMLNG\n".utf8)
    private static let version: UInt32 = 1
    private static let headBytes = 24

    /// A model of the languages of `samples`; a language may have several.
    /// - Throws: names that are none, too many languages, and a language without letters.
    package static func train(
        _ samples: [(language: String, text: [UInt8])], bucketBits: Int = 16
    ) throws(DatasetError) -> LanguageModel {
        precondition(
            bucketBitsRange.contains(bucketBits),
            "LanguageModel: expected 2^10 to 2^18 buckets, got 2^\(bucketBits)")
        let languages = Set(samples.map(\.language)).sorted {
            $0.utf8.lexicographicallyPrecedes($1.utf8)
        }
        guard 1...mostLanguages ~= languages.count else {
            throw DatasetError(
                .tooSmall,
                "language model: expected texts in 1 to \(mostLanguages) languages, found \(languages.count)"
            )
        }
        var costs = [UInt8](
            repeating: emptyCost(bucketBits: bucketBits), count: languages.count << bucketBits)
        for (number, language) in languages.enumerated() {
            guard isName(Array(language.utf8)[...]) else {
                throw DatasetError(
                    .invalidText,
                    "language model: expected a name of 1 to 35 letters, digits, -, _ or @, "
                        + "found \(language.printablePath)")
            }
            var counts = [Int](repeating: 0, count: 1 << bucketBits)
            var total = 0
            for sample in samples where sample.language == language {
                let text = UTF8Text.repaired(sample.text)
                LanguageFeatures.forEach(in: text.span, 0..<text.count, bits: bucketBits) {
                    bucket, _ in
                    counts[bucket] += 1
                    total += 1
                }
            }
            guard total > 0 else {
                throw DatasetError(
                    .tooSmall, "language model: expected letters in \(language), found none")
            }
            for (bucket, count) in counts.enumerated() where count > 0 {
                costs[bucket * languages.count + number] = cost(
                    Double(count) / Double(total), bucketBits: bucketBits)
            }
        }
        return LanguageModel(languages: languages, bucketBits: bucketBits, costs: costs)
    }

    private static func isName(_ bytes: ArraySlice<UInt8>) -> Bool {
        1...35 ~= bytes.count
            && bytes.allSatisfy {
                TextCharacters.isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F || $0 == 0x40
            }
    }

    /// Writes the model whole or not at all; a file that is there is replaced.
    package func save(to path: String) throws(DatasetError) {
        try CleaningFile.write(encoded(), to: path)
    }

    /// The file's bytes.
    package func encoded() -> [UInt8] {
        let names: [UInt8] = languages.flatMap { Array($0.utf8) + [UInt8(0x0A)] }
        var bytes = LanguageModel.magic
        bytes.reserveCapacity(costs.count + names.count + LanguageModel.headBytes + 4)
        for value in [
            LanguageModel.version, UInt32(bucketBits), UInt32(languages.count), UInt32(names.count),
        ] {
            LanguageModel.append(value, to: &bytes)
        }
        bytes += names
        bytes += costs
        LanguageModel.append(CRC32C.checksum(of: bytes), to: &bytes)
        return bytes
    }

    package init(path: String) throws(DatasetError) {
        let most = LanguageModel.mostLanguages << LanguageModel.bucketBitsRange.upperBound
        let bytes = try CleaningFile.read(path, limit: most + (1 << 16))
        try self.init(bytes, path: path)
    }

    /// Reads a file's bytes.
    package init(_ bytes: [UInt8], path: String) throws(DatasetError) {
        let name = path.printablePath
        func fault(_ expected: String, _ found: String) -> DatasetError {
            DatasetError(
                .corrupt,
                "\(name): expected \(expected), found \(found); train the language model again")
        }
        let head = LanguageModel.headBytes
        guard bytes.count >= head + 4, bytes.starts(with: LanguageModel.magic) else {
            throw fault("a language model", "\(bytes.count) bytes of something else")
        }
        let version = LanguageModel.integer(bytes, at: 8)
        guard version == Int(LanguageModel.version) else {
            throw fault("version \(LanguageModel.version)", "\(version)")
        }
        let bits = LanguageModel.integer(bytes, at: 12)
        let languageCount = LanguageModel.integer(bytes, at: 16)
        let nameBytes = LanguageModel.integer(bytes, at: 20)
        guard LanguageModel.bucketBitsRange.contains(bits),
            1...LanguageModel.mostLanguages ~= languageCount,
            nameBytes <= languageCount * 36
        else {
            throw fault(
                "1 to 255 languages and 2^10 to 2^18 buckets",
                "\(languageCount) languages, 2^\(bits) buckets, \(nameBytes) bytes of names")
        }
        let size = head + nameBytes + languageCount << bits + 4
        guard bytes.count == size else { throw fault("\(size) bytes", "\(bytes.count)") }
        let stored = LanguageModel.integer(bytes, at: size - 4)
        var checksum = CRC32C()
        checksum.update(bytes[..<(size - 4)])
        guard stored == Int(checksum.value) else {
            throw fault("the checksum \(stored)", "\(checksum.value)")
        }
        var names: [ArraySlice<UInt8>] = []
        var start = head
        while start < head + nameBytes {
            let end = bytes[start..<head + nameBytes].firstIndex(of: 0x0A) ?? head + nameBytes
            names.append(bytes[start..<end])
            start = end + 1
        }
        let isAscending = zip(names, names.dropFirst()).allSatisfy {
            $0.lexicographicallyPrecedes($1)
        }
        guard names.count == languageCount, isAscending, names.allSatisfy(LanguageModel.isName)
        else { throw fault("names of \(languageCount) languages, ascending", "others") }
        self.init(
            languages: names.map { String(decoding: $0, as: UTF8.self) }, bucketBits: bits,
            costs: Array(bytes[(head + nameBytes)..<(size - 4)]))
    }

    private static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        for shift in stride(from: UInt32(0), to: 32, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    private static func integer(_ bytes: [UInt8], at offset: Int) -> Int {
        (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
}
