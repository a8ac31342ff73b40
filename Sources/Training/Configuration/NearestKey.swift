import Configuration

extension Key<RunConfiguration> {
    /// `; the nearest is …` for an unknown key, or nothing where none is near.
    static func hint(nearestTo key: String) -> String { hint(nearest(to: key)) }

    /// The same for a name where a section stands; `isMapping`: with keys below it, as a section has them.
    static func hint(nearestToSection name: String, isMapping: Bool) -> String {
        hint(nearestSection(to: name, isMapping: isMapping))
    }

    private static func hint(_ nearest: String?) -> String {
        nearest.map { "; the nearest is \($0)" } ?? ""
    }

    /// The key that a person most likely meant by `key`, which is none, `section.name` or a bare name: by what
    /// other programs call it, else one of the same name in any section, else the nearest in spelling of its
    /// section or of all; nil where none is near.
    private static func nearest(to key: String) -> String? {
        let section = String(key.prefix { $0 != "." })
        let isSectioned = section.count < key.count
        let name = isSectioned ? String(key.dropFirst(section.count + 1)) : key
        let plain = name.lowercased().replacing("-", with: "_")
        if let known = names[plain] { return known }
        func keys(_ isMeant: (ConfigurationKey) -> Bool) -> [ConfigurationKey] {
            all.filter(isMeant)
        }
        let namesakes = keys { $0.name == plain }.map(\.path)
        if !namesakes.isEmpty { return key.nearest(in: namesakes) }
        let neighbours = keys { isSectioned && $0.section == section }.map { String($0.name) }
        if !neighbours.isEmpty {
            return plain.near(in: neighbours).map { "\(section).\($0)" } ?? misspelt(plain)
        }
        if isSectioned { return key.near(in: all.map(\.path)) ?? misspelt(plain) }
        let longer = keys { plain.count > 2 && $0.name.hasPrefix(plain) }.map(\.path)
        if !longer.isEmpty { return key.nearest(in: longer) }
        guard let nearest = plain.near(in: all.map { String($0.name) }) else {
            return misspelt(plain)
        }
        return key.nearest(in: keys { $0.name == nearest }.map(\.path))
    }

    /// The key that other programs call by a name that differs in one character.
    private static func misspelt(_ name: String) -> String? {
        let known = name.nearest(in: names.keys.sorted())
        return name.count > 2 && name.editDistance(to: known) == 1 ? names[known] : nil
    }

    /// The section, or the key, that a person most likely meant by a name where a section stands.
    private static func nearestSection(to name: String, isMapping: Bool) -> String? {
        let (section, key) = (name.near(in: sections), nearest(to: name))
        if isMapping {
            let longer = sections.first { name.count > 2 && $0.hasPrefix(name) }
            return longer ?? section ?? key.map { String($0.prefix { $0 != "." }) }
        }
        guard let key else { return section }
        guard let section, names[name.lowercased()] == nil else { return "the key \(key)" }
        let keyName = String(key.drop { $0 != "." }.dropFirst())
        let isKey = name.editDistance(to: keyName) < name.editDistance(to: section)
        return isKey ? "the key \(key)" : section
    }

    /// What keys are called in nanoGPT, Hugging Face's configurations and trainer, and PyTorch.
    private static let names = [
        "out_dir": "run.directory", "output_dir": "run.directory", "max_iters": "run.steps",
        "max_steps": "run.steps", "num_steps": "run.steps", "iters": "run.steps",
        "epochs": "run.steps", "num_train_epochs": "run.steps", "num_threads": "run.threads",
        "n_layer": "model.layers", "n_layers": "model.layers", "num_layers": "model.layers",
        "num_hidden_layers": "model.layers", "depth": "model.layers", "n_head": "model.heads",
        "n_heads": "model.heads", "num_heads": "model.heads",
        "num_attention_heads": "model.heads", "n_embd": "model.width", "d_model": "model.width",
        "dim": "model.width", "hidden_size": "model.width", "embed_dim": "model.width",
        "block_size": "model.context_length", "n_positions": "model.context_length",
        "n_ctx": "model.context_length", "seq_len": "model.context_length",
        "max_seq_len": "model.context_length", "sequence_length": "model.context_length",
        "max_position_embeddings": "model.context_length", "resid_pdrop": "model.dropout",
        "embd_pdrop": "model.dropout", "attn_pdrop": "model.dropout",
        "vocab_size": "model.vocabulary", "activation_function": "model.activation",
        "hidden_act": "model.activation", "n_inner": "model.feed_forward",
        "d_ff": "model.feed_forward", "intermediate_size": "model.feed_forward",
        "model_type": "model.family", "dataset": "data.text", "data_dir": "data.text",
        "batch_size": "batch.sequences", "train_batch_size": "batch.sequences",
        "micro_batch_size": "batch.micro_batch",
        "per_device_train_batch_size": "batch.micro_batch",
        "gradient_accumulation_steps": "batch.micro_batch",
        "per_device_eval_batch_size": "evaluation.micro_batch",
        "label_smoothing_factor": "objective.label_smoothing", "optim": "optimizer.name",
        "lr": "optimizer.learning_rate", "max_lr": "optimizer.learning_rate",
        "betas": "optimizer.beta1", "adam_beta1": "optimizer.beta1",
        "adam_beta2": "optimizer.beta2", "eps": "optimizer.epsilon",
        "adam_epsilon": "optimizer.epsilon", "wd": "optimizer.weight_decay",
        "mu": "optimizer.momentum", "sgd_momentum": "optimizer.momentum",
        "use_nesterov": "optimizer.nesterov", "grad_clip": "optimizer.clip_norm",
        "max_grad_norm": "optimizer.clip_norm",
        "gradient_clip_val": "optimizer.clip_norm", "warmup": "schedule.warmup_steps",
        "warmup_iters": "schedule.warmup_steps", "warmup_ratio": "schedule.warmup_steps",
        "decay_lr": "schedule.decay", "lr_scheduler_type": "schedule.decay",
        "lr_decay_iters": "schedule.decay_steps", "lr_decay_steps": "schedule.decay_steps",
        "min_lr": "schedule.final_ratio", "dtype": "precision.storage",
        "torch_dtype": "precision.storage", "fp16": "precision.storage",
        "bf16": "precision.storage", "gradient_checkpointing": "memory.recompute",
        "tensor_parallel": "parallelism.tensor", "tp": "parallelism.tensor",
        "eval_interval": "evaluation.every", "eval_steps": "evaluation.every",
        "save_steps": "checkpoint.every", "save_interval": "checkpoint.every",
        "save_total_limit": "checkpoint.keep",
    ]
}
