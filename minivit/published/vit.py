"""ViT: google-research's .npz files, of two generations of names, and Hugging Face's. (Its
relatives under other names stand in vit_layouts.py and timm.py.)

The same network with other constants: the paper's code has GELU by tanh and LayerNorm eps 1e-6;
Hugging Face's port has what config.json says, and if that says nothing GELU by erf and eps 1e-12.
Sources: vit_jax/models_vit.py of google-research/vision_transformer, models/vit.py of
google-research/big_vision, modeling_vit.py of transformers.
"""

import math

from minivit.engine.errors import CheckpointError
from minivit.models.vit import ViT
from minivit.published import Layout, fields, tables, timm, vit_layouts
from minivit.published.preprocess import Preprocess
from minivit.published.tables import rows, transposed
from minivit.published.vit_layouts import no_biases, photos, unplaced_class_token

OTHERS = {"dinov2": vit_layouts.dinov2, "siglip_vision_model": vit_layouts.siglip}
MODEL_TYPES = ("vit", "deit", "vit_msn", "timm_wrapper", *OTHERS)


def recognises(names):
    return (
        google_prefix(names) is not None
        or timm.recognises(names)
        or vit_layouts.is_torchvision(names)
        or {"embeddings.cls_token", "vit.embeddings.cls_token"} & set(names)
    )


def build(config, arrays):
    if (at := google_prefix(arrays)) is not None:
        return google(at, arrays)
    if timm.recognises(arrays):
        return timm.build(config, arrays)
    if vit_layouts.is_torchvision(arrays):
        return vit_layouts.torchvision(config, arrays)
    return OTHERS.get(config.get("model_type"), hugging_face)(config, arrays)


def extras(folder, config, model):
    """An .npz file comes without configuration: vit_jax squashes images, bilinear and without
    anti-aliasing, and its classes have no names. Photographs have three colours."""
    kind = config.get("model_type")
    if "architecture" in config:  # of timm, the layout says what pictures it has
        classes = 0 if model.head is None else len(model.head.bias)
        return {"labels": timm.labels(config, classes)}
    if not config:
        return {"preprocess": photos(model, Preprocess(model.image, resample="two by two"))}
    if kind == "siglip_vision_model":
        squashed = Preprocess(model.image, resample="bicubic")
        return {"preprocess": photos(model, squashed.of_folder(folder, square=True))}
    if kind == "dinov2":
        side = int(min(model.image) * 256 / 224)
        seen = Preprocess(model.image, side, "bicubic", **vit_layouts.IMAGENET)
        seen = seen.of_folder(folder, square=False)
        vit_layouts.shown_at(model, seen.size)  # which mostly is smaller than in training
        return {"preprocess": photos(model, seen)}
    labels, names = config.get("id2label"), None
    if model.head is not None and isinstance(labels, dict):
        names = [str(labels.get(str(i), i)) for i in range(model.head.weight.shape[0])]
    squashed = Preprocess(model.image, resample="bilinear")  # ViTImageProcessor's own
    return {"preprocess": photos(model, squashed.of_folder(folder, square=True)), "labels": names}


# -- google-research -------------------------------------------------------------------------------
# what may stand before the names of the parameters: what else a checkpoint of training then holds
OPTIMIZER = {"": (), "params/": ("opt/*", "extra/*", "step"), "opt/target/": ("opt/state/*",)}


def google_prefix(names):
    """The prefix of each name in a file of google-research (big_vision's have the optimizer in
    them); None if it is not such a file."""
    return next((at for at in OPTIMIZER if at + "embedding/kernel" in names), None)


def google(at, arrays):
    """All follows from the shapes: heads have an axis of their own, and images are square."""
    names = {name.removeprefix(at) for name in arrays if name.startswith(at)}

    def shape(name, dims):
        return fields.shape(arrays, at + name, dims)

    P, _, C, D = shape("embedding/kernel", 4)
    block = "Transformer/encoderblock_0"
    if stacked := "Transformer/encoderblock/LayerNorm_0/scale" in names:
        block = "Transformer/encoderblock"  # all layers, on a first axis
    parts = FLAX_OLD if f"{block}/MlpBlock_3/Dense_0/kernel" in names else FLAX
    dotted = [name.replace("/", ".") for name in names]
    layers = tables.count_layers(dotted, "Transformer.encoderblock_")
    layers = shape(f"{block}/LayerNorm_0/scale", 2)[0] if stacked else layers
    heads = shape(f"{block}/{parts[1]}/query/kernel", 3 + stacked)[-2]
    hidden = shape(f"{block}/{parts[3]}/Dense_0/kernel", 2 + stacked)[-1]
    probe = next((name for name in ("MAPHead_0/probe", "probe") if name in names), None)
    pool = "class" if "cls" in names else "mean" if probe is None else "map"
    position = next((name for name in POSITIONS if name in names), None)
    if position is None and pool == "mean":  # as big_vision's baselines: fixed positions
        side, assumed = max(1, 224 // P), " (no positions: sincos2d, images of 224)"
    elif position is None:
        raise CheckpointError(f"the file has no positions: none of {', '.join(POSITIONS)}")
    else:
        places, assumed = shape(position, 3)[1], ""
        side = square_side(at + position, places, pool == "class")
    widths = {
        name: shape(f"{name}/kernel", 2)[1] if f"{name}/kernel" in names else 0
        for name in ("head", "pre_logits")
    }
    model = ViT(
        side * P, P, C, widths["head"], D, layers, heads, hidden, pool=pool,
        positions="sincos" if position is None else "learned", pre_logits=widths["pre_logits"],
    )  # fmt: skip
    table = {
        "projection.weight": ("embedding/kernel", flat_patches),
        "projection.bias": "embedding/bias",
        **flax_norm("norm", "Transformer/encoder_norm"),
    }
    table |= {"class_token": "cls"} if pool == "class" else {}
    if position is None:
        table["position"] = ((), model.position.numpy)
    elif pool == "class" and places == side * side:  # added before the class token joins
        table["position"] = (position, unplaced_class_token)
    else:
        table["position"] = position
    for i in range(layers):
        if stacked:
            layer = flax_layer(f"layers.{i}.", block, parts)
            table |= {ours: layer_of(entry, i) for ours, entry in layer.items()}
        else:
            table |= flax_layer(f"layers.{i}.", f"Transformer/encoderblock_{i}", parts)
    table |= flax_pool("map.", probe.removesuffix("probe")) if pool == "map" else {}
    for name in filter(widths.get, widths):
        table |= flax_linear(name, name)
    table = {ours: prefixed(at, entry) for ours, entry in table.items()}
    return Layout(f"google-research{assumed}", model, table, OPTIMIZER[at])


def square_side(name, places, class_token):
    """The side of the grid that has so many places, perhaps with one for the class token."""
    for N in (places - 1, places)[not class_token :]:
        if N and math.isqrt(N) ** 2 == N:
            return math.isqrt(N)
    raise CheckpointError(f"{name}: {places} positions are not those of a square image")


# first LayerNorm, attention, second LayerNorm, MLP: as first published, and of today's flax
FLAX_OLD = ("LayerNorm_0", "MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3")
FLAX = ("LayerNorm_0", "MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")
# where the positions were, from the paper's code to today's big_vision
POSITIONS = ("Transformer/posembed_input/pos_embedding", "Transformer/pos_embedding",
             "pos_embedding")  # fmt: skip


def flax_layer(ours, theirs, parts):
    ln_1, attn, ln_2, mlp = (f"{theirs}/{part}" for part in parts)
    qkv = [f"{attn}/{x}" for x in ("query", "key", "value")]
    return {
        f"{ours}attn.in_proj_weight": (tuple(f"{x}/kernel" for x in qkv), into_heads),
        f"{ours}attn.in_proj_bias": (tuple(f"{x}/bias" for x in qkv), of_heads),
        f"{ours}attn.out_proj.weight": (f"{attn}/out/kernel", from_heads),
        f"{ours}attn.out_proj.bias": f"{attn}/out/bias",
        **flax_norm(f"{ours}ln_1", ln_1),
        **flax_norm(f"{ours}ln_2", ln_2),
        **flax_linear(f"{ours}mlp.fc1", f"{mlp}/Dense_0"),
        **flax_linear(f"{ours}mlp.fc2", f"{mlp}/Dense_1"),
    }


def flax_pool(ours, theirs):
    """The attention pool: a layer without its first LayerNorm, of which q, k, v stay apart. While
    ViT-G was developed its parts had no name before theirs."""
    ln, attn, _, mlp = (theirs + part for part in FLAX)
    table = {
        f"{ours}probe": f"{theirs}probe",
        f"{ours}out_proj.weight": (f"{attn}/out/kernel", from_heads),
        f"{ours}out_proj.bias": f"{attn}/out/bias",
        **flax_norm(f"{ours}norm", ln),
        **flax_linear(f"{ours}mlp.fc1", f"{mlp}/Dense_0"),
        **flax_linear(f"{ours}mlp.fc2", f"{mlp}/Dense_1"),
    }
    for x, part in (("q", "query"), ("k", "key"), ("v", "value")):
        table[f"{ours}{x}_proj.weight"] = (f"{attn}/{part}/kernel", into_heads)
        table[f"{ours}{x}_proj.bias"] = (f"{attn}/{part}/bias", of_heads)
    return table


def flax_norm(ours, theirs):
    return {f"{ours}.weight": f"{theirs}/scale", f"{ours}.bias": f"{theirs}/bias"}


def flax_linear(ours, theirs):
    return {f"{ours}.weight": (f"{theirs}/kernel", transposed), f"{ours}.bias": f"{theirs}/bias"}


def flat_patches(kernel):
    """(P, P, C, D) -> (D, P P C), a view."""
    P, Q, C, D = kernel.shape
    return kernel.reshape(P * Q * C, D).T


def from_heads(kernel):
    """The output projection: (H, D/H, D) -> (D, D), a view."""
    H, d, D = kernel.shape
    return kernel.reshape(H * d, D).T


def into_heads(*kernels):
    """Queries, keys and values: each (D, H, D/H) -> (D, D), one below the other."""
    return rows(*(kernel.reshape(D, H * d).T for kernel in kernels for D, H, d in [kernel.shape]))


def of_heads(*biases):
    """Each (H, D/H) -> (D,), one after the other."""
    return rows(*(bias.reshape(H * d) for bias in biases for H, d in [bias.shape]))


def layer_of(entry, i):
    """The entry of layer i, where all layers of a file are one array."""
    names, transform = (entry, lambda array: array) if isinstance(entry, str) else entry
    return names, lambda *stacks: transform(*(stack[i] for stack in stacks))


def prefixed(at, entry):
    """An entry of a table, `at` put before their names."""
    names, transform = (entry, None) if isinstance(entry, str) else entry
    names = (names,) if isinstance(names, str) else names
    return tuple(at + name for name in names), transform


# -- Hugging Face ----------------------------------------------------------------------------------
# theirs -> ours within a layer, beside the attention's q, k and v
HF_LAYER = {
    "layernorm_before": "ln_1", "attention.output.dense": "attn.out_proj",
    "layernorm_after": "ln_2", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2",
}  # fmt: skip


def hugging_face(config, arrays):
    """A head (`classifier`), or the pooler in its place: it is what the paper calls pre_logits."""
    fields.need(config, "the number of heads, the activation and eps")
    vit_layouts.refuse(arrays, {"distillation_token": "a second token in front, of distillation"})
    at = fields.prefix_of(arrays, "vit.")
    patches, pooler = f"{at}embeddings.patch_embeddings.projection", f"{at}pooler.dense"
    D, C, P, _ = fields.shape(arrays, f"{patches}.weight", 4)
    _, N, _ = fields.shape(arrays, f"{at}embeddings.position_embeddings", 3)
    deep = fields.prefix_of(arrays, f"{at}encoder.layer.").removesuffix("encoder.layer.")
    found = tables.count_layers(arrays, f"{deep}encoder.layer.")
    layers = tables.integer(config, "num_hidden_layers", found, found)
    hidden, _ = fields.shape(arrays, f"{deep}encoder.layer.0.intermediate.dense.weight")
    headed = "classifier.weight" in arrays
    pooled = not headed and f"{pooler}.weight" in arrays
    classes = fields.shape(arrays, "classifier.weight")[0] if headed else 0
    pre_logits = fields.shape(arrays, f"{pooler}.weight")[0] if pooled else 0
    if pooled:
        fields.demand(config, pooler_act="tanh")
    biased = f"{deep}encoder.layer.0.attention.attention.query.bias" in arrays
    model = ViT(
        image_side(config, math.isqrt(N - 1) * P), P, C, classes, D, layers,
        tables.integer(config, "num_attention_heads", D, 12), hidden,
        activation=fields.activation(config, "hidden_act", "gelu"),
        eps=fields.epsilon(config, "layer_norm_eps", 1e-12),
        pre_logits=pre_logits,
    )  # fmt: skip
    table = hf_table(at, layers, headed, pooled, biased, deep)
    unused = (f"{at}embeddings.mask_token", *([f"{at}pooler.*"] if headed else []))
    return Layout("Hugging Face", model, table, unused)


def hf_table(at, layers, headed, pooled, biased=True, deep=None):
    """at: what stands before the names of all but the head; deep: before those of the layers, which
    in files of a ViTMSN by transformers 5 differs."""
    table = {
        "projection.weight": (
            f"{at}embeddings.patch_embeddings.projection.weight",
            tables.conv_patches,
        ),
        "projection.bias": f"{at}embeddings.patch_embeddings.projection.bias",
        "class_token": f"{at}embeddings.cls_token",
        "position": f"{at}embeddings.position_embeddings",
    }
    same = {f"{at}layernorm": "norm"}
    same |= (
        {"classifier": "head"} if headed else {f"{at}pooler.dense": "pre_logits"} if pooled else {}
    )
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"{at if deep is None else deep}encoder.layer.{i}."
        same |= {theirs + t: ours + o for t, o in HF_LAYER.items()}
        q, k, v = (f"{theirs}attention.attention.{x}" for x in ("query", "key", "value"))
        weights = f"{q}.weight", f"{k}.weight", f"{v}.weight"
        table[f"{ours}attn.in_proj_weight"] = (weights, rows)
        table[f"{ours}attn.in_proj_bias"] = (
            ((f"{q}.bias", f"{k}.bias", f"{v}.bias"), rows) if biased else (weights, no_biases)
        )
    table |= {f"{o}.{w}": f"{t}.{w}" for t, o in same.items() for w in ("weight", "bias")}
    return table


def image_side(config, default):
    """config["image_size"]: pixels of a side, or (height, width)."""
    value = config.get("image_size", default)
    if isinstance(value, list) and len(value) == 2:
        return tuple(tables.integer({"image_size": v}, "image_size", 1 << 16) for v in value)
    return tables.integer(config, "image_size", 1 << 16, default)
