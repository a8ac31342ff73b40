"""Families of models in transformers, for TrainingTests: a random model, and what transformers makes of it.

usage: python family_reference.py KIND FOLDER EXPECTED
       python family_reference.py KIND FOLDER EXPECTED --load

Saves a model of a KIND below in FOLDER, and in EXPECTED, a safetensors file, a batch as our view of the data has it
(`input.…`, `weights`), the logits of its targets, the mean loss, its gradient by our names of parameters, and the losses
of 20 steps of AdamW, all computed in float64. With --load the model is read from FOLDER, and only the logits are made.
"""

import hashlib
import json
import os
import sys

import torch
import transformers
from safetensors.torch import save_file

VOCABULARY, CONTEXT, ROWS = 259, 32, 2


def numbers(*shape, low=0, high=VOCABULARY):
    return torch.randint(low, high, shape)


class Decoder:
    """Predicts the next token."""

    sizes = dict(
        vocab_size=VOCABULARY, hidden_size=20, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5, attention_dropout=0.0,
        bos_token_id=256, eos_token_id=256, head_dim=6)
    prefix = "model."
    joined = (("qkv_proj", ["q_proj", "k_proj", "v_proj"]), ("gate_up_proj", ["gate_proj", "up_proj"]))

    def __init__(self, name, **settings):
        self.config = getattr(transformers, name + "Config")(**{**self.sizes, **settings})
        if name == "Qwen2":
            self.config.hidden_size, self.config.head_dim = 24, 6
        self.name = name + "ForCausalLM"

    def batch(self):
        fields = dict(tokens=numbers(ROWS, CONTEXT), targets=numbers(ROWS, CONTEXT))
        return fields, torch.ones(ROWS * CONTEXT)

    def logits(self, model, fields):
        return model(fields["tokens"], use_cache=False).logits

    def rename(self, name, value):
        return name, value


class FirstGPT(Decoder):
    """Norms behind; the tables have other names."""

    prefix = "transformer."
    joined = ()

    def __init__(self, **settings):
        self.config = transformers.OpenAIGPTConfig(**{**dict(
            vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=20, n_layer=2, n_head=4, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0), **settings})
        self.name = "OpenAIGPTLMHeadModel"

    def logits(self, model, fields):
        return model(fields["tokens"]).logits

    def rename(self, name, value):
        name = name.replace("tokens_embed", "wte").replace("positions_embed", "wpe")
        turned = any(part in name for part in ("c_attn.weight", "c_proj.weight", "c_fc.weight"))
        return name, value.T if turned else value


class NeoX(Decoder):
    """Queries, keys and values alternate head by head."""

    prefix = "gpt_neox."
    joined = ()

    def __init__(self, fraction=0.25, **settings):
        sizes = dict(
            vocab_size=VOCABULARY, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=CONTEXT, attention_dropout=0.0, hidden_dropout=0.0,
            rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=fraction))
        self.config = transformers.GPTNeoXConfig(**{**sizes, **settings})
        self.name = "GPTNeoXForCausalLM"

    def rename(self, name, value):
        if "query_key_value" in name:
            heads = self.config.num_attention_heads
            value = value.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)
        return name.replace("lm_head", "embed_out"), value


class Encoder(Decoder):
    """Of sequences of which the second is padded."""

    sizes = dict(
        vocab_size=VOCABULARY, hidden_size=20, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=CONTEXT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    prefix = "bert."
    joined = (("qkv", ["query", "key", "value"]),)
    lengths = (CONTEXT, CONTEXT - 7)

    def __init__(self, name, **settings):
        self.config = transformers.BertConfig(**{**self.sizes, **settings})
        self.name = name

    def batch(self):
        # Symbol 0 is padding, whose row has no gradient there.
        fields = dict(
            tokens=numbers(ROWS, CONTEXT, low=2), lengths=torch.tensor(self.lengths), types=numbers(ROWS, CONTEXT, high=2))
        weights = self.targets(fields)
        return fields, weights

    def mask(self):
        return (torch.arange(CONTEXT)[None, :] < torch.tensor(self.lengths)[:, None]).long()

    def targets(self, fields):
        """Six places in any order, the last of which has no target in the second row."""
        places = torch.stack([torch.randperm(length)[:6] for length in self.lengths])
        targets = numbers(ROWS, 6)
        weights = torch.ones(ROWS, 6)
        places[1, 5], targets[1, 5], weights[1, 5] = -1, -1, 0
        fields.update(places=places, targets=targets)
        return weights.flatten()

    def logits(self, model, fields):
        logits = model(
            fields["tokens"], attention_mask=self.mask(), token_type_ids=fields["types"]).logits
        chosen = torch.gather(
            logits, 1, fields["places"].clamp(min=0)[:, :, None].expand(-1, -1, logits.shape[2]))
        return chosen


class Roberta(Encoder):
    """Tells padding by its number, 1."""

    sizes = {**Encoder.sizes, "max_position_embeddings": CONTEXT + 2, "pad_token_id": 1, "type_vocab_size": 1}
    prefix = "roberta."

    def __init__(self, name, **settings):
        self.config = transformers.RobertaConfig(**{**self.sizes, **settings})
        self.name = name

    def batch(self):
        fields, weights = super().batch()
        tokens = fields["tokens"]
        tokens[self.mask() == 0] = 1
        fields["types"] = torch.zeros_like(tokens)
        return fields, weights

    def rename(self, name, value):
        if name == "embeddings.position_embeddings.weight":
            return name, value[2:]
        for theirs, ours in (
                ("lm_head.dense", "cls.predictions.transform.dense"),
                ("lm_head.layer_norm", "cls.predictions.transform.LayerNorm"), ("lm_head.bias", "cls.predictions.bias")):
            if name.startswith(theirs):
                return name.replace(theirs, ours), value
        return name, value


class SequenceClassifier(Encoder):
    def targets(self, fields):
        fields["targets"] = numbers(ROWS, 1, high=self.config.num_labels)
        return torch.ones(ROWS)

    def logits(self, model, fields):
        return model(
            fields["tokens"], attention_mask=self.mask(), token_type_ids=fields["types"]).logits[:, None]


class TokenClassifier(SequenceClassifier):
    def targets(self, fields):
        targets = numbers(ROWS, CONTEXT, high=self.config.num_labels)
        fields["targets"] = torch.where(self.mask() == 1, targets, -1)
        return self.mask().float().flatten()

    def logits(self, model, fields):
        return super().logits(model, fields)[:, 0]


class Pairs(Decoder):
    """Sources and targets, of which the second are padded. A Marian's decoder starts with padding."""

    lengths, target_lengths = (11, 7), (9, 6)
    joined = (
        ("self_attn.qkv", ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
        ("encoder_attn.kv_proj", ["encoder_attn.k_proj", "encoder_attn.v_proj"]))

    def __init__(self, name, **settings):
        sizes = dict(
            vocab_size=VOCABULARY, d_model=20, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=37, decoder_ffn_dim=37, max_position_embeddings=CONTEXT,
            dropout=0.0, attention_dropout=0.0)
        if name == "MarianMTModel":
            sizes.update(pad_token_id=258, decoder_start_token_id=258, eos_token_id=0, forced_eos_token_id=0)
        config = dict(MarianMTModel="MarianConfig").get(name, "BartConfig")
        self.config = getattr(transformers, config)(**{**sizes, **settings})
        self.name = name

    def batch(self):
        def existing(lengths):
            return (torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]).long()

        targets = numbers(ROWS, max(self.target_lengths))
        decoder_tokens = torch.roll(targets, 1, dims=1)
        decoder_tokens[:, 0] = self.config.decoder_start_token_id
        mask = existing(self.target_lengths)
        self.mask = existing(self.lengths)
        fields = dict(
            tokens=numbers(ROWS, max(self.lengths)), lengths=torch.tensor(self.lengths),
            decoder_tokens=decoder_tokens, targets=torch.where(mask == 1, targets, -1))
        return fields, mask.float().flatten()

    def logits(self, model, fields):
        return model(
            fields["tokens"], attention_mask=self.mask, decoder_input_ids=fields["decoder_tokens"],
            use_cache=False).logits

    def rename(self, name, value):
        return name, value[2:] if "embed_positions" in name else value


class Images(Decoder):
    """Classes of images, whose patches are cut as the convolution sees them."""

    prefix = "vit."
    joined = (("qkv", ["q_proj", "k_proj", "v_proj"]),)

    def __init__(self, **settings):
        sizes = dict(
            hidden_size=20, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, image_size=12,
            patch_size=4, num_channels=2, num_labels=5, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        self.config = transformers.ViTConfig(**{**sizes, **settings})
        self.name = "ViTForImageClassification"

    def batch(self):
        self.pixels = torch.randn(3, self.config.num_channels, 12, 12)
        side = self.config.patch_size
        patches = torch.nn.functional.unfold(self.pixels, side, stride=side).transpose(1, 2)
        return dict(patches=patches, targets=numbers(3, 1, high=self.config.num_labels)), torch.ones(3)

    def logits(self, model, fields):
        return model(self.pixels.to(model.dtype)).logits[:, None]

    def rename(self, name, value):
        # In memory the class has other names than in its files.
        for theirs, files in (
                ("layers.", "encoder.layer."), (".attention.qkv.", ".attention.attention.qkv."),
                (".attention.o_proj.", ".attention.output.dense."), (".mlp.fc1.", ".intermediate.dense."),
                (".mlp.fc2.", ".output.dense.")):
            name = name.replace(theirs, files)
        if name == "embeddings.cls_token":
            return name + ".weight", value[0]
        if name == "embeddings.position_embeddings":
            return name + ".weight", value[0]
        if name.endswith("projection.weight"):
            return name, value.flatten(1)
        return name, value


def rope(kind, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=10000.0, **more))


KINDS = {
    "llama": lambda: Decoder("Llama", tie_word_embeddings=False, **rope("default")),
    "llama_tied": lambda: Decoder("Llama", tie_word_embeddings=True, num_key_value_heads=4, **rope("default")),
    "llama3": lambda: Decoder("Llama", tie_word_embeddings=True, **rope(
        "llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)),
    "linear": lambda: Decoder("Llama", tie_word_embeddings=False, **rope("linear", factor=3.0)),
    "dynamic": lambda: Decoder("Llama", tie_word_embeddings=False, **rope("dynamic", factor=3.0)),
    "yarn": lambda: Decoder("Llama", tie_word_embeddings=False, **rope(
        "yarn", factor=2.0, original_max_position_embeddings=16)),
    "mistral": lambda: Decoder("Mistral", tie_word_embeddings=False, sliding_window=7, **rope("default")),
    "qwen2": lambda: Decoder("Qwen2", tie_word_embeddings=True, **rope("default")),
    "qwen3": lambda: Decoder("Qwen3", tie_word_embeddings=False, attention_bias=False, **rope("default")),
    "gpt1": lambda: FirstGPT(),
    "gpt1_relu": lambda: FirstGPT(afn="relu"),
    "neox": lambda: NeoX(),
    "neox_sequential": lambda: NeoX(
        fraction=1.0, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new"),
    "bert": lambda: Encoder("BertForMaskedLM"),
    "bert_gelu_new": lambda: Encoder("BertForMaskedLM", hidden_act="gelu_new", type_vocab_size=3),
    "bert_sequences": lambda: SequenceClassifier("BertForSequenceClassification", num_labels=3),
    "bert_tokens": lambda: TokenClassifier("BertForTokenClassification", num_labels=5),
    "vit": lambda: Images(),
    "vit_no_bias": lambda: Images(qkv_bias=False, patch_size=3, num_channels=1, layer_norm_eps=1e-6),
    "marian": lambda: Pairs("MarianMTModel"),
    "marian_scaled": lambda: Pairs("MarianMTModel", scale_embedding=True, activation_function="swish"),
    "bart": lambda: Pairs("BartForConditionalGeneration"),
    "roberta": lambda: Roberta("RobertaForMaskedLM", layer_norm_eps=1e-5),
}


def ours(kind, gradients):
    """By our names: without the prefix; what is one tensor here is joined."""
    found = {}
    for name in list(gradients):
        short = name.removeprefix(kind.prefix)
        for joined, parts in kind.joined:
            dotted = [f".{part}." for part in parts]
            if dotted[0] in short:
                whole = torch.cat([gradients[name.replace(dotted[0], part)] for part in dotted])
                short, value = kind.rename(short.replace(dotted[0], f".{joined}."), whole)
                found[short] = value
                break
            if any(part in short for part in dotted[1:]):
                break
        else:
            short, value = kind.rename(short, gradients[name])
            found[short] = value
    return found


def make(kind):
    kind.config._attn_implementation = "eager"
    torch.manual_seed(20261127)
    model = getattr(transformers, kind.name)(kind.config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.2)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(torch.randn_like(model.final_logits_bias) * 0.2)
    return model


def main(kind, folder, expected, loads):
    kind = KINDS[kind]()
    if loads:
        model = getattr(transformers, kind.name).from_pretrained(folder, attn_implementation="eager").eval()
    else:
        model = make(kind)
        model.save_pretrained(folder)
        digest = hashlib.sha256(b"murmuration tokenizer 1 byte\n").hexdigest()
        with open(os.path.join(folder, "murmuration-tokenizer.json"), "w") as file:
            json.dump({"type": "murmuration-byte", "version": 1, "digest": digest}, file)
    model = model.double()
    torch.manual_seed(7)
    fields, weights = kind.batch()
    counted = weights > 0

    def loss():
        logits = kind.logits(model, fields)
        return logits, torch.nn.functional.cross_entropy(
            logits.flatten(0, -2)[counted], fields["targets"].flatten()[counted])

    logits, value = loss()
    tensors = {"logits": logits.detach().flatten(0, -2)[counted]}
    if loads:
        return save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, expected)
    value.backward()
    tensors.update({
        "input." + name: field if field.is_floating_point() else field.int() for name, field in fields.items()})
    tensors.update(weights=weights, loss=value.detach()[None])
    gradients = {
        name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, gradient in ours(kind, gradients).items():
        tensors["gradient." + name] = gradient
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decaying = [parameter for parameter in trained if parameter.dim() > 1]
    others = [parameter for parameter in trained if parameter.dim() < 2]
    optimizer = torch.optim.AdamW(
        [dict(params=decaying, weight_decay=0.1), dict(params=others, weight_decay=0.0)], lr=3e-3,
        betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        _, value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.detach())
    tensors["losses"] = torch.stack(losses)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, expected)


if __name__ == "__main__":
    main(*sys.argv[1:4], "--load" in sys.argv)
