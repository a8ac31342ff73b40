"""A GPT-2 of transformers, for TrainingTests: the fixture, and what transformers makes of our exports.

usage: python hugging_face.py make                      writes hugging_face/, a random model, and its logits
       python hugging_face.py logits FOLDER OUT ID…     logits of FOLDER's model for the tokens: raw Float32
       python hugging_face.py encode FOLDER TEXTFILE    the ids that AutoTokenizer gives, on one line
       python hugging_face.py generate FOLDER COUNT ID…  at most COUNT tokens after those given, on one line
       python hugging_face.py continue FOLDER TEXTFILE COUNT  the text and at most COUNT tokens more, as `murmur generate` prints them
       python hugging_face.py save FOLDER OUT [DTYPE]   loads FOLDER and saves it again

Needs torch, transformers and safetensors. The fixture's sizes are odd where they may be: 3 heads, 22
features in the inner layer, 13 positions. It holds float32 weights in two files with an index.
"""

import hashlib
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hugging_face")


def make():
    torch.manual_seed(20240521)
    config = GPT2Config(
        vocab_size=259, n_positions=13, n_embd=18, n_layer=2, n_head=3, n_inner=22,
        bos_token_id=256, eos_token_id=256, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(FOLDER, max_shard_size="20KB")
    digest = hashlib.sha256(b"murmuration tokenizer 1 byte\n").hexdigest()
    with open(os.path.join(FOLDER, "murmuration-tokenizer.json"), "w") as file:
        json.dump({"type": "murmuration-byte", "version": 1, "digest": digest}, file)
    tokens = torch.randint(0, 259, (13,))
    with torch.no_grad():
        logits = model.double()(tokens[None]).logits[0]
    save_file(
        {"tokens": tokens.int(), "logits": logits.float()},
        FOLDER + "_expected.safetensors")


def logits(folder, out, *tokens):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        values = model(torch.tensor([[int(token) for token in tokens]])).logits[0]
    values.float().numpy().tofile(out)


def encode(folder, path):
    with open(path, newline="") as file:
        text = file.read()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    print(" ".join(str(id) for id in ids))


def generate(folder, count, *tokens):
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = torch.tensor([[int(token) for token in tokens]])
    with torch.no_grad():
        ids = model.generate(prompt, max_new_tokens=int(count), do_sample=False)[0]
    print(" ".join(str(int(id)) for id in ids[len(tokens):]))


def continue_(folder, path, count):
    with open(path, newline="") as file:
        text = file.read()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**prompt, max_new_tokens=int(count), do_sample=False)[0]
    print(text + tokenizer.decode(ids, skip_special_tokens=True)[len(text):])


def save(folder, out, dtype="float32"):
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.to(getattr(torch, dtype)).save_pretrained(out)


if __name__ == "__main__":
    {"make": make, "logits": logits, "encode": encode, "generate": generate, "continue": continue_, "save": save}[sys.argv[1]](*sys.argv[2:])
