"""Times `murmur tokenizer` beside the library `tokenizers`, tiktoken and rs-bpe, in turn: encoding of lines, training.

Ours is the whole program, which reads a file and prints numbers; theirs is the call alone, on texts that are in memory.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import corpus
import vocabularies


def lines_of(byte_count):
    """Lines of the corpus as texts of their own."""
    lines = []
    total = 0
    for text in corpus.texts(byte_count * 1.1, seed=13):
        for line in text.splitlines():
            lines.append(line)
            total += len(line.encode()) + 1
            if total >= byte_count:
                return lines, total
    return lines, total


def program(command):
    """Seconds of a program."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def peer(code, environment):
    """Seconds that a Python program prints."""
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | environment, check=True)
    return float(done.stdout.split()[-1])


READ = "import json, time\nlines = open({lines!r}, newline='\\n').read().split('\\n')\n"
PEERS = {
    "tokenizers": READ + """
from tokenizers import Tokenizer
t = Tokenizer.from_file({file!r})
t.encode_batch_fast(lines[:100])
began = time.perf_counter()
for i in range(0, len(lines), 5000): n = sum(len(e.ids) for e in t.encode_batch_fast(lines[i:i + 5000]))
print(time.perf_counter() - began)
""",
    "tiktoken": READ + """
import tiktoken
from vocabularies import byte_characters, LLAMA3
from tiktoken_ext import openai_public
parts = json.load(open({file!r}))
byte = {{c: b for b, c in byte_characters().items()}}
added = {{t['content'] for t in parts['added_tokens']}}
ranks = {{bytes(byte[c] for c in t): i for t, i in parts['model']['vocab'].items() if t not in added}}
pattern = LLAMA3 if 'gpt2' not in {file!r} else openai_public.r50k_pat_str
t = tiktoken.Encoding('x', pat_str=pattern, mergeable_ranks=ranks, special_tokens={{}})
t.encode_ordinary('a')
began = time.perf_counter()
if {threads} == 1:
    for line in lines: n = len(t.encode_ordinary(line))
else:
    for i in range(0, len(lines), 5000): n = sum(map(len, t.encode_ordinary_batch(lines[i:i + 5000], num_threads={threads})))
print(time.perf_counter() - began)
""",
    "rs-bpe": READ + """
from rs_bpe.bpe import openai
t = openai.cl100k_base()
t.encode('a')
began = time.perf_counter()
for line in lines: t.encode(line)
print(time.perf_counter() - began)
""",
}


def encode(murmur, kind, folder, byte_count, threads, rounds):
    file = vocabularies.path(kind, folder)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", newline="\n") as given:
        lines, total = lines_of(byte_count)
        given.write("\n".join(lines))
        given.flush()
        peers = ["tokenizers"] + (["tiktoken"] if kind in ("gpt2", "llama3", "cl100k") else [])
        peers += ["rs-bpe"] if kind == "cl100k" and threads == 1 else []
        seconds = {name: [] for name in ["murmur"] + peers}
        for _ in range(rounds):
            command = [murmur, "tokenizer", "encode", "--tokenizer", file, "--threads", str(threads), given.name]
            seconds["murmur"].append(program(command))
            for name in peers:
                code = PEERS[name].format(lines=given.name, file=file, threads=threads)
                environment = {"RAYON_NUM_THREADS": str(threads), "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}
                seconds[name].append(peer(code, environment))
    ours = statistics.median(seconds["murmur"])
    for name in peers:
        theirs = statistics.median(seconds[name])
        print(
            f"| {kind} | {threads} | {total / 1e6 / ours:.1f} | {name} | {total / 1e6 / theirs:.2f} | **{theirs / ours:.1f}** |",
            flush=True)


def train(murmur, byte_count, threads, rounds):
    """A byte-level vocabulary of 32,000, and where the merges part."""
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text.txt")
        lines, total = lines_of(byte_count)
        with open(text, "w", newline="\n") as given:
            given.write("\n".join(lines) + "\n")
        ours, theirs = os.path.join(folder, "ours.json"), os.path.join(folder, "theirs.json")
        code = f"""
import time
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(vocab_size=32000, min_frequency=2, special_tokens=['<|endoftext|>'],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
began = time.perf_counter()
t.train([{text!r}], trainer)
spent = time.perf_counter() - began
t.save({theirs!r})
print(spent)
"""
        seconds = ([], [])
        for _ in range(rounds):
            if os.path.exists(ours):
                os.remove(ours)
            command = [murmur, "tokenizer", "train", "--kind", "byte-level", "--threads", str(threads), "--output", ours, text]
            seconds[0].append(program(command))
            seconds[1].append(peer(code, {"RAYON_NUM_THREADS": str(threads)}))
        merges = [[tuple(m) for m in json.load(open(f))["model"]["merges"]] for f in (ours, theirs)]
        same = next((i for i, (a, b) in enumerate(zip(*merges)) if a != b), len(merges[0]))
        shared = len(set(merges[0]) & set(merges[1]))
        a, b = map(statistics.median, seconds)
        print(
            f"training, {total / 1e6:.0f} MB, {threads} threads: ours {a:.1f} s, tokenizers {b:.1f} s, "
            f"ratio {b / a:.2f}; {shared} of {len(merges[0])} merges are the same, the first {same} in order",
            flush=True)


def adversarial(murmur, kind, folder):
    """Seconds for a text of one word, and for one twice as long."""
    file = vocabularies.path(kind, folder)
    for name, unit in {"one letter": "a", "spaces": " ", "no spaces": "abcdefghij", "digits": "0123456789"}.items():
        spent = []
        for size in (500_000, 1_000_000, 2_000_000):
            with tempfile.NamedTemporaryFile("w") as given:
                given.write((unit * size)[:size])
                given.flush()
                spent.append(program([murmur, "tokenizer", "encode", "--tokenizer", file, "--threads", "1", given.name]))
        print(f"{kind}, {name}: " + ", ".join(f"{s:.2f}" for s in spent) + " s for 0.5, 1 and 2 MB", flush=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--murmur", required=True)
    options.add_argument("--folder", default=".build/tokenizers")
    options.add_argument("--megabytes", type=float, default=20)
    options.add_argument("--train-megabytes", type=float, default=100)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count()])
    options.add_argument("kinds", nargs="*")
    given = options.parse_args()
    print("| tokenizer | threads | ours, MB/s | peer | MB/s | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for kind in given.kinds or list(vocabularies.KINDS):
        for threads in given.threads:
            encode(given.murmur, kind, given.folder, given.megabytes * 1e6, threads, given.rounds)
    for kind in ("gpt2", "llama2", "bert-uncased", "t5"):
        if not given.kinds or kind in given.kinds:
            adversarial(given.murmur, kind, given.folder)
    if given.train_megabytes:
        train(given.murmur, given.train_megabytes * 1e6, max(given.threads), given.rounds)
