"""Makes search.json: what `generate` of transformers finds with a model that is a formula.

    python make.py [--sources N] [--settings N] [--output FILE]

The model is an encoder-decoder. Its encoder passes on the number of its source, which is spread
over the places of the input, padded on the right to unequal lengths; its logits are hashes of
source, place and last two tokens (HashedModel.swift has the same formula). Made with torch 2.13 and
transformers 5.24.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

PAD, START, RANGE, END_BIAS = 0, 1, np.float32(12), np.float32(2)


def mix(value):
    """splitmix64's increment and finalizer (Steele et al. 2014)."""
    value = value + np.uint64(0x9E3779B97F4A7C15)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


class HashedConfig(PretrainedConfig):
    model_type = "hashed"

    def __init__(self, vocab_size=24, ends=(2,), **options):
        self.vocab_size, self.ends = vocab_size, list(ends)
        self.num_hidden_layers = self.hidden_size = self.num_attention_heads = 1
        super().__init__(is_encoder_decoder=True, **options)


class Encoder(torch.nn.Module):
    main_input_name = "input_ids"

    def forward(self, input_ids, attention_mask=None, **_):
        hidden = ((input_ids - 1) * attention_mask)[..., None].double()
        return BaseModelOutput(last_hidden_state=hidden)


class HashedModel(PreTrainedModel, GenerationMixin):
    config_class = HashedConfig
    main_input_name = "input_ids"

    def __init__(self, config):
        super().__init__(config)
        self.encoder = Encoder()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.post_init()

    def get_encoder(self, *_, **__):
        return self.encoder

    def forward(
        self, input_ids=None, attention_mask=None, decoder_input_ids=None, encoder_outputs=None, **_
    ):
        sources = encoder_outputs.last_hidden_state.sum(dim=(1, 2)).long().numpy().astype(np.uint64)
        text = decoder_input_ids.numpy().astype(np.uint64)
        before = text[:, -2] if text.shape[1] > 1 else np.zeros(len(text), np.uint64)
        state = mix(mix(mix(mix(sources) + np.uint64(text.shape[1])) + text[:, -1]) + before)
        bits = mix(state[:, None] + np.arange(self.config.vocab_size, dtype=np.uint64))
        logits = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24) * RANGE
        logits[:, self.config.ends] += END_BIAS
        return Seq2SeqLMOutput(logits=torch.tensor(logits)[:, None])


def padded(numbers):
    """The number of each source spread over 1 to 4 places."""
    rows = []
    for number in numbers:
        length = number % 4 + 1
        parts = [number // length] * length
        parts[0] += number - sum(parts)
        rows.append([part + 1 for part in parts])
    width = max(map(len, rows))
    ids = torch.tensor([row + [PAD] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def settings():
    """Every beam × penalty × early stopping, each with other options from unequal cycles."""
    number = 0
    for beams in (1, 4, 8):
        for penalty in (0.0, 0.6, 1.0, 2.0) if beams > 1 else (1.0,) * 4:
            for early in (False, True, "never"):
                chosen = dict(
                    beams=beams, penalty=penalty, early=early,
                    results=min(beams, (1, 3, 2, 8)[number % 4]),
                    minimum=(0, 0, 3, 0, 5)[number % 5],
                    maximum=(12, 9, 15, 6, 1, 12, 20)[number % 7],
                    ngram=(0, 2, 0, 3, 0, 0, 1)[(number // 2) % 7],
                    repetition=(1.0, 1.0, 1.0, 1.3, 0.8)[(number // 3) % 5],
                    forcedFirst=(None, None, 7)[(number // 2) % 3],
                    forcedLast=(None, 2)[(number // 4) % 2],
                    suppressed=([], [0], [0, 2, 5])[(number // 5) % 3],
                    prefix=([], [], [9], [4, 4, 11])[(number // 7) % 4],
                    vocabulary=(24, 40)[(number // 6) % 2],
                    ends=([2], [2], [2, 6], [])[(number // 9) % 4],
                    lengthCountsStart=number % 3 == 1,
                )
                if chosen["maximum"] < 6:
                    chosen.update(prefix=[], forcedFirst=None)
                number += 1
                yield chosen
    for early in (False, "never"):
        yield dict(
            beams=4, penalty=-0.2, early=early, results=4, minimum=0, maximum=40, ngram=0,
            repetition=1.0, forcedFirst=None, forcedLast=None, suppressed=[], prefix=[],
            vocabulary=40, ends=[2], lengthCountsStart=False,
        )


def more(count):
    """Options drawn at random, for a longer comparison."""
    random = np.random.default_rng(17)

    def pick(*values):
        return values[random.integers(len(values))]

    for _ in range(count):
        yield dict(
            beams=pick(1, 4, 8, 4, 8), penalty=pick(0.0, 0.6, 1.0, 2.0, -0.5),
            early=pick(False, True, "never"), results=1, minimum=pick(0, 0, 0, 2, 4, 7),
            maximum=pick(8, 12, 20, 16), ngram=pick(0, 0, 0, 1, 2, 3),
            repetition=pick(1.0, 1.0, 1.0, 1.2, 0.7), forcedFirst=pick(None, None, 3),
            forcedLast=pick(None, 2), suppressed=pick([], [0], [0, 8]),
            prefix=pick([], [], [], [5], [12, 4, 4]), vocabulary=pick(24, 32, 40, 100),
            ends=pick([2], [2], [2], [2, 6], [2, 6, 7], []),
            lengthCountsStart=pick(True, False),
        ) | dict(results=pick(1, 1, 4))


def generate(chosen, numbers):
    model = HashedModel(HashedConfig(chosen["vocabulary"], chosen["ends"])).eval()
    beams, prefix, first = chosen["beams"], chosen["prefix"], chosen["forcedFirst"]
    options = dict(
        num_beams=beams, do_sample=False, use_cache=False, max_new_tokens=chosen["maximum"],
        no_repeat_ngram_size=chosen["ngram"], forced_bos_token_id=first,
        forced_eos_token_id=chosen["forcedLast"], decoder_start_token_id=START,
        pad_token_id=PAD, eos_token_id=chosen["ends"] or None,
        repetition_penalty=chosen["repetition"], num_return_sequences=min(beams, chosen["results"]),
        return_dict_in_generate=True, output_scores=True,
    )
    if beams > 1:
        options |= dict(length_penalty=chosen["penalty"], early_stopping=chosen["early"])
    if chosen["suppressed"]:
        options["bad_words_ids"] = [[token] for token in chosen["suppressed"]]
    if chosen["minimum"] > 0 and chosen["lengthCountsStart"]:
        options["min_length"] = chosen["minimum"] + 1
    elif chosen["minimum"] > 0:
        options["min_new_tokens"] = chosen["minimum"]
    everything = list(range(chosen["vocabulary"]))

    def allowed(_, text):
        place = len(text) - 1 - (first is not None)
        return [prefix[place]] if 0 <= place < len(prefix) else everything

    ids, mask = padded(numbers)
    with torch.no_grad():
        found = model.generate(
            ids, attention_mask=mask, generation_config=GenerationConfig(**options),
            prefix_allowed_tokens_fn=allowed if prefix else None,
        )
    texts = found.sequences[:, 1:].tolist()
    scores = found.sequences_scores.tolist() if beams > 1 else [None] * len(texts)
    return texts, scores


def cut(text, ends):
    """Without what stands behind the first end."""
    for place, token in enumerate(text):
        if token in ends:
            return text[: place + 1]
    return text


def case(chosen, numbers, batch=50):
    results = []
    count = min(chosen["beams"], chosen["results"])
    for start in range(0, len(numbers), batch):
        part = numbers[start : start + batch]
        texts, scores = generate(chosen, part)
        for index in range(len(part)):
            own = range(index * count, (index + 1) * count)
            results.append(
                [
                    dict(tokens=cut(texts[row], chosen["ends"]), score=scores[row])
                    if scores[row] is not None
                    else dict(tokens=cut(texts[row], chosen["ends"]))
                    for row in own
                ]
            )
    chosen = {name: value for name, value in chosen.items() if name != "lengthCountsStart"}
    return dict(settings=chosen | dict(results=count, early=str(chosen["early"]).lower()),
                sources=numbers, results=results)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sources", type=int, default=0)
    parser.add_argument("--settings", type=int, default=0, help="more, drawn at random")
    parser.add_argument("--output", default=Path(__file__).parent / "search.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(over="ignore")
    cases = []
    for number, chosen in enumerate([*settings(), *more(arguments.settings)]):
        # Without more on the command line each setting has some of 40 sources.
        numbers = (
            list(range(arguments.sources))
            if arguments.sources
            else sorted((number * 7 + step * 3) % 40 for step in range(16))
        )
        cases.append(case(chosen, numbers))
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    Path(arguments.output).write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
