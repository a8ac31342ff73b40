"""Llama and its relatives in transformers, for TrainingTests: a random model, and what transformers makes of it.

usage: python decoder_reference.py KIND FOLDER EXPECTED

Saves a model of a KIND below in FOLDER, and in EXPECTED, a safetensors file, tokens and targets, the logits, the mean
loss, its gradient by our names of parameters, and the losses of 20 steps of AdamW, all computed in float64.
"""

import hashlib
import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file

VOCABULARY, CONTEXT = 259, 32
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=20, intermediate_size=37, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
    attention_dropout=0.0, bos_token_id=256, eos_token_id=256, head_dim=6)


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=10000.0, **more))


KINDS = {
    "llama": ("Llama", dict(tie_word_embeddings=False, **rope("default"))),
    "llama_tied": ("Llama", dict(tie_word_embeddings=True, num_key_value_heads=4, **rope("default"))),
    "llama3": ("Llama", dict(tie_word_embeddings=True, **rope(
        "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16))),
    "linear": ("Llama", dict(tie_word_embeddings=False, **rope("linear", factor=3.0))),
    "yarn": ("Llama", dict(tie_word_embeddings=False, **rope(
        "yarn", factor=2.0, original_max_position_embeddings=16))),
    "mistral": ("Mistral", dict(tie_word_embeddings=False, sliding_window=7, **rope("default"))),
    "qwen2": ("Qwen2", dict(tie_word_embeddings=True, head_dim=5 + 1, **rope("default"))),
    "qwen3": ("Qwen3", dict(tie_word_embeddings=False, attention_bias=False, **rope("default"))),
}


def make(kind):
    name, settings = KINDS[kind]
    config = getattr(transformers, name + "Config")(**{**SIZES, **settings})
    if name == "Qwen2":
        config.hidden_size, config.head_dim = 24, 6
    config._attn_implementation = "eager"
    torch.manual_seed(20261127)
    model = getattr(transformers, name + "ForCausalLM")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def ours(gradients):
    """By our names: without `model.`; queries, keys and values as one, and so gate and up."""
    found = {}
    for name in list(gradients):
        short = name.removeprefix("model.")
        for joined, parts in (("qkv_proj", ["q_proj", "k_proj", "v_proj"]), ("gate_up_proj", ["gate_proj", "up_proj"])):
            if parts[0] in short:
                found[short.replace(parts[0], joined)] = torch.cat(
                    [gradients[name.replace(parts[0], part)] for part in parts])
                break
            if any(part in short for part in parts[1:]):
                break
        else:
            found[short] = gradients[name]
    return found


def main(kind, folder, expected):
    model = make(kind)
    model.save_pretrained(folder)
    digest = hashlib.sha256(b"murmuration tokenizer 1 byte\n").hexdigest()
    with open(os.path.join(folder, "murmuration-tokenizer.json"), "w") as file:
        json.dump({"type": "murmuration-byte", "version": 1, "digest": digest}, file)
    model = model.double()
    tokens = torch.randint(0, VOCABULARY, (2, CONTEXT))
    targets = torch.randint(0, VOCABULARY, (2, CONTEXT))

    def loss():
        logits = model(tokens, use_cache=False).logits
        return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    logits, value = loss()
    value.backward()
    tensors = {
        "tokens": tokens.int(), "targets": targets.int(), "logits": logits.detach(),
        "loss": value.detach()[None]}
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    for name, gradient in ours(gradients).items():
        tensors["gradient." + name] = gradient
    decaying = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    optimizer = torch.optim.AdamW(
        [dict(params=decaying, weight_decay=0.1), dict(params=others, weight_decay=0.0)], lr=3e-3,
        betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        _, value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    tensors["losses"] = torch.stack(losses)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, expected)


if __name__ == "__main__":
    main(*sys.argv[1:])
