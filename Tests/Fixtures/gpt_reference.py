"""Writes a small GPT-2 in PyTorch, computed in Float64, for ModelsTests.

usage: python gpt_reference.py [three | four]   (needs torch, safetensors; rerun only when it changes)

The sizes are odd on purpose: a vocabulary of 61, 13 of 16 positions used, and
gpt_reference.safetensors             (three)  3 heads in 4 slices, 2 blocks
gpt_reference_four_heads.safetensors  (four)   4 heads of 5 features, which 4 ranks can split, 53 features of
                                               feed-forward, one block
Weights are Float32 values; logits, loss and gradients are those of these weights in Float64. The
losses of ten AdamW steps on the one batch follow (decay on tensors of two axes alone, clipping at 1).
"""

import os
import sys
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

FOUR = sys.argv[1:] == ["four"]
LAYERS, HEADS, WIDTH, INNER = (1, 4, 20, 53) if FOUR else (2, 3, 24, 96)
VOCABULARY, CONTEXT = 61, 16
SEQUENCES, LENGTH, STEPS = 3, 13, 10

generator = torch.Generator().manual_seed(20240521)


def draw(*shape, deviation=0.02, mean=0.0):
    values = torch.randn(*shape, generator=generator, dtype=torch.float64) * deviation + mean
    return values.float().double().requires_grad_()


def affine(name, inputs, outputs, weights):
    weights[f"{name}.weight"] = draw(outputs, inputs, deviation=0.15)
    weights[f"{name}.bias"] = draw(outputs, deviation=0.1)


def make_weights():
    weights = {"wte.weight": draw(VOCABULARY, WIDTH, deviation=0.3)}
    weights["wpe.weight"] = draw(CONTEXT, WIDTH, deviation=0.2)
    for layer in range(LAYERS):
        for norm in ("ln_1", "ln_2"):
            weights[f"h.{layer}.{norm}.weight"] = draw(WIDTH, deviation=0.1, mean=1.0)
            weights[f"h.{layer}.{norm}.bias"] = draw(WIDTH, deviation=0.1)
        affine(f"h.{layer}.attn.c_attn", WIDTH, 3 * WIDTH, weights)
        affine(f"h.{layer}.attn.c_proj", WIDTH, WIDTH, weights)
        affine(f"h.{layer}.mlp.c_fc", WIDTH, INNER, weights)
        affine(f"h.{layer}.mlp.c_proj", INNER, WIDTH, weights)
    weights["ln_f.weight"] = draw(WIDTH, deviation=0.1, mean=1.0)
    weights["ln_f.bias"] = draw(WIDTH, deviation=0.1)
    return weights


def forward(w, tokens):
    def norm(x, name):
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    sequences, length = tokens.shape
    x = w["wte.weight"][tokens] + w["wpe.weight"][:length]
    for layer in range(LAYERS):
        name = f"h.{layer}"
        heads = linear(norm(x, f"{name}.ln_1"), f"{name}.attn.c_attn")
        q, k, v = (
            part.view(sequences, length, HEADS, WIDTH // HEADS).transpose(1, 2)
            for part in heads.split(WIDTH, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(sequences, length, WIDTH)
        x = x + linear(mixed, f"{name}.attn.c_proj")
        hidden = F.gelu(linear(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc"), approximate="tanh")
        x = x + linear(hidden, f"{name}.mlp.c_proj")
    return norm(x, "ln_f") @ w["wte.weight"].T


def main():
    torch.set_default_dtype(torch.float64)
    weights = make_weights()
    text = torch.randint(0, VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    tokens, targets = text[:, :-1], text[:, 1:]
    fixture = {f"weight.{name}": value.detach().float() for name, value in weights.items()}
    fixture["tokens"] = tokens.int().contiguous()
    fixture["targets"] = targets.int().contiguous()

    def loss_of_batch():
        logits = forward(weights, tokens)
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    logits, loss = loss_of_batch()
    loss.backward()
    fixture["logits"], fixture["loss"] = logits.detach(), loss.detach()
    for name, value in weights.items():
        fixture[f"gradient.{name}"] = value.grad.clone()

    matrices = [value for value in weights.values() if value.dim() >= 2]
    vectors = [value for value in weights.values() if value.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        lr=1e-2, betas=(0.9, 0.95), eps=1e-8,
    )
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        _, loss = loss_of_batch()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        losses.append(loss.detach())
    fixture["losses"] = torch.stack(losses)
    name = "gpt_reference_four_heads.safetensors" if FOUR else "gpt_reference.safetensors"
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    save_file({name: value.contiguous() for name, value in fixture.items()}, path)
    print(path, os.path.getsize(path), "bytes; losses", [f"{x:.6f}" for x in fixture["losses"]])


main()
