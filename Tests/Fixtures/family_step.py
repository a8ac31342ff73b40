"""A training step of a family in transformers, to be measured beside ours: launch/compare.

usage: python family_step.py FAMILY STEPS

About 100 million parameters, 4 sequences of 256 tokens (images: 8 of 224 × 224), float32, AdamW, clipping, no dropout;
prints the median seconds of a step after 2 that warm up.
"""

import statistics
import sys
import time

import torch
import transformers

family, steps = sys.argv[1], int(sys.argv[2])
ROWS, LENGTH = 4, 256
COMMON = dict(attn_implementation="sdpa")


def tokens(vocabulary, *shape):
    return torch.randint(0, vocabulary, shape or (ROWS, LENGTH))


if family == "gpt":
    config = transformers.GPT2Config(
        vocab_size=50304, n_positions=LENGTH, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, **COMMON)
    model = transformers.GPT2LMHeadModel(config)
    batch = lambda: (lambda ids: dict(input_ids=ids, labels=ids))(tokens(50304))
elif family == "llama":
    config = transformers.LlamaConfig(
        vocab_size=32000, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=4, max_position_embeddings=LENGTH, tie_word_embeddings=True, use_cache=False, **COMMON)
    model = transformers.LlamaForCausalLM(config)
    batch = lambda: (lambda ids: dict(input_ids=ids, labels=ids))(tokens(32000))
elif family == "bert":
    config = transformers.BertConfig(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **COMMON)
    model = transformers.BertForMaskedLM(config)

    def batch():
        ids = tokens(config.vocab_size)
        labels = torch.full_like(ids, -100)
        for row in labels:
            row[torch.randperm(LENGTH)[:38]] = 5
        return dict(input_ids=ids, labels=labels)
else:
    config = transformers.ViTConfig(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=1000, **COMMON)
    model = transformers.ViTForImageClassification(config)
    batch = lambda: dict(pixel_values=torch.randn(8, 3, 224, 224), labels=torch.randint(0, 1000, (8,)))

model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
seconds = []
for step in range(steps + 2):
    inputs = batch()
    start = time.perf_counter()
    model(**inputs).loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if step >= 2:
        seconds.append(time.perf_counter() - start)
print(statistics.median(seconds))
