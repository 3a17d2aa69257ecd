"""BERT's relatives: RoBERTa, XLM-R and DistilBERT are its network under other names.

RoBERTa (Liu et al. 2019) counts positions from 2 on, behind that of its padding token, and has one
kind of segment, which makes no difference; XLM-R (Conneau et al. 2020) is the same with another
vocabulary. DistilBERT (Sanh et al. 2019) has no segments and no pooler. Sources:
modeling_roberta.py, modeling_distilbert.py of transformers.
"""

from minivit.engine.errors import StateError
from minivit.models.bert import BERT
from minivit.published import Layout, fields, tables

BUFFERS = ("*embeddings.position_ids", "*embeddings.token_type_ids")  # 0, 1, 2 ... and 0, 0 ...
PADDING = 1  # the id of RoBERTa's padding token: the first token stands at position 2


def pairs(ours, theirs):
    return {f"{ours}.{w}": f"{theirs}.{w}" for w in ("weight", "bias")}


# -- RoBERTa, XLM-R --------------------------------------------------------------------------------
ROBERTA_LAYER = {
    "attn.out_proj": "attention.output.dense", "ln_1": "attention.output.LayerNorm",
    "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense", "ln_2": "output.LayerNorm",
}  # fmt: skip


def is_roberta(names):
    return any(name.startswith("roberta.") for name in names)


def roberta(config, arrays):
    fields.demand(
        config, position_embedding_type="absolute", is_decoder=False, pad_token_id=PADDING
    )  # fmt: skip
    p = fields.prefix_of(arrays, "roberta.")
    V, D = fields.shape(arrays, f"{p}embeddings.word_embeddings.weight")
    places, _ = fields.shape(arrays, f"{p}embeddings.position_embeddings.weight")
    if places <= PADDING + 1:
        raise StateError(f"position_embeddings: {places} rows, expected more than {PADDING + 1}")
    kinds, _ = fields.shape(arrays, f"{p}embeddings.token_type_embeddings.weight")
    found = tables.count_layers(arrays, f"{p}encoder.layer.")
    layers = tables.integer(config, "num_hidden_layers", found, found)
    hidden, _ = fields.shape(arrays, f"{p}encoder.layer.0.intermediate.dense.weight")
    pooler, head = f"{p}pooler.dense.weight" in arrays, "lm_head.bias" in arrays
    model = BERT(
        V, places - PADDING - 1, D, layers, fields.heads(config, "num_attention_heads", D), hidden,
        eps=fields.epsilon(config, "layer_norm_eps", 1e-12),
        activation=fields.activation(config, "hidden_act", "gelu"),
        pooler=pooler, head=head, kinds=kinds,
    )  # fmt: skip
    table = {
        "tokens.weight": f"{p}embeddings.word_embeddings.weight",
        "positions.weight": (f"{p}embeddings.position_embeddings.weight", behind_padding),
        "segments.weight": f"{p}embeddings.token_type_embeddings.weight",
        **pairs("norm", f"{p}embeddings.LayerNorm"),
        **(pairs("pooler", f"{p}pooler.dense") if pooler else {}),
    }
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"{p}encoder.layer.{i}."
        for w in ("weight", "bias"):
            parts = tuple(f"{theirs}attention.self.{x}.{w}" for x in ("query", "key", "value"))
            table[f"{ours}attn.in_proj_{w}"] = (parts, tables.rows)
        for o, t in ROBERTA_LAYER.items():
            table |= pairs(ours + o, theirs + t)
    if head:
        table |= pairs("head", "lm_head.dense") | pairs("head_norm", "lm_head.layer_norm")
        table |= tied(arrays, table["tokens.weight"], "lm_head.bias", "lm_head.decoder.")
    return Layout("Hugging Face (RoBERTa)", model, table, BUFFERS)


def behind_padding(positions):
    """(N + 2, D) -> (N, D), a view: no text stands at the places of the padding and before it."""
    return positions[PADDING + 1 :]


def tied(arrays, tokens, bias, decoder):
    """The head's matrix is the token embedding; a file may have it, or its bias, once more."""
    return {
        ours: ((theirs, copy) if copy in arrays else theirs, fields.tied)
        for ours, theirs, copy in (
            ("tokens.weight", tokens, f"{decoder}weight"), ("head_bias", bias, f"{decoder}bias"),
        )
    }  # fmt: skip


# -- DistilBERT ------------------------------------------------------------------------------------
DISTIL_LAYER = {
    "attn.out_proj": "attention.out_lin", "ln_1": "sa_layer_norm", "mlp.fc1": "ffn.lin1",
    "mlp.fc2": "ffn.lin2", "ln_2": "output_layer_norm",
}  # fmt: skip


def is_distilbert(names):
    return any(name.endswith("transformer.layer.0.attention.q_lin.weight") for name in names)


def distilbert(config, arrays):
    p = fields.prefix_of(arrays, "distilbert.")
    V, D = fields.shape(arrays, f"{p}embeddings.word_embeddings.weight")
    context, _ = fields.shape(arrays, f"{p}embeddings.position_embeddings.weight")
    found = tables.count_layers(arrays, f"{p}transformer.layer.")
    layers = tables.integer(config, "n_layers", found, found)
    hidden, _ = fields.shape(arrays, f"{p}transformer.layer.0.ffn.lin1.weight")
    head = "vocab_projector.bias" in arrays
    model = BERT(
        V, context, D, layers, fields.heads(config, "n_heads", D), hidden, eps=1e-12,
        activation=fields.activation(config, "activation", "gelu"),
        pooler=False, head=head, kinds=0,
    )  # fmt: skip
    table = {
        "tokens.weight": f"{p}embeddings.word_embeddings.weight",
        "positions.weight": f"{p}embeddings.position_embeddings.weight",
        **pairs("norm", f"{p}embeddings.LayerNorm"),
    }
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"{p}transformer.layer.{i}."
        for w in ("weight", "bias"):
            parts = tuple(f"{theirs}attention.{x}_lin.{w}" for x in "qkv")
            table[f"{ours}attn.in_proj_{w}"] = (parts, tables.rows)
        for o, t in DISTIL_LAYER.items():
            table |= pairs(ours + o, theirs + t)
    if head:
        table |= pairs("head", "vocab_transform") | pairs("head_norm", "vocab_layer_norm")
        table |= tied(arrays, table["tokens.weight"], "vocab_projector.bias", "vocab_projector.")
        table["head_bias"] = "vocab_projector.bias"
    return Layout("Hugging Face (DistilBERT)", model, table, BUFFERS)
