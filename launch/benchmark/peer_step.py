"""A training step in PyTorch, timed as `murmur bench` times ours.

usage: peer_step.py SHAPE --sequences N --steps N --precision float32|bfloat16 --form eager|compile

Prints one line of JSON. A step is forward and backward pass, clipping of the gradient's norm and AdamW, on pseudo-random
tokens, without dropout; two steps warm up, the median of the others counts. Under torchrun ranks hold a copy each
(DistributedDataParallel over gloo), and `--sequences` is what one rank has. What makes PyTorch faster on a processor is
used: attention as one operation, the faster of the fused and the multi-tensor AdamW, gradients that are set to none,
and views of the buckets as gradients. Threads are those of OMP_NUM_THREADS.
"""

import argparse
import contextlib
import json
import os
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from shapes import SHAPES

WARM_STEPS = 2
LEARNING_RATE = 3e-4
# Of a sequence of 256 tokens, BERT predicts as many.
MASKED_SHARE = 0.15


class Block(nn.Module):
    """GPT-2's: norms stand before attention and before the feed-forward part."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x):
        sequences, length, width = x.shape
        heads = self.query_key_value(x).view(sequences, length, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.output(mixed.transpose(1, 2).reshape(sequences, length, width))

    def forward(self, x):
        x = x + self.attend(self.attention_norm(x))
        hidden = functional.gelu(self.expand(self.feed_forward_norm(x)), approximate="tanh")
        return x + self.contract(hidden)


class GPT(nn.Module):
    """GPT-2, its output projection tied to the table of tokens; returns the loss."""

    def __init__(self, layers, heads, width, vocabulary, context_length, **_):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context_length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, input_ids, labels):
        x = self.tokens(input_ids) + self.positions(torch.arange(input_ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.cross_entropy(self.head(self.norm(x)).flatten(0, 1), labels.flatten())


class Loss(nn.Module):
    """The loss of a model of transformers."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **batch):
        return self.model(**batch).loss


def make_model(shape):
    if shape.peer == "torch":
        return GPT(**shape.model)
    import transformers as t

    t.logging.set_verbosity_error()
    sizes, attention = shape.model, dict(attn_implementation="sdpa")
    length = shape.length
    match shape.family:
        case "gpt":
            model = t.GPT2LMHeadModel(t.GPT2Config(
                vocab_size=sizes["vocabulary"], n_positions=length, n_embd=sizes["width"], n_layer=sizes["layers"],
                n_head=sizes["heads"], resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False, **attention))
        case "llama":
            model = t.LlamaForCausalLM(t.LlamaConfig(
                vocab_size=sizes["vocabulary"], hidden_size=sizes["width"], intermediate_size=sizes["feed_forward"],
                num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
                num_key_value_heads=sizes["key_heads"], max_position_embeddings=length,
                tie_word_embeddings=sizes["tied_output"], use_cache=False, **attention))
        case "bert":
            model = t.BertForMaskedLM(t.BertConfig(
                vocab_size=sizes["vocabulary"], hidden_size=sizes["width"], num_hidden_layers=sizes["layers"],
                num_attention_heads=sizes["heads"], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                **attention))
        case "vit":
            model = t.ViTForImageClassification(t.ViTConfig(
                hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=1000, **attention))
    return Loss(model.train())


def make_batch(shape, sequences):
    if shape.family == "vit":
        return dict(pixel_values=torch.randn(sequences, 3, 224, 224), labels=torch.randint(0, 1000, (sequences,)))
    size = (sequences, shape.length)
    tokens = torch.randint(0, shape.model["vocabulary"], size)
    if shape.family == "bert":
        labels = torch.full(size, -100)
        for row in labels:
            row[torch.randperm(shape.length)[: round(MASKED_SHARE * shape.length)]] = 5
        return dict(input_ids=tokens, labels=labels)
    if shape.peer == "torch":
        return dict(input_ids=tokens, labels=torch.randint(0, shape.model["vocabulary"], size))
    return dict(input_ids=tokens, labels=tokens)


def make_optimizer(model):
    """AdamW in the form that updates faster here, and its name. Gradients are there."""
    def seconds(**form):
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0, **form)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            optimizer.step()
            times.append(time.perf_counter() - start)
        return min(times)

    name = "fused" if seconds(fused=True) <= seconds(foreach=True) else "foreach"
    return torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1, **{name: True}), name


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("--sequences", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--form", choices=["eager", "compile"], default="eager")
    arguments = parser.parse_args()

    shape = SHAPES[arguments.shape]
    rank = int(os.environ.get("RANK", 0))
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    torch.manual_seed(1337)
    model = make_model(shape)
    torch.manual_seed(1337 + rank)
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
        model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    step_model = torch.compile(model) if arguments.form == "compile" else model

    def pass_over(batch):
        cast = torch.autocast("cpu", torch.bfloat16) if arguments.precision == "bfloat16" else contextlib.nullcontext()
        with cast:
            loss = step_model(**batch)
        loss.backward()
        return loss

    pass_over(make_batch(shape, arguments.sequences))
    optimizer, optimizer_name = make_optimizer(model)
    optimizer.zero_grad(set_to_none=True)

    seconds = []
    for step in range(WARM_STEPS + arguments.steps):
        batch = make_batch(shape, arguments.sequences)
        start = time.perf_counter()
        loss = pass_over(batch)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step >= WARM_STEPS:
            seconds.append(time.perf_counter() - start)
    if not torch.isfinite(loss):
        raise SystemExit(f"{arguments.shape}: expected a finite loss, found {loss.item()}")
    if rank == 0:
        print(json.dumps(dict(
            step_seconds=statistics.median(seconds), optimizer=optimizer_name, threads=torch.get_num_threads(),
            torch=torch.__version__, parameters=sum(p.numel() for p in model.parameters()))))
    if ranks > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
