"""The same ViT under other people's names: timm's, torchvision's, DINOv2's, SigLIP's image tower.

Each function is `build` of published/vit.py for one of them. What a relative has that this network
has not (registers, a second token, gated MLPs) is refused by its name. Sources:
timm/models/vision_transformer.py, torchvision/models/vision_transformer.py, and modeling_dinov2.py
and modeling_siglip.py of transformers.
"""

import math

import numpy as np

from minivit import nn
from minivit.engine import backend
from minivit.engine.errors import CheckpointError
from minivit.models.vit import ViT
from minivit.published import Layout, fields, tables
from minivit.published.preprocess import Preprocess
from minivit.published.tables import conv_patches, rows

HEADS = {  # (layers, width): heads, of the published sizes, where no configuration tells
    (12, 192): 3, (12, 384): 6, (12, 768): 12, (24, 1024): 16, (32, 1280): 16, (40, 1408): 16,
    (48, 1664): 16, (40, 1536): 24,
}  # fmt: skip
IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def refuse(arrays, reasons):
    """Refuse a file with one of these tensors: {the end of a name: what it is}."""
    for end, what in reasons.items():
        if name := next((name for name in arrays if name.endswith(end)), None):
            raise CheckpointError(f"the file has {name}: {what}, which is not built here")


def linears(same):
    """The table of layers with the same names of weight and bias: {ours: theirs}."""
    return {f"{o}.{w}": f"{t}.{w}" for o, t in same.items() for w in ("weight", "bias")}


def square(N, what):
    """The side of a square grid of N places."""
    if N < 1 or math.isqrt(N) ** 2 != N:
        raise CheckpointError(f"{what}: {N} places are not those of a square image")
    return math.isqrt(N)


def heads_of(config, key, layers, width):
    """config[key], or what the published size has."""
    if key not in config and (layers, width) not in HEADS:
        raise CheckpointError(
            f"{layers} layers of width {width} are no published size, and no configuration says "
            f"{key}: how many heads a layer has, no tensor tells"
        )
    return tables.integer(config, key, width, HEADS.get((layers, width)))


# -- timm, and the original DINO and DINOv2 --------------------------------------------------------
TIMM_LAYER = {"ln_1": "norm1", "attn.out_proj": "attn.proj", "ln_2": "norm2",
              "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}  # fmt: skip
TIMM_OTHERS = {
    "reg_token": "register tokens", "register_tokens": "register tokens",
    "dist_token": "a second token in front, of distillation",
    "norm_pre.weight": "the first norm of a CLIP",
    "fc_norm.weight": "a norm after the mean of the tokens", "attn_pool.latent": "timm's MAP head",
    "mlp.w12.weight": "a gated MLP (SwiGLU)", "mlp.fc1_g.weight": "a gated MLP",
    "attn.q_norm.weight": "norms of queries and keys",
    "attn.relative_position_bias_table": "biases of relative positions",
}  # fmt: skip


def is_timm(names):
    return {"pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight"} <= set(names)


def timm(config, arrays):
    """GELU by erf, unless the architecture says quickgelu; eps 1e-6. config: timm's own."""
    refuse(arrays, TIMM_OTHERS)
    if "cls_token" not in arrays or config.get("global_pool", "token") not in ("token", ""):
        raise CheckpointError(
            f"timm: global_pool is {config.get('global_pool')!r} or there is no cls_token; only "
            "the class token's read-out is built here"
        )
    D, C, P, _ = fields.shape(arrays, "patch_embed.proj.weight", 4)
    _, N, _ = fields.shape(arrays, "pos_embed", 3)
    layers = tables.count_layers(arrays, "blocks.")
    hidden, _ = fields.shape(arrays, "blocks.0.mlp.fc1.weight")
    classes = fields.shape(arrays, "head.weight")[0] if "head.weight" in arrays else 0
    scaled = "blocks.0.ls1.gamma" in arrays
    quick = "quickgelu" in str(config.get("architecture", ""))
    arguments = config.get("model_args")
    heads = heads_of(arguments if isinstance(arguments, dict) else {}, "num_heads", layers, D)
    model = ViT(
        timm_image(config, N - 1, P), P, C, classes, D, layers, heads, hidden, eps=1e-6,
        activation="quick_gelu" if quick else "gelu", layer_scale=1e-5 if scaled else 0.0,
    )  # fmt: skip
    table = {
        "projection.weight": ("patch_embed.proj.weight", conv_patches),
        "projection.bias": "patch_embed.proj.bias",
        "class_token": "cls_token", "position": "pos_embed",
        **linears({"norm": "norm"} | ({"head": "head"} if classes else {})),
    }  # fmt: skip
    biased = "blocks.0.attn.qkv.bias" in arrays
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"blocks.{i}."
        table |= linears({ours + o: theirs + t for o, t in TIMM_LAYER.items()})
        qkv = f"{theirs}attn.qkv"
        table[f"{ours}attn.in_proj_weight"] = f"{qkv}.weight"
        table[f"{ours}attn.in_proj_bias"] = (
            f"{qkv}.bias" if biased else (f"{qkv}.weight", no_biases)
        )
        if scaled:
            table |= {f"{ours}scale_{k}": f"{theirs}ls{k}.gamma" for k in (1, 2)}
    name = "timm" if timm_settings(config) else "timm (no pretrained_cfg: its default pictures)"
    seen = photos(model, as_timm(config, model.image))
    return Layout(name, model, table, ("mask_token",), seen)


def photos(model, preprocess):
    return preprocess if model.channels == 3 else None


def timm_image(config, N, P):
    """The side, or (H, W) where the patches are no square and pretrained_cfg says the size."""
    said = timm_settings(config).get("input_size")
    if isinstance(said, list) and len(said) == 3 and all(type(n) is int and n > 0 for n in said):
        if (said[1] // P) * (said[2] // P) == N:
            return said[1], said[2]
    return square(N, "pos_embed") * P


def timm_settings(config):
    """timm's own settings of preprocessing, {} where there are none."""
    said = config.get("pretrained_cfg")
    return said if isinstance(said, dict) else {}


def as_timm(config, image):
    """timm's preprocessing for evaluation: resized so that the crop is crop_pct of it."""
    said = timm_settings(config)
    share, mode = said.get("crop_pct", 0.875), said.get("crop_mode", "center")
    kind = said.get("interpolation", "bicubic")
    number = type(share) in (int, float) and 0.1 <= share <= 1
    if not number or mode not in ("center", "squash") or kind not in ("bicubic", "bilinear"):
        raise CheckpointError(
            f"pretrained_cfg: crop_pct is {share!r}, crop_mode {mode!r}, interpolation {kind!r}; "
            "expected 0.1 to 1, 'center' or 'squash', and 'bicubic' or 'bilinear'"
        )
    large = tuple(math.floor(side / share) for side in image)
    shortest = large[0] if large[0] == large[1] and mode == "center" else None
    seen = Preprocess(image, shortest, kind, True, squashed=None if shortest else large, **IMAGENET)
    return seen.with_settings({  # its numbers are checked there
        "size": {"shortest_edge": shortest} if shortest else dict(zip(("height", "width"), large)),
        "crop_size": dict(zip(("height", "width"), image)), "do_center_crop": True,
        **{f"image_{k}": said[k] for k in ("mean", "std") if k in said},
    }, square=False)  # fmt: skip


# -- torchvision -----------------------------------------------------------------------------------
TORCHVISION_LAYER = {"ln_1": "ln_1", "attn.out_proj": "self_attention.out_proj", "ln_2": "ln_2"}


def is_torchvision(names):
    return {"conv_proj.weight", "encoder.pos_embedding", "class_token"} <= set(names)


def torchvision(config, arrays):
    """GELU by erf, eps 1e-6."""
    D, C, P, _ = fields.shape(arrays, "conv_proj.weight", 4)
    _, N, _ = fields.shape(arrays, "encoder.pos_embedding", 3)
    at = "encoder.layers.encoder_layer_"
    layers = tables.count_layers(arrays, at)
    old = f"{at}0.mlp.linear_1.weight" in arrays
    fc1, fc2 = ("mlp.linear_1", "mlp.linear_2") if old else ("mlp.0", "mlp.3")
    hidden, _ = fields.shape(arrays, f"{at}0.{fc1}.weight")
    headed = "heads.head.weight" in arrays
    classes = fields.shape(arrays, "heads.head.weight")[0] if headed else 0
    heads = heads_of(config, "num_heads", layers, D)
    model = ViT(
        square(N - 1, "encoder.pos_embedding") * P, P, C, classes, D, layers, heads, hidden,
        activation="gelu", eps=1e-6,
    )  # fmt: skip
    same = {"norm": "encoder.ln"} | ({"head": "heads.head"} if headed else {})
    table = {
        "projection.weight": ("conv_proj.weight", conv_patches),
        "projection.bias": "conv_proj.bias",
        "class_token": "class_token", "position": "encoder.pos_embedding",
    }  # fmt: skip
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"{at}{i}."
        same |= {ours + o: theirs + t for o, t in TORCHVISION_LAYER.items()}
        same |= {f"{ours}mlp.fc1": theirs + fc1, f"{ours}mlp.fc2": theirs + fc2}
        for w in ("weight", "bias"):
            table[f"{ours}attn.in_proj_{w}"] = f"{theirs}self_attention.in_proj_{w}"
    name = "torchvision (pictures as for IMAGENET1K_V1)"
    return Layout(
        name, model, table | linears(same), (), photos(model, as_torchvision(model.image))
    )


def as_torchvision(image):
    """As for its IMAGENET1K_V1 weights: the shorter side to 256 for a crop of 224."""
    return Preprocess(image, int(min(image) * 256 / 224), "bilinear", True, **IMAGENET)


# -- DINOv2 ----------------------------------------------------------------------------------------
DINO_LAYER = {"ln_1": "norm1", "attn.out_proj": "attention.output.dense", "ln_2": "norm2",
              "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}  # fmt: skip


def dinov2(config, arrays):
    """Hugging Face's names; what comes out is the class token after the last norm."""
    refuse(arrays, {
        "classifier.weight": "a head on the class token beside the mean of the others",
        "mlp.weights_in.weight": "a gated MLP (SwiGLU)", "register_tokens": "register tokens",
    })  # fmt: skip
    fields.need(config, "the number of heads, the activation and eps")
    at = fields.prefix_of(arrays, "dinov2.")
    patches = f"{at}embeddings.patch_embeddings.projection"
    D, C, P, _ = fields.shape(arrays, f"{patches}.weight", 4)
    _, N, _ = fields.shape(arrays, f"{at}embeddings.position_embeddings", 3)
    found = tables.count_layers(arrays, f"{at}encoder.layer.")
    layers = tables.integer(config, "num_hidden_layers", found, found)
    hidden, _ = fields.shape(arrays, f"{at}encoder.layer.0.mlp.fc1.weight")
    model = ViT(
        square(N - 1, "position_embeddings") * P, P, C, 0, D, layers,
        tables.integer(config, "num_attention_heads", D, 12), hidden,
        activation=fields.activation(config, "hidden_act", "gelu"),
        eps=fields.epsilon(config, "layer_norm_eps", 1e-6), layer_scale=1.0,
    )  # fmt: skip
    table = {
        "projection.weight": (f"{patches}.weight", conv_patches),
        "projection.bias": f"{patches}.bias",
        "class_token": f"{at}embeddings.cls_token",
        "position": f"{at}embeddings.position_embeddings",
    }
    same = {"norm": f"{at}layernorm"}
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"{at}encoder.layer.{i}."
        same |= {ours + o: theirs + t for o, t in DINO_LAYER.items()}
        q, k, v = (f"{theirs}attention.attention.{x}" for x in ("query", "key", "value"))
        weights = f"{q}.weight", f"{k}.weight", f"{v}.weight"
        table[f"{ours}attn.in_proj_weight"] = (weights, rows)
        table[f"{ours}attn.in_proj_bias"] = (
            ((f"{q}.bias", f"{k}.bias", f"{v}.bias"), rows)
            if f"{q}.bias" in arrays
            else (weights, no_biases)
        )
        table |= {f"{ours}scale_{k}": f"{theirs}layer_scale{k}.lambda1" for k in (1, 2)}
    return Layout(
        "Hugging Face (DINOv2)", model, table | linears(same), (f"{at}embeddings.mask_token",)
    )


def shown_at(model, size):
    """Give a model positions for images of `size`, as DINOv2 does for any: bicubic."""
    grid = tuple(n // model.patch for n in size)
    if size == model.image or any(n % model.patch for n in size):
        return
    old, D = model.position.numpy(), model.position.shape[2]
    places = old[:, 1:].reshape(*model.grid, D)
    new = np.einsum("Hh,hwd,Ww->HWd", *(  # one matrix a side
        x for x in (bicubic(model.grid[0], grid[0]), places, bicubic(model.grid[1], grid[1]))
    ), optimize=True)  # fmt: skip
    position = np.concatenate([old[:, :1], new.reshape(1, -1, D).astype(old.dtype)], axis=1)
    with backend.use(model.position.device):
        model.position = nn.Parameter(position)
    model.image, model.grid = size, grid
    model._config["image"] = size


def bicubic(n, N):
    """(N, n): row i holds the weights of n values at (i + 1/2) n/N - 1/2: Keys' kernel with -3/4,
    a border repeated, as torch.nn.functional.interpolate."""
    at = (np.arange(N) + 0.5) * n / N - 0.5
    first, weights = np.floor(at).astype(int) - 1, np.zeros((N, n))
    for tap in range(4):
        x, a = np.abs(at - first - tap), -0.75
        near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((x - 5) * x + 8) * x * a - 4 * a
        np.add.at(
            weights, (np.arange(N), np.clip(first + tap, 0, n - 1)), np.where(x <= 1, near, far)
        )
    return weights


# -- SigLIP's image tower --------------------------------------------------------------------------
SIGLIP_LAYER = {"ln_1": "layer_norm1", "attn.out_proj": "self_attn.out_proj",
                "ln_2": "layer_norm2", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}  # fmt: skip


def siglip(config, arrays):
    """SiglipVisionModel (Zhai et al. 2023): a ViT without class token, read out by a MAP head."""
    fields.need(config, "the number of heads, the activation and eps")
    at = fields.prefix_of(arrays, "vision_model.")
    patches, position = f"{at}embeddings.patch_embedding", f"{at}embeddings.position_embedding"
    D, C, P, _ = fields.shape(arrays, f"{patches}.weight", 4)
    N, _ = fields.shape(arrays, f"{position}.weight")
    found = tables.count_layers(arrays, f"{at}encoder.layers.")
    layers = tables.integer(config, "num_hidden_layers", found, found)
    hidden, _ = fields.shape(arrays, f"{at}encoder.layers.0.mlp.fc1.weight")
    model = ViT(
        square(N, position) * P, P, C, 0, D, layers,
        tables.integer(config, "num_attention_heads", D, 12), hidden, pool="map",
        activation=fields.activation(config, "hidden_act", "gelu_pytorch_tanh"),
        eps=fields.epsilon(config, "layer_norm_eps", 1e-6),
    )  # fmt: skip
    head = f"{at}head."
    same = {
        "norm": f"{at}post_layernorm", "map.norm": f"{head}layernorm",
        "map.mlp.fc1": f"{head}mlp.fc1", "map.mlp.fc2": f"{head}mlp.fc2",
        "map.out_proj": f"{head}attention.out_proj",
    }  # fmt: skip
    table = {
        "projection.weight": (f"{patches}.weight", conv_patches),
        "projection.bias": f"{patches}.bias",
        "position": (f"{position}.weight", first_axis), "map.probe": f"{head}probe",
    }  # fmt: skip
    for i, x in enumerate("qkv"):
        for w in ("weight", "bias"):
            table[f"map.{x}_proj.{w}"] = (f"{head}attention.in_proj_{w}", THIRDS[i])
    for i in range(layers):
        ours, theirs = f"layers.{i}.", f"{at}encoder.layers.{i}."
        same |= {ours + o: theirs + t for o, t in SIGLIP_LAYER.items()}
        for w in ("weight", "bias"):
            parts = tuple(f"{theirs}self_attn.{x}_proj.{w}" for x in "qkv")
            table[f"{ours}attn.in_proj_{w}"] = (parts, rows)
    return Layout("Hugging Face (SigLIP)", model, table | linears(same), ("*position_ids",))


def first_axis(position):
    """(N, D) -> (1, N, D)."""
    return position[None]


def _third(i):
    return lambda stacked: np.split(stacked, 3)[i]


THIRDS = tuple(map(_third, range(3)))  # of in_proj: q, k and v


def no_biases(*matrices):
    """Zeros, for a model without biases in q, k and v (qkv_bias false)."""
    return np.zeros(sum(map(len, matrices)), matrices[0].dtype)
