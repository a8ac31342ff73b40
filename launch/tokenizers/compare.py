"""Compares `murmur tokenizer` with the library `tokenizers`: ids, offsets and decoded text, document by document."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import corpus
import mutations
import vocabularies
from tokenizers import Tokenizer

BLOCK = 20_000


class Differences:
    def __init__(self):
        self.counts = {"ids": 0, "offsets": 0, "text": 0}
        self.first = None

    def add(self, what, document, ours, theirs):
        self.counts[what] += 1
        if self.first is None:
            place = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
            self.first = f"{what} from {place} on of {document[:200]!r}: {ours[place:place + 8]} and {theirs[place:place + 8]}"


def run(murmur, verb, file, lines, *flags):
    """What `murmur tokenizer verb` prints for lines, a line for each."""
    with tempfile.NamedTemporaryFile() as given:
        for line in lines:
            given.write(line + b"\n")
        given.flush()
        done = subprocess.run(
            [murmur, "tokenizer", verb, "--tokenizer", file, *flags, given.name], stdout=subprocess.PIPE, check=True)
    return done.stdout.split(b"\n")[:-1]


def encode(murmur, file, documents):
    """Documents that are lines go as they are, which bytes that are no text must; others as JSON."""
    plain = [i for i, d in enumerate(documents) if b"\n" not in d]
    others = [i for i, d in enumerate(documents) if b"\n" in d]
    found = dict(zip(plain, run(murmur, "encode", file, [documents[i] for i in plain], "--json")))
    lines = [json.dumps(documents[i].decode("utf-8", "replace"), ensure_ascii=False).encode() for i in others]
    found |= dict(zip(others, run(murmur, "encode", file, lines, "--json", "--json-lines")))
    return [json.loads(found[i]) for i in range(len(documents))]


def numbers(murmur, file, documents, *flags):
    """Ids alone, of documents that are lines: they are made in another way."""
    return [line.decode() for line in run(murmur, "encode", file, documents, *flags)]


def compare(murmur, kind, folder, byte_count):
    file = vocabularies.path(kind, folder)
    library = Tokenizer.from_file(file)
    differences = Differences()
    count = total = 0

    def block(documents):
        nonlocal count, total
        texts = [d.decode("utf-8", "replace") for d in documents]
        theirs = library.encode_batch(texts)
        for document, our, their in zip(documents, encode(murmur, file, documents), theirs):
            if our["ids"] != their.ids:
                differences.add("ids", document, our["ids"], their.ids)
            elif our["offsets"] != [list(o) for o in their.offsets]:
                differences.add("offsets", document, our["offsets"], [list(o) for o in their.offsets])
        lines = [i for i, d in enumerate(documents) if b"\n" not in d]
        for i, our in zip(lines, numbers(murmur, file, [documents[i] for i in lines]), strict=True):
            their = " ".join(map(str, theirs[i].ids))
            if our != their:
                differences.add("ids", documents[i], our, their)
        for skip in (True, False):
            lines = [" ".join(map(str, e.ids)).encode() for e in theirs]
            flags = ["--json"] + (["--skip-special"] if skip else [])
            decoded = library.decode_batch([e.ids for e in theirs], skip_special_tokens=skip)
            for document, our, their in zip(documents, run(murmur, "decode", file, lines, *flags), decoded):
                if json.loads(our) != their:
                    differences.add("text", document, json.loads(our), their)
        count += len(documents)
        total += sum(map(len, documents))

    pending = []
    for document in [*corpus.hard(), *corpus.natural(byte_count)]:
        pending.append(document)
        if len(pending) == BLOCK:
            block(pending)
            pending = []
    block(pending)
    print(f"| {kind} | {count:,} | {total / 1e6:.1f} | " + " | ".join(f"{n}" for n in differences.counts.values()) + " |")
    if differences.first:
        print(differences.first)
    sys.stdout.flush()
    return differences.first is None


def pairs(murmur, kind, folder, count):
    """Random pairs with every way to cut them short."""
    dice = random.Random(5)
    texts = list(corpus.texts(200_000, seed=9))
    different = 0
    for _ in range(count):
        parts = json.load(open(vocabularies.path(kind, folder)))
        parts["truncation"] = {
            "direction": dice.choice(["Left", "Right"]), "max_length": dice.choice([8, 17, 64]),
            "strategy": "LongestFirst", "stride": 0}
        parts["padding"] = dice.choice([None, {
            "strategy": {"Fixed": 40}, "direction": dice.choice(["Left", "Right"]), "pad_to_multiple_of": dice.choice([None, 16]),
            "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}])
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(parts, file)
            file.flush()
            library = Tokenizer.from_file(file.name)
            batch = [(dice.choice(texts)[:300], dice.choice(texts)[:300]) for _ in range(200)]
            lines = [json.dumps({"text": a, "pair": b}).encode() for a, b in batch]
            ours = [json.loads(line) for line in run(murmur, "encode", file.name, lines, "--json", "--json-lines")]
            for our, their in zip(ours, library.encode_batch(batch)):
                names = {"ids": their.ids, "type_ids": their.type_ids, "special_tokens_mask": their.special_tokens_mask,
                         "attention_mask": their.attention_mask, "offsets": [list(o) for o in their.offsets]}
                same = all(our[name] == value for name, value in names.items())
                different += not same
    print(f"{kind}: {count * 200} pairs, {different} different", flush=True)
    return different == 0


def fuzz(murmur, kind, folder, count):
    """Random bytes: no trap, and the library's ids for what they say as text."""
    file = vocabularies.path(kind, folder)
    library = Tokenizer.from_file(file)
    dice = random.Random(11)
    different = 0
    for start in range(0, count, 50_000):
        documents = []
        for _ in range(min(50_000, count - start)):
            bias = dice.choice([range(256), range(0x20, 0x7F), [0x20, 0x61, 0xC3, 0xA9, 0xE2, 0x96, 0x81, 0xF0, 0x9F, 0x98, 0x80]])
            documents.append(bytes(dice.choices(bias, k=dice.randint(0, 24))).replace(b"\n", b"\r"))
        ours = run(murmur, "encode", file, documents, "--json")
        plain = numbers(murmur, file, documents)
        theirs = library.encode_batch([d.decode("utf-8", "replace") for d in documents])
        lines = [" ".join(map(str, e.ids)).encode() for e in theirs]
        decoded = run(murmur, "decode", file, lines, "--json")
        texts = library.decode_batch([e.ids for e in theirs], skip_special_tokens=False)
        for our, alone, their, back, text in zip(ours, plain, theirs, decoded, texts, strict=True):
            our = json.loads(our)
            same = alone == " ".join(map(str, their.ids))
            same &= our["ids"] == their.ids and our["offsets"] == [list(o) for o in their.offsets]
            different += not same or json.loads(back) != text
    print(f"{kind}: {count:,} random texts, {different} different", flush=True)
    return different == 0


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--murmur", required=True)
    options.add_argument("--folder", default=".build/tokenizers")
    options.add_argument("--megabytes", type=float, default=100)
    options.add_argument("--fuzz", type=int, default=1_000_000)
    options.add_argument("--mutations", type=int, default=100_000)
    options.add_argument("kinds", nargs="*", default=list(vocabularies.KINDS))
    given = options.parse_args()
    kinds = given.kinds or list(vocabularies.KINDS)
    print("| tokenizer | documents | MB | other ids | other offsets | other texts |\n| --- | --- | --- | --- | --- | --- |")
    sound = all([compare(given.murmur, kind, given.folder, given.megabytes * 1e6) for kind in kinds])
    sound &= all([pairs(given.murmur, kind, given.folder, 10) for kind in kinds])
    if given.fuzz:
        sound &= all([fuzz(given.murmur, kind, given.folder, given.fuzz) for kind in kinds])
    if given.mutations and not given.kinds:
        sound &= mutations.mutations(given.murmur, given.folder, given.mutations)
    sys.exit(0 if sound else 1)
