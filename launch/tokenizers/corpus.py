"""Texts that tokenizers are compared on: what this machine has in many languages, and what is hard on them."""

import gzip
import os
import random
import sys
import unicodedata

# Documentation, manual pages in many languages, headers, scripts; packages of Python.
FOLDERS = ["/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/perl", "/usr/include", "/usr/lib/python3",
           os.path.join(sys.prefix, "lib")]

PIECES = (
    "don't I'll we've they'RE it'S 'tis ''s x 'ſ 123456 1,234.56 ½ Ⅷ ² zero naïve café É ﬁ ﬂ ﬃ … — ＡＢＣ １２３ "
    "한국어 각 ガ が 你好世界 東京 עברית عربي हिन्दी किन्नी ไทย 👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 e\u0301 o\u0308 \u200d \ufeff \u0000 \u0001 \x7f "
    "▁ ▁▁ ▁a a▁b [CLS] [MASK] <s> </s> <unk> <extra_id_3> <|endoftext|> <|begin_of_text|> <0x0A> ##ing !!! ?! .\n ;\r\n {} () [] ~`"
).split(" ") + ["\t", "\n", "\n\n", "\r\n", " \n", "\x85", "\xa0", "\u2028", "\u3000"]


def hard(seed=7):
    """Every code point, alone and among others, marks in any order, emoji, white space, control characters, bytes that
    are no text."""
    dice = random.Random(seed)
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    assigned = [c for c in every if unicodedata.category(c) != "Cn"]
    small = [c for c in assigned if ord(c) < 0x3000]
    marks = [c for c in small if unicodedata.category(c)[0] == "M"]
    texts = ["".join(every[i : i + 997]) for i in range(0, len(every), 997)]
    for i in range(0, len(assigned), 200):
        part = assigned[i : i + 200]
        texts += [" ".join(part), "".join(f"a{c}b 1{c}" for c in part)]
    texts += ["".join(dice.choices(small, k=dice.randint(1, 60))) for _ in range(4000)]
    for _ in range(2000):
        letters = dice.choices("aeiouAEIOUnsctz ", k=30)
        texts.append("".join(c + "".join(dice.choices(marks, k=dice.randint(0, 4))) for c in letters))
    for _ in range(6000):
        texts.append("".join(dice.choice(PIECES) + dice.choice(["", " ", "  "]) for _ in range(dice.randint(0, 40))))
    texts += ["", " ", "\n", "  ", "a", "\x85" * 50]
    texts += ["a" * 1_000_000, " " * 1_000_000, "abcdefghij" * 100_000, "é " * 300_000, "\n" * 300_000]
    documents = [t.encode() for t in texts]
    documents += [bytes(dice.choices(range(256), k=dice.randint(1, 80))) for _ in range(3000)]
    for _ in range(1000):
        text = "".join(dice.choices(small, k=40)).encode()
        cut = dice.randrange(len(text))
        documents.append(text[:cut] + text[cut + 1 :])
    return documents


def files(seed=7):
    found = []
    for folder in FOLDERS:
        for path, _, names in os.walk(folder):
            found += [os.path.join(path, name) for name in names]
    found = [f for f in found if os.path.isfile(f) and not os.path.islink(f) and 500 < os.path.getsize(f) < 3_000_000]
    found = [f for f in found if not f.endswith((".so", ".pyc", ".png", ".a", ".o", ".jpg", ".mo", ".svgz"))]
    found.sort()
    random.Random(seed).shuffle(found)
    return found


def natural(byte_count, seed=7):
    """Parts of files, a few lines each, until there are so many bytes."""
    dice = random.Random(seed)
    total = 0
    for path in files(seed):
        try:
            data = gzip.open(path).read(300_000) if path.endswith(".gz") else open(path, "rb").read(300_000)
        except OSError:
            continue
        part = b""
        for line in data.splitlines(keepends=True):
            part += line
            if len(part) > dice.choice([50, 500, 3000]):
                yield part if dice.random() < 0.5 else part.rstrip(b"\n")
                total += len(part)
                part = b""
        if part:
            yield part
            total += len(part)
        if total >= byte_count:
            return


def texts(byte_count, seed=7):
    """As Python reads them: what is no UTF-8 is replaced."""
    for document in natural(byte_count, seed):
        yield document.decode("utf-8", "replace")
