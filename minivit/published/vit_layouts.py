"""The same ViT under other people's names: torchvision's, DINOv2's, SigLIP's image tower.

Each function is `build` of published/vit.py for one of them. A part that this network has not
(registers, a second token, gated MLPs) is refused by its name. Sources:
torchvision/models/vision_transformer.py (0.29), and modeling_dinov2.py and modeling_siglip.py of
transformers.
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

IMAGENET = dict(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def refuse(arrays, reasons):
    """Refuse a file with one of these tensors: {the end of a name: what it is}."""
    for end, what in reasons.items():
        if name := next((name for name in arrays if name.endswith(end)), None):
            raise CheckpointError(f"the file has {name}: {what}. That is not built here")


def linears(same):
    """The table of layers with the same names of weight and bias: {ours: theirs}."""
    return {f"{o}.{w}": f"{t}.{w}" for o, t in same.items() for w in ("weight", "bias")}


def square(N, what):
    """The side of a square grid of N places."""
    if N < 1 or math.isqrt(N) ** 2 != N:
        raise CheckpointError(f"{what}: {N} places are not those of a square image")
    return math.isqrt(N)


def photos(model, preprocess):
    """Only pictures of three colours are photographs."""
    return preprocess if model.channels == 3 else None


def unplaced_class_token(position):
    """(1, N, D) -> (1, 1 + N, D): zeros in the place of the class token."""
    return np.pad(position, ((0, 0), (1, 0), (0, 0)))


# -- torchvision -----------------------------------------------------------------------------------
TORCHVISION_LAYER = {"ln_1": "ln_1", "attn.out_proj": "self_attention.out_proj", "ln_2": "ln_2"}


HEADS = {(12, 768): 12, (24, 1024): 16, (32, 1280): 16}  # (layers, width), of B, L and H


def is_torchvision(names):
    return {"encoder.pos_embedding", "class_token"} <= set(names)


def torchvision(config, arrays):
    """GELU by erf, eps 1e-6; between the class token and the head maybe a Linear and tanh."""
    refuse(arrays, {"conv_proj.conv_last.weight": "convolutions before the patches"})
    D, C, P, _ = fields.shape(arrays, "conv_proj.weight", 4)
    _, N, _ = fields.shape(arrays, "encoder.pos_embedding", 3)
    at = "encoder.layers.encoder_layer_"
    layers = tables.count_layers(arrays, at)
    old = f"{at}0.mlp.linear_1.weight" in arrays
    fc1, fc2 = ("mlp.linear_1", "mlp.linear_2") if old else ("mlp.0", "mlp.3")
    hidden, _ = fields.shape(arrays, f"{at}0.{fc1}.weight")
    head, before = "heads.head", "heads.pre_logits"
    classes = fields.shape(arrays, f"{head}.weight")[0] if f"{head}.weight" in arrays else 0
    between = fields.shape(arrays, f"{before}.weight")[0] if f"{before}.weight" in arrays else 0
    if "num_heads" not in config and (layers, D) not in HEADS:
        raise CheckpointError(
            f"torchvision: {layers} layers of width {D} are none of its sizes: how many heads a "
            'layer has, no tensor tells. A config.json beside the file may: {"num_heads": 12}'
        )
    heads = tables.integer(config, "num_heads", D, HEADS.get((layers, D)))
    model = ViT(
        square(N - 1, "encoder.pos_embedding") * P, P, C, classes, D, layers, heads, hidden,
        activation="gelu", eps=1e-6, pre_logits=between,
    )  # fmt: skip
    same = {"norm": "encoder.ln"} | ({"head": head} if classes else {})
    same |= {"pre_logits": before} if between else {}
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
    weights = "IMAGENET1K_V1" if model.image == (224, 224) else "SWAG_E2E_V1"
    name = f"torchvision (pictures as for {weights})"
    seen = photos(model, as_torchvision(model.image, P, layers))
    return Layout(name, model, table | linears(same), (), seen)


def as_torchvision(image, P, layers):
    """The transforms of its weights: IMAGENET1K_V1 has crops of 224, out of a shorter side of 256
    (242 for L/16), bilinear; SWAG_E2E_V1 has larger ones, of a side as large, bicubic. (224 pixels
    may be SWAG_LINEAR_V1, too, which no tensor tells: side 224, bicubic.)"""
    if image != (224, 224):
        return Preprocess(image, min(image), "bicubic", True, **IMAGENET)
    return Preprocess(image, 242 if (layers, P) == (24, 16) else 256, "bilinear", True, **IMAGENET)


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
    fields.demand(config, vision_use_head=True)
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
