// `murmur checkpoint import`: from a Hugging Face folder to a run directory at step 0, from which
// `generate`, `evaluate` and `train --resume` go on.

import Checkpointing
import Datasets
import Files
import Foundation
import Kernels
import Layers
import Models
import Tokenizers

/// What an import made.
public struct ImportedCheckpoint: Sendable {
    public let path: String
    public let parameterCount: Int
    /// What a person should know.
    public let notes: [String]
}

/// Makes a run directory, which must hold no run, with a checkpoint of step 0 from a Hugging Face folder.
///
/// - Parameter configuration: of the training to come: its model must be the folder's, and its data are
///   opened; nil makes one from `config.json`.
public func importCheckpoint(
    _ path: String, into directory: String, configuration given: RunConfiguration? = nil
) throws(RunError) -> ImportedCheckpoint {
    try checkMachine()
    let folder = try checkpointing { () throws(CheckpointError) in try HuggingFaceFolder(path) }
    let file = try ModelConfigurationFile(folder)
    var notes: [String] = []
    let stock = try ImportedVocabulary(folder, file)
    let passedOn = PassedOnFiles(of: folder)
    let dataset = try openDataset(given, &notes)
    let vocabulary = try choose(dataset?.vocabulary, stock, path: path, &notes)
    var configuration = try configure(
        file, given, directory, vocabulary, importedFrom: path)
    if given == nil, folder.has(HuggingFaceFile.preprocessor) {
        let members = try checkpointing { () throws(CheckpointError) in
            try folder.members(of: HuggingFaceFile.preprocessor)
        }
        configuration.takeNormalisation(members, &notes)
    }
    if let given, given.run.directory != directory {
        notes.append("train it with --set run.directory=\(directory)")
    }
    notes += file.choices(in: configuration.model.shape)
    let symbols = try configuration.symbols(ofData: vocabulary)
    let model = configuration.makeModel(symbols: symbols)
    let shape = try configuration.model.huggingFaceShape(vocabulary: symbols)
    let tensors = HuggingFaceTensors(shape.weightMap, of: model.parameters)
    let weights = try checkpointing { () throws(CheckpointError) in
        try HuggingFaceWeights(in: folder, expecting: tensors, isTied: file.isTied)
    }

    notes += weights.notes
    // With a tokenizer of other data, the folder's ids mean nothing.
    let keepsFiles = vocabulary == nil || stock.known != nil
    if keepsFiles { notes += passedOn.notes }

    // They read the weights: what is wrong with a folder is told before there is a run directory.
    try checkpointing { () throws(CheckpointError) in try weights.checkAliases() }
    try checkpointing { () throws(CheckpointError) in try weights.checkValues() }
    let identity = configuration.identity(
        tokenizer: vocabulary?.json ?? stock.text,
        tokenizerDigest: vocabulary?.digest ?? ContentDigest.hexadecimal(stock.text),
        datasetDigest: dataset?.fingerprint(
            readsDocuments: configuration.data.packing == .documents) ?? "none")
    let saved = try configuration.makeRun(
        in: directory, of: model, weights: weights.state,
        progress: TrainingProgress(step: 0, optimizerUpdates: 0, samples: 0, identity: identity)
    ) { () throws(RunError) in
        if keepsFiles { try passedOn.write(to: directory, run: identity.run) }
    }
    return ImportedCheckpoint(
        path: saved, parameterCount: model.parameterCount, notes: notes)
}

/// What a folder has for a tokenizer, or for the names of classes.
private struct ImportedVocabulary {
    /// nil where it has none of a kind that this version knows.
    let known: Vocabulary?
    /// What a checkpoint keeps in its place.
    let text: String
    /// Why it is not known, where there is one.
    private(set) var reason: String?

    init(_ folder: HuggingFaceFolder, _ file: ModelConfigurationFile) throws(RunError) {
        if let classes = file.classes {
            let vocabulary = Vocabulary.classes(classes)
            (known, text) = (vocabulary, vocabulary.json)
            return
        }
        // Every character that Unicode assigns fits.
        let limit = 1 << 22
        if folder.has(Tokenizer.exportedName) {
            let bytes = try checkpointing { () throws(CheckpointError) in
                try folder.bytes(of: Tokenizer.exportedName, limit: limit)
            }
            do throws(DatasetError) {
                known = .tokens(
                    try Tokenizer(json: bytes, name: "\(folder.path)/\(Tokenizer.exportedName)"))
            } catch {
                throw RunError(.checkpoint, error.message)
            }
            text = String(decoding: bytes, as: UTF8.self)
            return
        }
        let none = "{\"type\": \"none\"}\n"
        guard folder.has(HuggingFaceFile.tokenizer) else {
            // Files that tokenizers came in before there was a tokenizer.json.
            do throws(DatasetError) {
                known = .tokens(try Tokenizer.load(files: folder.path))
            } catch {
                (known, reason) = (nil, error.message)
            }
            text = known?.json ?? none
            return
        }
        let bytes = try checkpointing { () throws(CheckpointError) in
            try folder.bytes(of: HuggingFaceFile.tokenizer, limit: TokenizerPipeline.byteLimit)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw RunError(
                .checkpoint, "\(folder.path)/\(HuggingFaceFile.tokenizer): expected UTF-8")
        }
        do throws(DatasetError) {
            let name = "\(folder.path)/\(HuggingFaceFile.tokenizer)"
            var tokenizer = Tokenizer(huggingFace: bytes)
            if tokenizer == nil { tokenizer = try Tokenizer(json: bytes, name: name) }
            known = tokenizer.map { .tokens($0) }
            self.text = known?.json ?? text
        } catch {
            (known, reason, self.text) = (nil, error.message, text)
        }
        guard self.text.utf8.count <= CheckpointManifest.longestText else {
            throw RunError(
                .checkpoint,
                "\(folder.path)/\(HuggingFaceFile.tokenizer): expected at most "
                    + "\(CheckpointManifest.longestText) bytes, found \(self.text.utf8.count)")
        }
    }
}

private func openDataset(
    _ given: RunConfiguration?, _ notes: inout [String]
) throws(RunError) -> RunData? {
    guard let given, !given.data.isEmpty else {
        notes.append(
            "no data were named: training goes on with --resume and --override data"
                + (given == nil ? ", and the sections that are to change" : ""))
        return nil
    }
    return try given.openDataset()
}

/// The vocabulary of the run: that of its data, which must be the folder's where both are known.
private func choose(
    _ data: Vocabulary?, _ stock: ImportedVocabulary, path: String, _ notes: inout [String]
) throws(RunError) -> Vocabulary? {
    if let data, let known = stock.known, known.digest != data.digest {
        let word =
            switch data {
            case .tokens: "tokenizer"
            case .classes: "classes"
            }
        throw RunError(
            .checkpoint,
            "\(path): \(word): expected \(data.digest) as the data have it, found \(known.digest)")
    }
    if stock.known == nil {
        if let reason = stock.reason { notes.append(reason) }
        if case .tokens(let tokenizer) = data {
            notes.append(
                "\(path) has no tokenizer of a kind that this version knows; the run has that of its "
                    + "data, \(tokenizer.kind.rawValue)")
        } else {
            notes.append(
                "\(path) has no tokenizer of a kind that this version knows: generate, evaluate and "
                    + "train need one")
        }
    }
    return data ?? stock.known
}

/// The configuration to save: the given one, compared with the folder's, or one made from it.
private func configure(
    _ file: ModelConfigurationFile, _ given: RunConfiguration?, _ directory: String,
    _ vocabulary: Vocabulary?, importedFrom: String
) throws(RunError) -> RunConfiguration {
    var configuration: RunConfiguration
    if let given {
        configuration = given
        let symbols = given.symbolCount(ofData: vocabulary)
        let differences = file.differences(from: given.model.shape, vocabulary: symbols)
        guard differences.isEmpty else {
            throw RunError(.usage, problems: differences)
        }
    } else {
        configuration = RunConfiguration(
            run: .init(directory: directory, steps: 1000), model: .init(file.shape),
            batch: .init(sequences: 8, microBatch: 1), optimizer: .init(learningRate: 3e-5))
        if case .tokens(let tokenizer) = vocabulary {
            configuration.data.tokenizer = tokenizer.choice(from: importedFrom)
        }
        let size = vocabulary?.count ?? 0
        guard size <= file.shape.vocabulary ?? size else {
            throw RunError(
                .checkpoint,
                "\(file.path): vocab_size: expected at least the tokenizer's \(size), found "
                    + "\(file.shape.vocabulary ?? 0)")
        }
    }
    configuration.run.directory = directory
    if configuration.model.shape.vocabulary == nil, vocabulary == nil {
        configuration.model.shape.vocabulary = file.shape.vocabulary
    }
    do throws(ConfigurationError) {
        return try RunConfiguration.parse(yaml: configuration.yaml, file: file.path)
    } catch {
        throw RunError(error)
    }
}

extension RunConfiguration {
    /// Mean and deviation of images, where they are the same in each channel.
    fileprivate mutating func takeNormalisation(
        _ members: [String: JSONValue], _ notes: inout [String]
    ) {
        guard case .image = model.shape.sample else { return }
        func number(_ key: String) -> Double? {
            guard case .array(let list) = members[key] ?? .null, let first = list.first?.double,
                list.allSatisfy({ $0.double == first })
            else { return nil }
            return first
        }
        guard let mean = number("image_mean"), let deviation = number("image_std"), deviation > 0
        else {
            return notes.append(
                "\(HuggingFaceFile.preprocessor) normalises otherwise than by one mean and one deviation for "
                    + "all channels; data.image_mean and data.image_deviation are \(data.imageMean) and "
                    + "\(data.imageDeviation)")
        }
        (data.imageMean, data.imageDeviation) = (mean, deviation)
    }

    /// What identifies a run that starts from somebody else's weights.
    fileprivate func identity(
        tokenizer: String, tokenizerDigest: String, datasetDigest: String
    ) -> TrainingProgress.Identity {
        TrainingProgress.Identity(
            run: UUID().uuidString.lowercased(), configuration: yaml,
            configurationDigest: ContentDigest.hexadecimal(yaml), tokenizer: tokenizer,
            tokenizerDigest: tokenizerDigest, datasetDigest: datasetDigest,
            build: ProgramIdentity.build, blas: ProgramIdentity.blas)
    }
}

/// Whether anything has this path, a dangling link included.
func entryExists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
}
