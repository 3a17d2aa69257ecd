"""Marian, the translators of OPUS-MT (Junczys-Dowmunt et al. 2018): Hugging Face's names.

The encoder-decoder of Vaswani et al. with one embedding for source, target and head. Positions are
sines, then cosines, and not in the file; a fixed bias is added to the logits; padding starts a
target.

    marian = minivit.load("Helsinki-NLP/opus-mt-en-de")
    ids = marian.model.translate(marian.tokenizer.encode("A small frog."), beams=4)
    print(marian.tokenizer.decode(ids))
"""

from minivit.engine.errors import CheckpointError
from minivit.models.seq2seq import Seq2Seq
from minivit.published import Layout, fields, tables, vocabularies

MODEL_TYPES = ("marian",)
SHARED = "model.shared.weight"
COPIES = (
    "lm_head.weight",
    "model.encoder.embed_tokens.weight",
    "model.decoder.embed_tokens.weight",
)
IGNORE = ("model.*coder.embed_positions.weight",)  # the sinusoids
LINEAR = {"mlp.fc1": "fc1", "mlp.fc2": "fc2"}
NORMS = {
    "ln_1": "self_attn_layer_norm", "ln_cross": "encoder_attn_layer_norm",
    "ln_2": "final_layer_norm",
}  # fmt: skip
ATTENTION = {"attn": "self_attn", "cross": "encoder_attn"}
DECODER_ONLY = ("cross", "ln_cross")


def recognises(names):
    return SHARED in names and "final_logits_bias" in names


def build(config, arrays):
    fields.demand(
        config, share_encoder_decoder_embeddings=True, tie_word_embeddings=True,
        normalize_before=False, normalize_embedding=False,
    )  # fmt: skip
    V, D = fields.shape(arrays, SHARED)
    fields.demand(config, decoder_vocab_size=V)
    layers = {}
    for part in ("encoder", "decoder"):
        found = tables.count_layers(arrays, f"model.{part}.layers.")
        layers[part] = tables.integer(config, f"{part}_layers", found, found)
    heads = fields.heads(config, "encoder_attention_heads", D)
    fields.demand(config, decoder_attention_heads=heads)
    hidden, _ = fields.shape(arrays, "model.encoder.layers.0.fc1.weight")
    model = Seq2Seq(
        V, _id(config, "decoder_start_token_id", V), _id(config, "eos_token_id", V),
        tables.integer(config, "max_position_embeddings", 10_000),
        D, layers["encoder"], heads, hidden,
        activation=fields.activation(config, "activation_function", "gelu"),
        decoder_layers=layers["decoder"], positions="halves",
        scaled=bool(config.get("scale_embedding", False)), logit_bias=True,
    )  # fmt: skip
    copies = tuple(name for name in COPIES if name in arrays)
    table = {
        "embedding.weight": ((SHARED, *copies), fields.tied),
        "logit_bias": ("final_logits_bias", first_row),
    }
    for part, number in layers.items():
        for i in range(number):
            skip = DECODER_ONLY if part == "encoder" else ()
            table |= layer(f"{part}.{i}.", f"model.{part}.layers.{i}.", skip)
    return Layout("Hugging Face", model, table, IGNORE)


def layer(ours, theirs, skip):
    """The table of one layer, `ours` and `theirs` being the beginnings of its names."""
    table = {}
    for w in ("weight", "bias"):
        for o, t in ATTENTION.items():
            parts = tuple(f"{theirs}{t}.{x}_proj.{w}" for x in "qkv")
            table[f"{ours}{o}.in_proj_{w}"] = (parts, tables.rows)
            table[f"{ours}{o}.out_proj.{w}"] = f"{theirs}{t}.out_proj.{w}"
        table |= {f"{ours}{o}.{w}": f"{theirs}{t}.{w}" for o, t in (LINEAR | NORMS).items()}
    return {
        k: v
        for k, v in table.items()
        if not k.removeprefix(ours).startswith(tuple(f"{s}." for s in skip))
    }


def first_row(matrix):
    return matrix[0]


def _id(config, key, V):
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < V:
        raise CheckpointError(f"config.json: {key} is {value!r}, expected a token id below {V}")
    return value


def extras(folder, config, model):
    return {"tokenizer": vocabularies.fitting(vocabularies.sentence_pieces(folder), model)}
