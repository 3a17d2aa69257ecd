"""Image GPT (Chen et al. 2020): Hugging Face's names.

As GPT-2's, but: the norms have no bias; the start vector is the last row of the token embedding;
the head is a matrix of its own; and the Linear layers have biases that the original lacks. Where
those are all zero, as in the converted checkpoints of OpenAI, the model is built without them.
"""

import math

import numpy as np

from minivit.engine.errors import CheckpointError, ShapeError
from minivit.images.palette import Palette
from minivit.models.image_gpt import SIZES, ImageGPT
from minivit.published import Layout, fields, gpt2, read_json, tables
from minivit.published.preprocess import Preprocess

MODEL_TYPES = ("imagegpt",)
IGNORE = gpt2.MASKS
BIASES = (".c_attn.bias", ".c_proj.bias", ".c_fc.bias")


def recognises(names):
    names = set(names)
    return (
        {"transformer.wte.weight", "lm_head.weight", "transformer.h.0.ln_1.weight"} <= names
        and "transformer.h.0.ln_1.bias" not in names
    )  # fmt: skip


def build(config, arrays):
    fields.demand(
        config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False,
        add_cross_attention=False, tie_word_embeddings=False,
    )  # fmt: skip
    if "wte.weight" in arrays and "lm_head.weight" not in arrays:
        raise CheckpointError(
            "the file is a bare ImageGPTModel: without lm_head it predicts no colours. Save an "
            "ImageGPTForCausalImageModeling"
        )
    p = "transformer."
    (V, D), (pixels, _) = (fields.shape(arrays, f"{p}{n}.weight") for n in ("wte", "wpe"))
    if V < 2:
        raise ShapeError(f"{p}wte.weight: {V} row, expected the colours and the start vector")
    found = tables.count_layers(arrays, f"{p}h.")
    layers = tables.integer(config, "n_layer", found, found)
    _, hidden = fields.shape(arrays, f"{p}h.0.mlp.c_fc.weight")
    biases = {name for name in arrays if name.startswith(f"{p}h.") and name.endswith(BIASES)}
    bias = any(np.any(arrays[name]) for name in biases)
    model = ImageGPT(
        V - 1, pixels, D, layers,
        fields.heads(config, "n_head", D, layers, SIZES.values()),
        hidden=hidden,
        activation=fields.activation(config, "activation_function", "quick_gelu"),
        eps=fields.epsilon(config, "layer_norm_epsilon", 1e-5),
        bias=bias,
    )  # fmt: skip
    table = {
        "wte.weight": (f"{p}wte.weight", colours), "sos": (f"{p}wte.weight", start),
        "wpe.weight": f"{p}wpe.weight", "norm.weight": f"{p}ln_f.weight",
        "head.weight": "lm_head.weight",
    }  # fmt: skip
    for i in range(layers):
        table |= layer(f"layers.{i}.", f"{p}h.{i}.", bias)
    return Layout("Hugging Face", model, table, IGNORE if bias else (*IGNORE, *biases))


def layer(ours, theirs, bias):
    """GPT-2's table of a layer, less the biases that this one has not."""
    norms = {f"{ours}{o}.bias" for o in gpt2.NORMS.values()}
    table = gpt2.layer(ours, theirs)
    return {k: v for k, v in table.items() if k not in norms and (bias or not k.endswith("bias"))}


def colours(table):
    return table[:-1]


def start(table):
    return table[-1]


def extras(folder, config, model):
    if not (folder / "preprocessor_config.json").is_file():
        return {}
    settings = read_json(folder / "preprocessor_config.json")
    try:
        clusters = np.asarray(settings["clusters"], np.float32)
        if clusters.shape != (model.colours, 3) or not np.isfinite(clusters).all():
            raise ValueError(
                f"clusters are {clusters.shape}, the model has {model.colours} colours"
            )
    except (KeyError, ValueError, TypeError) as reason:
        raise CheckpointError(
            f"preprocessor_config.json: no palette, a list of colours (r, g, b) ({reason})"
        ) from reason
    side = math.isqrt(model.pixels)
    preprocess = Preprocess((side, side), None, "bilinear").of_folder(folder, True)
    if side**2 != model.pixels or preprocess.size != (side, side):
        raise CheckpointError(
            f"preprocessor_config.json: pictures of {preprocess.size} pixels for a context of "
            f"{model.pixels}, expected a square of as many"
        )
    return {"preprocess": Pixels(Palette(clusters), side, preprocess)}


class Pixels:
    """Between pictures and the ids of a palette: squares of `side` x `side` pixels."""

    def __init__(self, palette, side, preprocess):
        self.palette, self.side, self.preprocess = palette, side, preprocess

    def __call__(self, picture):
        """A picture (a path, a Pillow image ...), the whole of it -> ids (1, N)."""
        return self.palette.encode(self.preprocess(picture))

    def pictures(self, ids):
        """ids (B, N) -> pixels (B, side, side, 3), uint8."""
        colours = self.palette.decode(ids, self.side, self.side)
        return np.rint(127.5 * (colours + 1)).clip(0, 255).astype(np.uint8)
