"""timm's names of a ViT, which the original DINO, DINOv2, MAE and DeiT have, too.

timm's config.json names an architecture, and says of it only what differs from timm's own code.
So that code was read (timm 1.0.31, models/vision_transformer.py): which heads, activation and
read-out its architectures have. A part that the ViT of this book has not, such as registers, a norm
before the layers or gated MLPs, is refused by the name of its tensor.
"""

import math
import re

import numpy as np

from minivit.engine.errors import CheckpointError
from minivit.models.vit import ViT
from minivit.published import Layout, fields, tables
from minivit.published.preprocess import Preprocess
from minivit.published.tables import conv_patches
from minivit.published.vit_layouts import (
    IMAGENET,
    linears,
    no_biases,
    photos,
    refuse,
    square,
    unplaced_class_token,
)

HEADS = {  # (layers, width): heads, which no tensor tells
    (6, 64): 2, (12, 192): 3, (12, 384): 6, (36, 384): 6, (12, 512): 8, (12, 640): 10,
    (12, 768): 12, (12, 896): 14, (24, 1024): 16, (27, 1152): 16, (32, 1280): 16, (40, 1408): 16,
    (40, 1536): 16, (48, 1664): 16,
}  # fmt: skip
ODD_HEADS = {"vit_base_patch16_gap_224": 16}
GELU_TANH = re.compile(  # the architectures whose GELU is that by tanh
    r"vit_(base_patch32|giantopt_patch16|so400m_patch16)_siglip|vit_large_patch16_siglip(_gap)?_512"
)
OTHER_FAMILIES = re.compile(  # whose positions, or whose eps, no tensor tells
    r"(eva|beit|naflex|samvit|swin|aimv2|cait|levit|xcit|pit|tnt)|.*(rope|relpos|_pe_|dinov3|_clip_)"
)
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_tanh", "quick_gelu": "quick_gelu",
               "relu": "relu", "silu": "silu", "swish": "silu"}  # fmt: skip
LAYER = {"ln_1": "norm1", "attn.out_proj": "attn.proj", "ln_2": "norm2", "mlp.fc1": "mlp.fc1",
         "mlp.fc2": "mlp.fc2"}  # fmt: skip
OTHERS = {  # the end of a name: what it is
    "reg_token": "register tokens", "register_tokens": "register tokens",
    "dist_token": "a second token in front, of distillation",
    "norm_pre.weight": "a norm before the layers, as in a CLIP",
    "mlp.w12.weight": "a gated MLP (SwiGLU)", "mlp.fc1_g.weight": "a gated MLP (SwiGLU)",
    "attn.q_norm.weight": "norms of queries and keys", "mlp.norm.weight": "a norm in the MLP",
    "attn.norm.weight": "a norm in the attention",
    "rope.freqs": "positions that are rotations of queries and keys",
    "attn.relative_position_bias_table": "biases of relative positions",
    "attn.rel_pos_h": "biases of relative positions",
    "rel_pos.mlp.fc1.weight": "biases of relative positions",
    "attn.q_bias": "the layers of BEiT and EVA", "blocks.0.gamma_1": "the layers of BEiT and EVA",
    "blocks.0.in_proj.weight": "attention and MLP side by side",
    "blocks.0.attn_out_proj.weight": "attention and MLP side by side",
    "blocks.0.attns.0.norm.weight": "layers side by side",
    "patch_embed.backbone.conv.weight": "a convolutional network before the patches",
    "patch_embed.backbone.stem.conv.weight": "a convolutional network before the patches",
    "patch_embed.backbone.conv1.0.weight": "a convolutional network before the patches",
    "fc_norm.weight": "a norm after the mean of the tokens",
    "decoder_embed.weight": "the decoder of MAE, whose encoder alone is read",
}  # fmt: skip


def recognises(names):
    """Layers of these names; which of them are built here, `build` says."""
    patches = {"patch_embed.proj.weight", "embeds.proj.weight"} & set(names)
    return bool(patches) and any(name.startswith("blocks.0.") for name in names)


def build(config, arrays):
    """GELU by erf unless the architecture has another; eps 1e-6. config: timm's, or {}."""
    name = config.get("architecture")
    name = name if isinstance(name, str) else ""
    refuse(arrays, OTHERS)
    said = config.get("model_args")
    said = said if isinstance(said, dict) else {}
    if OTHER_FAMILIES.match(name):
        raise CheckpointError(f"timm: {name} has other layers than a ViT, which are not built here")
    for part, what in (("pos_embed", "positions"), ("norm.weight", "norm after the last layer")):
        if part not in arrays:
            raise CheckpointError(f"timm: the file has no {part}: no {what}, as a ViT here has")
    D, C, P, _ = fields.shape(arrays, "patch_embed.proj.weight", 4)
    _, places, _ = fields.shape(arrays, "pos_embed", 3)
    layers = tables.count_layers(arrays, "blocks.")
    hidden, _ = fields.shape(arrays, "blocks.0.mlp.fc1.weight")
    if fields.shape(arrays, "blocks.0.mlp.fc2.weight")[1] * 2 == hidden:
        raise CheckpointError("timm: mlp.fc1 is twice as wide as mlp.fc2 reads: a gated MLP")
    pool, front = read_out(config, arrays), "cls_token" in arrays
    classes = fields.shape(arrays, "head.weight")[0] if "head.weight" in arrays else 0
    scaled, biased = "blocks.0.ls1.gamma" in arrays, "blocks.0.attn.qkv.bias" in arrays
    image, unplaced = image_of(config, places, P, front)
    model = ViT(
        image, P, C, classes, D, layers, heads(name, said, layers, D), hidden, eps=1e-6, pool=pool,
        activation=activation(name, said), layer_scale=1e-5 if scaled else 0.0,
    )  # fmt: skip
    table = {
        "projection.weight": ("patch_embed.proj.weight", conv_patches),
        "projection.bias": "patch_embed.proj.bias",
        "position": ("pos_embed", unplaced_class_token) if unplaced else "pos_embed",
        **({"class_token": "cls_token"} if front else {}),
        **linears({"norm": "norm"} | ({"head": "head"} if classes else {})),
        **(map_head() if pool == "map" else {}),
    }
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"blocks.{i}."
        table |= linears({ours + o: theirs + t for o, t in LAYER.items()})
        qkv = f"{theirs}attn.qkv"
        table[f"{ours}attn.in_proj_weight"] = f"{qkv}.weight"
        table[f"{ours}attn.in_proj_bias"] = (
            f"{qkv}.bias" if biased else (f"{qkv}.weight", no_biases)
        )
        if scaled:
            table |= {f"{ours}scale_{k}": f"{theirs}ls{k}.gamma" for k in (1, 2)}
    layout = "timm" if settings(config) else "timm (no pretrained_cfg: its default pictures)"
    seen = photos(model, as_timm(config, model.image))
    return Layout(layout, model, table, ("mask_token",), seen)


# -- what the tensors do not tell ------------------------------------------------------------------
def heads(name, said, layers, width):
    """model_args, or what the published size has."""
    known = ODD_HEADS.get(name, HEADS.get((layers, width)))
    if "num_heads" not in said and known is None:
        raise CheckpointError(
            f"{layers} layers of width {width} are no published size, and no configuration says "
            "num_heads: how many heads a layer has, no tensor tells"
        )
    return tables.integer(said, "num_heads", width, known)


def activation(name, said):
    kind = said.get("act_layer") or ("gelu_tanh" if GELU_TANH.match(name) else "gelu")
    if not isinstance(kind, str) or kind not in ACTIVATIONS:
        raise CheckpointError(f"timm: act_layer is {kind!r}, expected one of {list(ACTIVATIONS)}")
    return ACTIVATIONS[kind]


def read_out(config, arrays):
    """ViT's pool: what global_pool says, where the tensors are as timm then has them."""
    front, pooled = "cls_token" in arrays, "attn_pool.latent" in arrays
    usual = "map" if pooled else "token"
    kind = config.get("global_pool", usual)
    built = {("token", True, False): "class", ("avg", False, False): "mean",
             ("map", False, True): "map"}  # fmt: skip
    if not isinstance(kind, str) or (kind, front, pooled) not in built:
        has = " and ".join(
            what for what, there in (("a class token", front), ("an attn_pool", pooled)) if there
        )
        raise CheckpointError(
            f"timm: global_pool is {kind!r} of a file with {has or 'no class token'}; built here "
            "are 'token', and, without a class token, 'avg' and 'map'"
        )
    return built[kind, front, pooled]


def image_of(config, places, P, front):
    """(the side, or (H, W) where pretrained_cfg says that the patches are no square; whether the
    class token has no place: no_embed_class)."""
    said, counts = settings(config).get("input_size"), [places - 1, places] if front else [places]
    if isinstance(said, list) and len(said) == 3 and all(type(n) is int and n > 0 for n in said):
        N = (said[1] // P) * (said[2] // P)
        if N in counts:
            return (said[1], said[2]), front and N == places
    for N in counts:
        if N and math.isqrt(N) ** 2 == N:
            return math.isqrt(N) * P, front and N == places
    return square(counts[0], "pos_embed"), False  # which it is not: its error


def map_head():
    """timm's AttentionPoolLatent; keys and values are one matrix."""
    table = linears({
        "map.norm": "attn_pool.norm", "map.out_proj": "attn_pool.proj",
        "map.q_proj": "attn_pool.q", "map.mlp.fc1": "attn_pool.mlp.fc1",
        "map.mlp.fc2": "attn_pool.mlp.fc2",
    })  # fmt: skip
    for w in ("weight", "bias"):
        table[f"map.k_proj.{w}"] = (f"attn_pool.kv.{w}", first_half)
        table[f"map.v_proj.{w}"] = (f"attn_pool.kv.{w}", second_half)
    return table | {"map.probe": "attn_pool.latent"}


def first_half(stacked):
    return np.split(stacked, 2)[0]


def second_half(stacked):
    return np.split(stacked, 2)[1]


# -- pictures --------------------------------------------------------------------------------------
def settings(config):
    """timm's own settings of preprocessing, {} where there are none."""
    said = config.get("pretrained_cfg")
    return said if isinstance(said, dict) else {}


def labels(config, classes):
    """The names of the classes, or None."""
    names = config.get("label_names", settings(config).get("label_names"))
    named = isinstance(names, list) and len(names) == classes and classes
    return [str(name) for name in names] if named else None


def as_timm(config, image):
    """timm's preprocessing for evaluation: resized so that the crop is crop_pct of it."""
    said = settings(config)
    share, mode = said.get("crop_pct", 0.875), said.get("crop_mode", "center")
    kind = said.get("interpolation", "bicubic")
    number = type(share) in (int, float) and 0.1 <= share <= 1
    if not number or mode not in ("center", "squash") or kind not in ("bicubic", "bilinear"):
        raise CheckpointError(
            f"pretrained_cfg: crop_pct is {share!r}, crop_mode {mode!r}, interpolation {kind!r}; "
            "expected 0.1 to 1, 'center' or 'squash', and 'bicubic' or 'bilinear'"
        )
    large = tuple(math.floor(side / share) for side in image)
    if mode == "center" and large[0] != large[1]:
        raise CheckpointError(
            f"pretrained_cfg: crop_mode 'center' of {image[0]} x {image[1]} pixels, no square, "
            "which is not built here; 'squash' is"
        )
    shortest = large[0] if mode == "center" else None
    seen = Preprocess(image, shortest, kind, True, squashed=None if shortest else large, **IMAGENET)
    return seen.with_settings({  # its numbers are checked there
        "size": {"shortest_edge": shortest} if shortest else dict(zip(("height", "width"), large)),
        "crop_size": dict(zip(("height", "width"), image)), "do_center_crop": True,
        **{f"image_{k}": said[k] for k in ("mean", "std") if k in said},
    }, square=False)  # fmt: skip
