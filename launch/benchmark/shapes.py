"""The training steps that are compared: their sizes, once, for our program and for PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    title: str
    family: str
    # As our configuration calls them, without `model.`.
    model: dict
    sequences: int
    length: int
    # Sequences of a rank in `--scale`.
    share: int
    # Timed steps of a measurement; each program warms up for two more.
    steps: int
    config: str = "configs/gpt2-124m.yaml"
    # Where the peer's model is from: `torch` (written out in peer_step.py) or `transformers`.
    peer: str = "torch"

    def settings(self, sequences, micro_batch):
        """Our configuration's settings: the model, and a step of so many sequences."""
        values = {f"model.{key}": value for key, value in self.model.items()}
        values |= {"batch.sequences": sequences, "batch.micro_batch": micro_batch}
        return [word for key, value in values.items() for word in ("--set", f"{key}={str(value).lower()}")]


def gpt(title, layers, heads, width, vocabulary, sequences, length, share, steps, peer="torch"):
    model = dict(family="gpt", layers=layers, heads=heads, width=width, vocabulary=vocabulary, context_length=length)
    return Shape(title, "gpt", model, sequences, length, share, steps, peer=peer)


def base(title, family, steps, vocabulary, **model):
    """12 layers of width 768 with 12 heads, 4 × 256 tokens: about 100 million parameters."""
    model = dict(family=family, layers=12, heads=12, width=768, vocabulary=vocabulary, context_length=256) | model
    return Shape(title, family, model, 4, 256, 1, steps, peer="transformers")


SHAPES = {
    "gpt2": gpt("GPT-2 124M, 4 × 256", 12, 12, 768, 50304, 4, 256, share=1, steps=4),
    "gpt2-1024": gpt("GPT-2 124M, 8 × 1,024", 12, 12, 768, 50304, 8, 1024, share=1, steps=2),
    "nano": gpt("6 layers of 384, 16 × 256", 6, 6, 384, 256, 16, 256, share=4, steps=8),
    "micro": gpt("4 layers of 128, 12 × 64", 4, 4, 128, 256, 12, 64, share=12, steps=60),
    "gpt2-transformers": gpt(
        "GPT-2 124M, 4 × 256, transformers", 12, 12, 768, 50304, 4, 256, share=1, steps=4, peer="transformers"),
    "llama": base("Llama, 4 × 256", "llama", 4, 32000, key_heads=4, feed_forward=2048, tied_output=True),
    "bert": base("BERT-base, 4 × 256", "bert", 4, 30522),
    "vit": Shape(
        "ViT-B/16, 8 images", "vit", {}, 8, 197, 1, 4, config="configs/vit-b16.yaml", peer="transformers"),
}
