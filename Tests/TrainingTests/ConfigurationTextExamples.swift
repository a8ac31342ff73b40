/// A valid configuration with every key, valued unlike its default where it can be.
let completeConfiguration = """
    # 12 sequences * 64 tokens = 768 tokens a step
    run:         { directory: runs/example, seed: 7, steps: 2000, threads: 2, communication_timeout: 10.5, trace_steps: [3, 100] }
    model:       { family: gpt, layers: 4, heads: 4, width: 128, context_length: 64, dropout: 0.1, vocabulary: 65, activation: gelu_erf, feed_forward: 500 }
    data:        { text: ["a *.txt", b.txt], tokenizer: character, validation_fraction: 0.2, cache: elsewhere }
    batch:       { sequences: 12, micro_batch: 3 }
    numerics:    { slices: 8, groups: 2 }
    objective:   { label_smoothing: 0.1 }
    optimizer:   { name: adamw, learning_rate: 1.0e-3, beta1: 0.8, beta2: 0.99, epsilon: 1e-7, weight_decay: 0.2, clip_norm: 0 }
    schedule:    { warmup_steps: 100, decay: cosine, decay_steps: 1900, final_ratio: 0.2 }
    precision:   { storage: float32, loss_scale: dynamic, static_scale: 2048 }
    parallelism: { tensor: 1, sequence: true, bucket_bytes: 1_048_576, reduce_dtype: float16 }
    evaluation:  { every: 50, micro_batch: 4 }
    checkpoint:  { every: 60, keep: 5, copy: never }
    """

/// A valid configuration with the required keys alone.
let minimalConfiguration = """
    run: { directory: runs/example, steps: 30 }
    model: { family: gpt, layers: 4, heads: 4, width: 128, context_length: 64 }
    batch: { sequences: 12, micro_batch: 3 }
    optimizer: { learning_rate: 0.001 }
    """

/// The complete configuration with gradient descent and its keys.
let sgdConfiguration = completeConfiguration.replacing(
    "name: adamw, learning_rate: 1.0e-3, beta1: 0.8, beta2: 0.99, epsilon: 1e-7",
    with: "name: sgd, learning_rate: 1.0e-3, momentum: 0.8, nesterov: true")

/// The complete configuration of a model of images.
let imageConfiguration: String = completeConfiguration.split(separator: "\n").map { line in
    if line.hasPrefix("model:") {
        return
            "model: { family: vit, image_size: 12, patch_size: 4, layers: 4, heads: 4, width: 128, dropout: 0.1 }"
    }
    return line.hasPrefix("data:") ? "data: { images: pictures, flip: true }" : String(line)
}.joined(separator: "\n")
