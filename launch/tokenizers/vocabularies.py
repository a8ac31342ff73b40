"""Tokenizers to compare with: trained here by the field's own programs, and published ones that packages carry."""

import io
import itertools
import json
import os

import corpus
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TRAINING_BYTES = 12_000_000


def training():
    return corpus.texts(TRAINING_BYTES, seed=3)


def special(name, tokenizer):
    return name, tokenizer.token_to_id(name)


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.train_from_iterator(
        training(),
        trainers.BpeTrainer(
            vocab_size=32000, special_tokens=["<|endoftext|>"], show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def llama3():
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        training(),
        trainers.BpeTrainer(vocab_size=32000, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"])
    begin = "<|begin_of_text|>"
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(
            single=f"{begin} $A", pair=f"{begin} $A {begin}:1 $B:1", special_tokens=[special(begin, tokenizer)])])
    return tokenizer


def llama2():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    control = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        training(),
        trainers.BpeTrainer(
            vocab_size=24000, special_tokens=control + [f"<0x{b:02X}>" for b in range(256)], limit_alphabet=800,
            show_progress=False))
    # Words ended at spaces while it learnt; Llama's own has no pre-tokenizer.
    parts = json.loads(tokenizer.to_str())
    parts["pre_tokenizer"] = None
    parts["added_tokens"] = [t for t in parts["added_tokens"] if t["content"] in control]
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[special("<s>", tokenizer)])
    return tokenizer


def bert(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        training(),
        trainers.WordPieceTrainer(
            vocab_size=30000, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=3000,
            show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[special("[CLS]", tokenizer), special("[SEP]", tokenizer)])
    return tokenizer


def t5():
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    lines = (line for text in training() for line in text.replace("\0", " ").splitlines() if line)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=itertools.islice(lines, 120_000), model_writer=model, vocab_size=12000, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2)
    parts = sentencepiece_model_pb2.ModelProto()
    parts.ParseFromString(model.getvalue())
    extra = [f"<extra_id_{i}>" for i in range(99, -1, -1)]
    vocabulary = [(piece.piece, piece.score) for piece in parts.pieces] + [(token, 0.0) for token in extra]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(parts.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"] + extra)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[special("</s>", tokenizer)])
    return tokenizer


def byte_characters():
    """GPT-2's character of each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + i) for i, b in enumerate(others)}


def published(name, size, pattern):
    """A vocabulary of tiktoken's that the package rs-bpe carries, with the merges that its ranks stand for."""
    from rs_bpe.bpe import openai

    ranks = getattr(openai, name)().bpe()
    tokens = [bytes(ranks.decode_tokens([i])) for i in range(size)]
    rank = {token: i for i, token in enumerate(tokens)}
    characters = byte_characters()
    spell = lambda token: "".join(characters[b] for b in token)
    merges = []
    for i, token in enumerate(tokens):
        parts = [token[j : j + 1] for j in range(len(token))]
        while len(parts) > 2:
            pairs = [(rank.get(a + b, size), j) for j, (a, b) in enumerate(zip(parts, parts[1:]))]
            best, j = min(pairs)
            assert best < i
            parts[j : j + 2] = [parts[j] + parts[j + 1]]
        if len(parts) == 2:
            merges.append((spell(parts[0]), spell(parts[1])))
    tokenizer = Tokenizer(models.BPE(vocab={spell(token): i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


KINDS = {
    "gpt2": gpt2,
    "llama3": llama3,
    "llama2": llama2,
    "bert-cased": lambda: bert(False),
    "bert-uncased": lambda: bert(True),
    "t5": t5,
    "cl100k": lambda: published("cl100k_base", 100_256, LLAMA3),
    "o200k": lambda: published("o200k_base", 199_998, O200K),
}


def path(kind, folder):
    """The tokenizer.json of a kind, which is made where it is missing."""
    file = os.path.join(folder, f"{kind}.json")
    if not os.path.exists(file):
        os.makedirs(folder, exist_ok=True)
        KINDS[kind]().save(file)
    return file
