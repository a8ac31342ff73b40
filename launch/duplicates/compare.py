"""Recall, precision and speed of the search for near duplicates, beside the library datasketch.

Documents are made with planted duplicates of many similarities. What is a duplicate is found by comparing the sets of shingles
themselves, for every pair that has one in common. Ours runs as the test suite `DuplicateFigures`, in release; both get the same
file, in turn, and the medians of the processor's time are told, of one thread each. Needs datasketch and numpy.

    launch/duplicates/compare.py                    10,000 documents
    launch/duplicates/compare.py --documents 100000 --no-reference
"""

import argparse
import collections
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import time

from datasketch import MinHash, MinHashLSH

WORDS = re.compile(r"[^\W_]+")
SHINGLE = 5
PERMUTATIONS = 128


def corpus(count, seed, low, high):
    """Lines of text: some by themselves, some made of an earlier one by replacing words here and there or in one place."""
    dice = random.Random(seed)
    vocabulary = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(1, 10))) for _ in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    documents = []
    while len(documents) < count:
        words = dice.choices(vocabulary, weights, k=int(dice.lognormvariate(5.7, 0.7)) + 10)
        documents.append(" ".join(words))
        for _ in range(dice.choice([0, 0, 1, 1, 1, 3])):
            similarity = dice.uniform(low, high)
            lost = (1 - similarity) / (1 + similarity)
            changed = list(words)
            if dice.random() < 0.5:
                rate = 1 - (1 - lost) ** (1 / SHINGLE)
                changed = [dice.choice(vocabulary) if dice.random() < rate else word for word in changed]
            else:
                length = min(len(words), max(0, int(lost * len(words)) - SHINGLE + 1))
                start = dice.randrange(len(words) - length + 1)
                changed[start : start + length] = dice.choices(vocabulary, k=length)
            documents.append(" ".join(word.capitalize() for word in changed) + ".")
    documents = documents[:count]
    dice.shuffle(documents)
    return documents


def shingles(text):
    words = WORDS.findall(text.lower())
    if len(words) < SHINGLE:
        return {" ".join(words)} if words else set()
    return {" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}


def dropped(pairs, count):
    """All of each component but its first."""
    parents = list(range(count))

    def root(one):
        while parents[one] != one:
            parents[one] = parents[parents[one]]
            one = parents[one]
        return one

    for one, other in pairs:
        one, other = sorted((root(one), root(other)))
        parents[other] = one
    return {one for one in range(count) if root(one) != one}


def reference(documents, threshold):
    """Pairs of at least the threshold, of all that have a shingle in common."""
    sets = [shingles(text) for text in documents]
    holders = collections.defaultdict(list)
    for number, one in enumerate(sets):
        for shingle in one:
            holders[shingle].append(number)
    common = collections.Counter()
    for numbers in holders.values():
        for place, one in enumerate(numbers):
            for other in numbers[place + 1 :]:
                common[one, other] += 1
    return [
        (one, other) for (one, other), count in common.items()
        if count / (len(sets[one]) + len(sets[other]) - count) >= threshold]


def datasketch(documents, threshold):
    """Seconds of the processor, and what is dropped: each document is looked up among those before it."""
    began = time.thread_time()
    index = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    pairs = []
    for number, text in enumerate(documents):
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([shingle.encode() for shingle in shingles(text)])
        pairs += [(other, number) for other in index.query(sketch)]
        index.insert(number, sketch)
    return time.thread_time() - began, dropped(pairs, len(documents))


def ours(folder, command):
    environment = dict(os.environ, MURMUR_DUPLICATES=folder, MURMUR_DUPLICATES_ROUNDS="1")
    subprocess.run(command, shell=True, check=True, env=environment, stdout=subprocess.DEVNULL)
    with open(os.path.join(folder, "figures.json")) as file:
        return json.load(file)


def quality(found, expected):
    common = len(found & expected)
    return f"recall {common / max(1, len(expected)):.4f}, precision {common / max(1, len(found)):.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--similarities", type=float, nargs=2, default=[0.5, 1.0], help="of planted duplicates, from and to")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-reference", action="store_true", help="times only")
    parser.add_argument("--command", default="swift test -c release --filter DuplicateFigures", help="that runs ours")
    given = parser.parse_args()

    documents = corpus(given.documents, given.seed, *given.similarities)
    megabytes = sum(len(text) + 1 for text in documents) / 1e6
    print(f"{len(documents)} documents, {megabytes:.1f} MB, similarity {given.threshold}")
    expected = None
    if not given.no_reference:
        pairs = reference(documents, given.threshold)
        expected = dropped(pairs, len(documents))
        print(f"{len(pairs)} pairs are alike, {len(expected)} documents are not the first of their kind")
    times = {"ours": [], "datasketch": []}
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "documents"), "w") as file:
            file.writelines(text + "\n" for text in documents)
        for _ in range(given.rounds):
            figures = ours(folder, given.command)
            mine = figures["rounds"][0]
            times["ours"].append(mine["signatureSeconds"] + mine["searchSeconds"])
            seconds, theirs = datasketch(documents, given.threshold)
            times["datasketch"].append(seconds)
            print(f"ours {times['ours'][-1]:.3f} s ({mine}), datasketch {seconds:.2f} s")
    medians = {name: statistics.median(all) for name, all in times.items()}
    for name, found in ("ours", set(figures["dropped"])), ("datasketch", theirs):
        told = quality(found, expected) if expected is not None else f"{len(found)} dropped"
        print(f"{name}: {medians[name]:.3f} s, {megabytes / medians[name]:.1f} MB/s, {told}")
    print(f"ratio {medians['datasketch'] / medians['ours']:.1f}")
    print(f"contamination: {megabytes / figures['contaminationSeconds']:.1f} MB/s")
    print(f"signatures: {figures['signatureBytes'] / 1e6:.1f} MB; peak of memory: {figures['peakBytes'] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
