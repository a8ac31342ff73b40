import Foundation
import TestSupport

/// A Hugging Face folder with something wrong in it, and a part of the message it must get.
struct HostileFolder: Sendable {
    /// What takes the place of one of the fixture's files.
    enum Content: Sendable {
        case text(String)
        case bytes([UInt8])
        case nothing, folder, link, pipe
    }

    let name: String
    let file: String
    let content: Content
    let message: String

    /// Puts it over a copy of the fixture.
    func write(to folder: String) throws {
        let path = "\(folder)/\(file)"
        try? FileManager.default.removeItem(atPath: path)
        switch content {
        case .text(let text): try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        case .bytes(let bytes): try Data(bytes).write(to: URL(fileURLWithPath: path))
        case .nothing: break
        case .folder:
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: false)
        case .link: symlink("\(folder)/generation_config.json", path)
        case .pipe: mkfifo(path, 0o644)
        }
    }

    static let all = configurations + values + indices + files + weights + tokenizers

    // MARK: config.json

    private static func configuration(
        _ name: String, _ text: String, _ message: String
    ) -> HostileFolder {
        HostileFolder(name: name, file: "config.json", content: .text(text), message: message)
    }

    private static let configurations: [HostileFolder] = [
        configuration("nothing", "", "expected an object, found the end"),
        configuration("half", "{", "expected a string"),
        configuration("list", "[]", "expected an object"),
        configuration("null", "null", "expected an object"),
        configuration("number", "1", "expected an object"),
        configuration("no model", "{}", "or \"bart\", found null"),
        configuration("text after it", "{}x", "expected the end, found \"x\""),
        configuration("trailing comma", "{\"a\":1,}", "expected a string"),
        configuration("colon missing", "{\"a\" 1}", "expected \":\""),
        configuration(
            "arrays 100,000 deep", "{\"a\":" + String(repeating: "[", count: 100_000),
            "a: expected at most 64 levels"),
        configuration(
            "objects 100,000 deep", String(repeating: "{\"a\":", count: 100_000),
            "a: expected at most 64 levels"),
        configuration("a key twice", "{\"n_head\":1,\"n_head\":2}", "\"n_head\" twice"),
        configuration("a key twice inside", "{\"a\":{\"b\":1,\"b\":2}}", "\"b\" twice"),
        configuration("NUL in a key", "{\"a\0b\":1}", "control character"),
        configuration("lone surrogate", "{\"a\":\"\\ud800\"}", "surrogate"),
        configuration("bad escape", "{\"a\":\"\\x\"}", "escape of JSON"),
        configuration(
            "a long string", "{\"a\":\"\(String(repeating: "x", count: 70_000))\"}",
            "a: expected a string of at most 65536 bytes"),
        configuration(
            "1,001 keys", "{\((0...1000).map { "\"\($0)\":1" }.joined(separator: ","))}",
            "at most 1000 keys"),
        configuration(
            "2 MiB", "{}" + String(repeating: " ", count: 2 << 20), "at most 1048576 bytes"),
        HostileFolder(
            name: "not UTF-8", file: "config.json",
            content: .bytes(Array("{\"a\":\"".utf8) + [0xff] + Array("\"}".utf8)),
            message: "a: expected UTF-8"),
    ]

    /// The fixture's configuration with one key of another value.
    private static func value(_ key: String, _ value: String, _ message: String) -> HostileFolder {
        let standard = [
            ("model_type", "\"gpt2\""), ("vocab_size", "259"), ("n_positions", "13"),
            ("n_embd", "18"), ("n_layer", "2"), ("n_head", "3"), ("n_inner", "22"),
        ]
        let members = standard.filter { $0.0 != key } + [(key, value)]
        let text = members.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ")
        return configuration("\(key) \(value.prefix(40))", "{\(text)}", message)
    }

    private static let values: [HostileFolder] = [
        value("model_type", "\"bloom\"", "or \"bart\", found \"bloom\""),
        value("model_type", "2", "or \"bart\", found 2"),
        value("n_layer", "0", "n_layer: expected an integer from 1 to 10000, found 0"),
        value("n_layer", "-1", "n_layer: expected an integer"),
        value("n_layer", "1.5", "n_layer: expected an integer"),
        value("n_layer", "10001", "n_layer: expected an integer"),
        value("n_layer", "9223372036854775808", "n_layer: expected an integer"),
        value("n_layer", "1e400", "n_layer: expected a value of JSON"),
        value("n_layer", "01", "n_layer: expected a value of JSON"),
        value("n_layer", "+1", "n_layer: expected a value of JSON"),
        value("n_layer", "NaN", "n_layer: expected a value of JSON"),
        value("n_layer", "Infinity", "n_layer: expected a value of JSON"),
        value("n_layer", "tru", "n_layer: expected a value of JSON"),
        value("n_layer", "\"2\"", "n_layer: expected an integer"),
        value("n_layer", "[2]", "n_layer: expected an integer"),
        value("n_layer", "3", "h.2.ln_1.weight: expected [18], found none"),
        value("n_layer", "1", "h.1.attn.c_attn.bias: expected none of that name"),
        value("n_embd", "17", "n_head: expected a divisor of n_embd 17, found 3"),
        value("n_embd", "1e18", "n_embd: expected an integer"),
        value("n_embd", "36", "wte.weight: expected [259, 36], found [259, 18]"),
        value("n_head", "0", "n_head: expected an integer"),
        value("n_head", "5", "n_head: expected a divisor"),
        value("n_inner", "21", "c_fc.weight: expected [18, 21], found [18, 22]"),
        value("n_positions", "14", "wpe.weight: expected [14, 18], found [13, 18]"),
        value("vocab_size", "true", "vocab_size: expected an integer"),
        value("vocab_size", "null", "wte.weight: expected [50257, 18]"),
        value("vocab_size", "256", "vocab_size: expected at least the tokenizer's 257"),
        value("activation_function", "\"sigmoid\"", "activation_function: expected"),
        value("activation_function", "1", "activation_function: expected"),
        value("layer_norm_epsilon", "1e-6", "layer_norm_epsilon: expected 1e-05"),
        value("layer_norm_epsilon", "\"1e-5\"", "layer_norm_epsilon: expected 1e-05"),
        value("scale_attn_weights", "false", "scale_attn_weights: expected true"),
        value("scale_attn_by_inverse_layer_idx", "true", "expected false, found true"),
        value("add_cross_attention", "true", "add_cross_attention: expected false"),
        value("quantization_config", "{\"bits\": 4}", "quantization_config: expected null"),
        value("tie_word_embeddings", "\"yes\"", "tie_word_embeddings: expected true or false"),
        value("tie_word_embeddings", "false", "lm_head.weight: expected it where"),
        value("resid_pdrop", "1", "resid_pdrop: expected a number from 0 to below 1"),
        value("resid_pdrop", "-0.1", "resid_pdrop: expected a number"),
    ]

    // MARK: model.safetensors.index.json

    private static func index(
        _ name: String, _ text: String, _ message: String
    ) -> HostileFolder {
        HostileFolder(
            name: name, file: "model.safetensors.index.json", content: .text(text),
            message: message)
    }

    /// An index that says that a tensor lies in `file`, which is spelled as JSON.
    private static func path(_ file: String, _ message: String) -> HostileFolder {
        index(
            "index to \(file.prefix(40))",
            "{\"weight_map\": {\"transformer.wte.weight\": \"\(file)\"}}",
            message)
    }

    private static let beside = "wte.weight: expected the name of a .safetensors file beside it"

    private static let indices: [HostileFolder] = [
        path("../model.safetensors", beside), path("/etc/model.safetensors", beside),
        path("a/b.safetensors", beside), path("..\\\\b.safetensors", beside),
        path("a\\u0000.safetensors", beside), path("a\\n.safetensors", beside),
        path("", beside), path("..", beside), path(".safetensors", beside),
        path("config.json", beside), path("/dev/zero", beside),
        path(String(repeating: "n", count: 250) + ".safetensors", beside),
        path("missing.safetensors", "missing.safetensors: expected a file"),
        path("model-00001-of-00002.safetensors", "expected it in model.safetensors.index.json"),
        path("model-00002-of-00002.safetensors", "expected tensor transformer.wte.weight, as"),
        index("an empty index", "", "expected an object"),
        index("an index without a map", "{}", "expected the key weight_map"),
        index("a map that is a list", "{\"weight_map\":[]}", "weight_map: expected an object"),
        index("a map to a number", "{\"weight_map\":{\"a\":1}}", "a: expected a string"),
        index("a map twice", "{\"weight_map\":{},\"weight_map\":{}}", "twice"),
        index(
            "a tensor twice", "{\"weight_map\":{\"a\":\"a.safetensors\",\"a\":\"b.safetensors\"}}",
            "\"a\" twice"),
        index("text after an index", "{\"weight_map\":{}}{", "expected the end"),
        index("an empty map", "{\"weight_map\":{}}", "wte.weight: expected [259, 18], found none"),
        index(
            "deep metadata", "{\"metadata\":" + String(repeating: "[", count: 100_000),
            "metadata: expected at most 64 levels"),
        index(
            "513 files",
            "{\"weight_map\":{"
                + (0...512).map { "\"\($0)\":\"\($0).safetensors\"" }.joined(separator: ",") + "}}",
            "in 512 files, found more"),
        index(
            "100,001 tensors",
            "{\"weight_map\":{"
                + (0...100_000).map { "\"\($0)\":\"a.safetensors\"" }.joined(separator: ",") + "}}",
            "at most 100000 tensors"),
        index(
            "17 MiB", "{}" + String(repeating: " ", count: 17 << 20), "at most 16777216 bytes"),
    ]

    // MARK: Files that are none

    private static let files: [HostileFolder] =
        [
            ("config.json", "config.json"), ("model-00002-of-00002.safetensors", "model-00002"),
        ].flatMap { file, message in
            [
                (Content.nothing, "expected a file"), (.folder, "expected a"),
                (.link, "found a symbolic link"), (.pipe, "expected a regular file"),
            ].map { content, reason in
                HostileFolder(
                    name: "\(file) \(content)", file: file, content: content,
                    message: reason)
            }
        } + [
            HostileFolder(
                name: "no weights", file: "model.safetensors.index.json", content: .nothing,
                message: "found neither"),
            HostileFolder(
                name: "a linked index", file: "model.safetensors.index.json", content: .link,
                message: "found a symbolic link"),
        ]

    // MARK: model.safetensors

    private static func weights(
        _ name: String, _ json: String, data: Int = 0, _ message: String
    ) -> HostileFolder {
        let bytes =
            (0..<8).map { UInt8(truncatingIfNeeded: json.utf8.count >> ($0 * 8)) }
            + Array(json.utf8) + [UInt8](repeating: 0, count: data)
        return HostileFolder(
            name: name, file: "model.safetensors", content: .bytes(bytes), message: message)
    }

    private static func table(_ type: String, _ shape: String, _ size: Int) -> String {
        "{\"wte.weight\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[0,\(size)]}}"
    }

    private static let weights: [HostileFolder] = [
        HostileFolder(
            name: "an empty file", file: "model.safetensors", content: .text(""),
            message: "model.safetensors: expected a safetensors file, found 0 bytes"),
        HostileFolder(
            name: "a pointer of Git LFS", file: "model.safetensors",
            content: .text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 548105171\n"),
            message: "found a pointer of Git LFS; fetch the file itself: git lfs pull"),
        HostileFolder(
            name: "a web page", file: "model.safetensors",
            content: .text("\n<!DOCTYPE html>\n<html><head></head></html>"),
            message: "found a web page; download the file itself"),
        HostileFolder(
            name: "a web page for a configuration", file: "config.json",
            content: .text("<html>"), message: "expected JSON, found a web page"),
        HostileFolder(
            name: "a length of 2^64 - 1", file: "model.safetensors",
            content: .bytes([UInt8](repeating: 0xff, count: 16)), message: "expected a header of"),
        weights("no tensors", "{}", "wte.weight: expected [259, 18], found none"),
        weights("a tree that never ends", "{\"a\":{\"shape\":[[[[[[[", "non-negative integer"),
        weights(
            "a size beyond the file", table("F32", "[259,18]", 18_648), data: 4,
            "expected 18648 bytes after the header, found 4"),
        weights(
            "integers", table("I64", "[259,18]", 37_296), data: 37_296,
            "wte.weight: expected F32, F16, BF16 or F64, found I64"),
        weights(
            "a turned table", table("F32", "[18,259]", 18_648), data: 18_648,
            "wte.weight: expected [259, 18], found [18, 259]"),
        weights(
            "a tensor with the prefix and without",
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
                + "\"transformer.a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
            "tensor a: expected it once"),
    ]

    // MARK: The tokenizer

    private static let tokenizers: [HostileFolder] = [
        ("", "no valid JSON"), ("{\"type\":\"x\",\"version\":1,\"digest\":\"\"}", "type: expected"),
        ("{\"type\":\"murmuration-byte\",\"version\":1,\"digest\":\"0\"}", "digest: expected"),
        (String(repeating: " ", count: 5 << 20), "at most 4194304 bytes"),
    ].map { text, message in
        HostileFolder(
            name: "tokenizer \(text.prefix(40))", file: "murmuration-tokenizer.json",
            content: .text(text), message: message)
    }
}
