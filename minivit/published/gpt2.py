"""GPT-2 (Radford et al. 2019): Hugging Face's names, with "transformer." before them or without.

Its Linear layers (Conv1D) are (in, out), and the head is the token embedding, so the file does not
have it. `attn.bias` is no bias: the causal mask, which older files kept.
"""

from minivit.models.gpt import GPT, SIZES
from minivit.published import Layout, fields, tables, vocabularies

MODEL_TYPES = ("gpt2",)
MASKS = ("*.attn.bias", "*.attn.masked_bias")
HEAD = "lm_head.weight"

# within a layer: theirs -> ours; weights of these four are transposed
LINEAR = {"attn.c_proj": "attn.out_proj", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
NORMS = {"ln_1": "ln_1", "ln_2": "ln_2"}


def recognises(names):
    p = fields.prefix_of(names, "transformer.")
    return {f"{p}wte.weight", f"{p}wpe.weight", f"{p}h.0.ln_1.bias"} <= set(names)


def build(config, arrays):
    p = fields.prefix_of(arrays, "transformer.")
    fields.demand(
        config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False,
        add_cross_attention=False,
    )  # fmt: skip
    tokens = [name for name in (f"{p}wte.weight", HEAD) if name in arrays]  # tied: one or both
    V, D = fields.shape(arrays, tokens[0] if tokens else f"{p}wte.weight")
    context, _ = fields.shape(arrays, f"{p}wpe.weight")
    found = tables.count_layers(arrays, f"{p}h.")
    layers = tables.integer(config, "n_layer", found, found)
    _, hidden = fields.shape(arrays, f"{p}h.0.mlp.c_fc.weight")
    model = GPT(
        V, context, D, layers,
        fields.heads(config, "n_head", D, layers, SIZES.values()),
        hidden=hidden,
        activation=fields.activation(config, "activation_function", "gelu_new"),
        eps=fields.epsilon(config, "layer_norm_epsilon", 1e-5),
    )  # fmt: skip
    return Layout("Hugging Face", model, table_of(p, layers, tokens), MASKS)


def table_of(p, layers, tokens=()):
    """p: what stands before the names. tokens: the names of the embedding, which is the head's
    matrix, too."""
    tokens = tuple(tokens) or (f"{p}wte.weight",)
    table = {"wte.weight": (tokens, fields.tied), "wpe.weight": f"{p}wpe.weight"}
    table |= {f"norm.{w}": f"{p}ln_f.{w}" for w in ("weight", "bias")}
    for i in range(layers):
        table |= layer(f"layers.{i}.", f"{p}h.{i}.")
    return table


def layer(ours, theirs):
    """The table of one layer, `ours` and `theirs` being the beginnings of its names."""
    table = {}
    for w, transform in (("weight", tables.transposed), ("bias", None)):
        table[f"{ours}attn.in_proj_{w}"] = (f"{theirs}attn.c_attn.{w}", transform)
        table |= {f"{ours}{o}.{w}": (f"{theirs}{t}.{w}", transform) for t, o in LINEAR.items()}
        table |= {f"{ours}{o}.{w}": f"{theirs}{t}.{w}" for t, o in NORMS.items()}
    return table


def extras(folder, config, model):
    return {"tokenizer": vocabularies.fitting(vocabularies.byte_pairs(folder), model)}
