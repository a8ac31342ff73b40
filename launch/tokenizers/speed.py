"""Times our tokenizers beside the library `tokenizers`, tiktoken and rs-bpe, in turn: encoding of lines, memory, training.

Lines are in memory on both sides and the encoding of all is timed, `murmur tokenizer bench` for ours. Memory is that of a
program that reads the file and encodes it, a few thousand lines at a time.
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


# A process is told no less memory than its parent had when it started, so a small one starts the program.
MEMORY = """
import os, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def memory(command, environment=None):
    """Most megabytes of a program."""
    command = [sys.executable, "-SB", "-c", MEMORY, *command]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | (environment or {}), check=True)
    return int(done.stdout) / 1e3


def bench(murmur, file, text, threads, *flags):
    """Seconds of ours."""
    command = [murmur, "tokenizer", "bench", "--tokenizer", file, "--threads", str(threads), "--rounds", "1", "--json"]
    return json.loads(subprocess.run([*command, *flags, text], stdout=subprocess.PIPE, check=True).stdout)["seconds"]


def peer(code, environment):
    """Seconds that a Python program prints."""
    command = [sys.executable, "-B", "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=os.environ | environment, check=True)
    return float(done.stdout.split()[-1])


READ = "import json, time\nlines = open({lines!r}, newline='\\n').read().split('\\n')\n"
LIBRARY = READ + """
from tokenizers import Tokenizer
t = Tokenizer.from_file({file!r})
t.encode_batch_fast(lines[:100])
began = time.perf_counter()
for i in range(0, len(lines), 5000): n = sum(len(e.ids) for e in t.{call}(lines[i:i + 5000], add_special_tokens=False))
print(time.perf_counter() - began)
"""
PEERS = {
    "tokenizers": LIBRARY.replace("{call}", "encode_batch_fast"),
    "tokenizers, offsets": LIBRARY.replace("{call}", "encode_batch"),
    "tiktoken": READ + """
import tiktoken
from vocabularies import byte_characters, LLAMA3, O200K
from tiktoken_ext import openai_public
parts = json.load(open({file!r}))
byte = {{c: b for b, c in byte_characters().items()}}
added = {{t['content'] for t in parts['added_tokens']}}
ranks = {{bytes(byte[c] for c in t): i for t, i in parts['model']['vocab'].items() if t not in added}}
pattern = {{'gpt2': openai_public.r50k_pat_str, 'o200k': O200K}}.get({kind!r}, LLAMA3)
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
t = openai.{kind}_base()
t.encode('a')
began = time.perf_counter()
for line in lines: t.encode(line)
print(time.perf_counter() - began)
""",
}
STREAM = """
import itertools, sys
from tokenizers import Tokenizer
t = Tokenizer.from_file(sys.argv[1])
with open(sys.argv[2], errors='replace', newline='\\n') as given:
    while lines := [line.rstrip('\\n') for line in itertools.islice(given, 5000)]:
        for e in t.encode_batch_fast(lines): print(*e.ids)
"""


def peers_of(kind, threads):
    names = ["tokenizers", "tokenizers, offsets"]
    if kind in ("gpt2", "llama3", "cl100k", "o200k"):
        names.append("tiktoken")
    if kind in ("cl100k", "o200k") and threads == 1:
        names.append("rs-bpe")
    return names


def encode(murmur, kind, folder, text, total, threads, rounds):
    file = vocabularies.path(kind, folder)
    names = peers_of(kind, threads)
    seconds = {name: [] for name in ["murmur", "murmur, offsets", *names]}
    environment = {"RAYON_NUM_THREADS": str(threads), "PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}
    for _ in range(rounds):
        seconds["murmur"].append(bench(murmur, file, text, threads))
        seconds["murmur, offsets"].append(bench(murmur, file, text, threads, "--offsets"))
        for name in names:
            code = PEERS[name].format(lines=text, file=file, threads=threads, kind=kind)
            seconds[name].append(peer(code, environment))
    median = {name: statistics.median(spent) for name, spent in seconds.items()}
    for name in names:
        ours = median["murmur, offsets" if "offsets" in name else "murmur"]
        print(
            f"| {kind} | {threads} | {total / 1e6 / ours:.1f} | {name} | {total / 1e6 / median[name]:.2f} "
            f"| **{median[name] / ours:.1f}** |",
            flush=True)


def peaks(murmur, kind, folder, text, threads):
    file = vocabularies.path(kind, folder)
    ours = memory([murmur, "tokenizer", "encode", "--tokenizer", file, "--threads", str(threads), text])
    theirs = memory([sys.executable, "-B", "-c", STREAM, file, text], {"RAYON_NUM_THREADS": str(threads)})
    print(f"| {kind} | {threads} | {ours:.0f} | {theirs:.0f} | **{ours / theirs:.2f}** |", flush=True)


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
    kinds = given.kinds or list(vocabularies.KINDS)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", newline="\n") as text:
        lines, total = lines_of(given.megabytes * 1e6)
        text.write("\n".join(lines))
        text.flush()
        print("| tokenizer | threads | ours, MB/s | peer | MB/s | ratio |\n| --- | --- | --- | --- | --- | --- |")
        for kind in kinds:
            for threads in given.threads:
                encode(given.murmur, kind, given.folder, text.name, total, threads, given.rounds)
        print("| tokenizer | threads | our peak, MB | `tokenizers`, MB | ratio |\n| --- | --- | --- | --- | --- |")
        for kind in kinds:
            for threads in given.threads:
                peaks(given.murmur, kind, given.folder, text.name, threads)
    for kind in ("gpt2", "llama2", "bert-uncased", "t5"):
        if kind in kinds:
            adversarial(given.murmur, kind, given.folder)
    if given.train_megabytes:
        train(given.murmur, given.train_megabytes * 1e6, max(given.threads), given.rounds)
