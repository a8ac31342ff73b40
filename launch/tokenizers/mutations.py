"""Changed copies of small tokenizer.json files: ours refuses each, or gives the library's ids; it never traps."""

import json
import random
import subprocess
import tempfile
import zlib

import vocabularies
from tokenizers import Tokenizer

TEXTS = ["Hello world  don't 123 é", "<s> a▁b [MASK]\t[CLS]x", "ﬁ日本 ¿! ##ing \u0301", "  <|endoftext|>The  cat's  "]
VALUES = ["null", "true", "false", "0", "1", "-1", "2.5", '""', "[]", "{}", '"BPE"', '"▁"', '"Isolated"', '"Removed"', '"first"',
          '"NFC"', '"Regex"', '"a"', '"##"', '"Ġ"', '"[UNK]"', '"<unk>"']
KINDS = ["gpt2", "llama2", "bert-uncased", "t5", "llama3"]


def small(kind, folder):
    """A kind's file with some dozens of merges or tokens."""
    parts = json.load(open(vocabularies.path(kind, folder)))
    model = parts["model"]
    if model["type"] == "BPE":
        kept = {t for t in model["vocab"] if len(t) == 1 or t.startswith("<0x")}
        kept = set(sorted(kept)[:300]) | {t["content"] for t in parts["added_tokens"]}
        merges = []
        for a, b in model["merges"]:
            if a in kept and b in kept and len(merges) < 60:
                merges.append([a, b])
                kept.add(a + b)
        order = sorted(kept & set(model["vocab"]), key=model["vocab"].get)
        model["vocab"], model["merges"] = {t: i for i, t in enumerate(order)}, merges
    elif model["type"] == "WordPiece":
        order = sorted(model["vocab"], key=model["vocab"].get)
        order = list(dict.fromkeys(order[:5] + [t for t in order if len(t) <= 3][:250]))
        model["vocab"] = {t: i for i, t in enumerate(order)}
    else:
        model["vocab"] = model["vocab"][:150]
        order = [token for token, _ in model["vocab"]]
        parts["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}]}
    numbers = {t: i for i, t in enumerate(order)}
    parts["added_tokens"] = parts["added_tokens"][:6]
    for token in parts["added_tokens"]:
        token["id"] = numbers.setdefault(token["content"], len(numbers))
    renumber(parts["post_processor"], numbers)
    parts["truncation"] = {"direction": "Right", "max_length": 12, "strategy": "LongestFirst", "stride": 0}
    return parts


def renumber(node, numbers):
    """Gives the tokens of templates the numbers that they have in the small file."""
    if isinstance(node, dict) and {"ids", "tokens"} <= node.keys():
        node["ids"] = [numbers[token] for token in node["tokens"]]
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        renumber(child, numbers)


def paths(node, path=()):
    if path and not (len(path) > 2 and path[:2] in (("model", "vocab"), ("model", "merges")) and zlib.crc32(repr(path).encode()) % 20):
        yield path
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield from paths(child, path + (key,))


def at(node, path):
    for key in path:
        node = node[key]
    return node


def change(parts, places, dice):
    """Bytes that are other ones, doubled or gone; or values that are others, or elsewhere."""
    if dice.random() < 0.45:
        data = bytearray(json.dumps(parts, ensure_ascii=False).encode())
        for _ in range(dice.randint(1, 3)):
            place = dice.randrange(len(data))
            kind = dice.randrange(4)
            if kind == 0:
                data[place] = dice.randrange(256)
            elif kind == 1:
                del data[place]
            elif kind == 2:
                data[place:place] = dice.choice(VALUES).encode()
            else:
                data[place:place] = data[place : place + dice.randint(1, 12)]
        return bytes(data)
    copy = json.loads(json.dumps(parts))
    for _ in range(dice.randint(1, 2)):
        *head, last = dice.choice(places)
        try:
            node = at(copy, head)
            kind = dice.randrange(3)
            if kind == 1:
                del node[last]
            else:
                node[last] = json.loads(dice.choice(VALUES)) if kind == 0 else at(parts, dice.choice(places))
        except (KeyError, IndexError, TypeError):
            pass
    return json.dumps(copy, ensure_ascii=False).encode()


def theirs(data):
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except BaseException:
        return None
    try:
        encodings = [tokenizer.encode(text) for text in TEXTS]
        texts = [tokenizer.decode(e.ids, skip_special_tokens=False) for e in encodings]
        return [[e.ids, [list(o) for o in e.offsets], e.type_ids, e.special_tokens_mask, e.attention_mask] for e in encodings], texts
    except BaseException:
        return "error"


NAMES = ("ids", "offsets", "type_ids", "special_tokens_mask", "attention_mask")


def ours(murmur, file, texts):
    """As `theirs`; None where the file is refused."""

    def run(verb, *words):
        command = [murmur, "tokenizer", verb, "--json", "--threads", "1", "--tokenizer", file, *words]
        done = subprocess.run(command, capture_output=True)
        if done.returncode not in (0, 3):
            raise SystemExit(f"exit code {done.returncode} for {open(file, 'rb').read()!r}")
        return done

    done = run("encode", texts)
    if done.returncode == 3:
        return "error" if b"text:" in done.stderr else None
    encodings = [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]
    with tempfile.NamedTemporaryFile("w") as numbers:
        numbers.write("".join(" ".join(map(str, e["ids"])) + "\n" for e in encodings))
        numbers.flush()
        done = run("decode", numbers.name)
    if done.returncode == 3:
        return "error"
    return [[e[name] for name in NAMES] for e in encodings], [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]


def mutations(murmur, folder, count, seed=1):
    dice = random.Random(seed)
    files = [small(kind, folder) for kind in KINDS]
    places = [list(paths(parts)) for parts in files]
    refused = equal = different = alone = 0
    with tempfile.NamedTemporaryFile(suffix=".json") as file, tempfile.NamedTemporaryFile("w") as texts:
        texts.write("\n".join(TEXTS))
        texts.flush()
        for _ in range(count):
            which = dice.randrange(len(files))
            data = change(files[which], places[which], dice)
            file.seek(0)
            file.truncate()
            file.write(data)
            file.flush()
            found = ours(murmur, file.name, texts.name)
            if found is None:
                refused += 1
                continue
            expected = theirs(data)
            if expected is None:
                alone += 1
            elif found == expected:
                equal += 1
            else:
                different += 1
                print(f"{found} and {expected} for {data!r}", flush=True)
    print(f"{count:,} changed files: {refused:,} refused, {equal:,} equal, {different} different, {alone} refused by the library alone",
          flush=True)
    return different == 0
