// `murmur checkpoint export`: from a checkpoint to a folder that transformers loads.

import Checkpointing
import Datasets
import Files
import Models

/// Writes the newest sound checkpoint of a run, or the checkpoint that `path` is, as a Hugging Face folder
/// `output`, which must not exist. Returns its files' names, and what a person should know of it.
public func exportCheckpoint(
    _ path: String, to output: String, shardLimit: Int? = nil
) throws(RunError) -> (files: [String], notes: [String]) {
    try checkMachine()
    guard !entryExists(output) else {
        throw RunError(
            .usage, "\(output): expected no file or folder of this name, found one; name another")
    }
    let found: FoundCheckpoint
    do throws(CheckpointError) {
        guard let newest = try CheckpointReader.newest(in: path) else {
            throw CheckpointError(
                .unusable, "\(path): expected a checkpoint or the directory of a run, found none")
        }
        found = newest
    } catch {
        throw RunError(error)
    }
    var notes = found.warnings.map { "passed over: \($0)" }
    let reader = found.reader
    let identity = reader.progress.identity
    let configuration = try reader.configuration()
    let vocabulary = try? Vocabulary(json: identity.tokenizer, name: "tokenizer.json")
    let symbols = try configuration.symbols(ofData: vocabulary)
    let model = configuration.makeModel(symbols: symbols)

    let passedOn = try PassedOnFiles(besides: reader.path, run: identity.run)
    let shape = try configuration.model.huggingFaceShape(
        vocabulary: symbols, tokenizer: vocabulary)
    var (end, members): (Int?, [String: JSONValue]) = (nil, [:])
    var texts: [(name: String, bytes: [UInt8])] = []
    switch vocabulary {
    case .tokens(let tokenizer):
        end = tokenizer.endOfText
        let id = end.map { JSONValue.integer($0) } ?? .null
        // A shape that has symbols around sequences names them itself.
        if case .tokens = shape.sample {
            members = ["bos_token_id": id, "eos_token_id": id]
        } else {
            end = nil
        }
        texts += tokenizer.huggingFaceFiles(
            contextLength: configuration.model.shape.sample.positions)
    case .classes(let names):
        members = HuggingFaceConfiguration.labels(names.count, names: names)
        texts.append((HuggingFaceFile.preprocessor, Array(configuration.preprocessorFile.utf8)))
    case nil:
        // It came with an import, and goes out as it came in.
        texts.append((HuggingFaceFile.tokenizer, Array(identity.tokenizer.utf8)))
        notes.append(
            "tokenizer.json is passed on as it was imported"
                + (passedOn == nil
                    ? "; what stood beside it is to be copied, as the run directory has nothing of it"
                    : ", and so are its settings"))
    }
    let settings = shape.configurationFile(members.merging(passedOn?.members ?? [:]) { $1 })
    texts.insert((HuggingFaceFile.configuration, Array(settings.utf8)), at: 0)
    if let passedOn {
        notes += passedOn.notes
        let more = passedOn.files.filter { $0.name != HuggingFaceFile.configuration }
        texts.removeAll { text in more.contains { $0.name == text.name } }
        texts += more
    } else if let end {
        let text = "{\n  \"bos_token_id\": \(end),\n  \"eos_token_id\": \(end)\n}\n"
        texts.append((PassedOnFiles.generation, Array(text.utf8)))
    }
    do throws(CheckpointError) {
        let export = HuggingFaceExport(
            HuggingFaceTensors(shape.weightMap, of: model.parameters), texts: texts,
            shardLimit: shardLimit ?? HuggingFaceExport.standardShardLimit)
        return (try export.write(reader, to: output), notes)
    } catch {
        throw RunError(error)
    }
}

extension RunConfiguration {
    /// What transformers' image processor does of what ours does: size and normalisation.
    fileprivate var preprocessorFile: String {
        guard case .image(let image) = model.shape.sample else { return "{}\n" }
        func repeated(_ number: Double) -> JSONValue {
            .array(Array(repeating: .number(number), count: image.channels))
        }
        let members: [String: JSONValue] = [
            "do_normalize": .bool(true), "do_rescale": .bool(true), "do_resize": .bool(true),
            "image_mean": repeated(data.imageMean), "image_std": repeated(data.imageDeviation),
            "image_processor_type": .string("ViTImageProcessor"), "resample": .integer(2),
            "rescale_factor": .number(1 / 255.0),
            "size": .object(["height": .integer(image.size), "width": .integer(image.size)]),
        ]
        return JSONValue.object(members).json + "\n"
    }
}
