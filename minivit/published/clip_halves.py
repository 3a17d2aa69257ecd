"""Half of a CLIP: its image encoder or its text encoder alone, as Hugging Face saves them, with the
projection into the common space or without.

    half = minivit.load("a-clip-vision-model"); half.model(half.preprocess("cat.jpg"))  # (1, D)
"""

from minivit import nn
from minivit.models.clip import TextTransformer, VisionTransformer
from minivit.published import Layout, clip, fields, preprocess

MODEL_TYPES = ("clip_vision_model", "clip_text_model")
POSITIONS = "embeddings.position_embedding.weight"


class Tower(nn.Module):
    """An encoder, and a matrix after it: images or texts -> (B, D), or (B, E) with `projection`.

    Vectors are as they come out; those of a CLIP are of length 1."""

    def __init__(self, encoder, projection=0):
        self.encoder = nn.build(encoder)
        self.projection = nn.Linear(self.encoder.width, projection, False) if projection else None

    def forward(self, inputs):
        x = self.encoder(inputs)
        return x if self.projection is None else self.projection(x)


def recognises(names):
    return False  # how many heads there are, config.json alone tells


def build(config, arrays):
    vision = config["model_type"] == MODEL_TYPES[0]
    part, projection = ("vision", "visual") if vision else ("text", "text")
    at = fields.prefix_of(arrays, f"{part}_model.")
    N, D = fields.shape(arrays, at + POSITIONS)
    layers, heads, hidden, how = clip.hf_depth(config, arrays, at, D, 12 if vision else 8)
    if vision:
        D, C, P, _ = fields.shape(arrays, f"{at}embeddings.patch_embedding.weight", 4)
        side = clip.grid_side(at + POSITIONS, N - 1) * P
        encoder = VisionTransformer(side, P, D, layers, heads, C, hidden, **how)
    else:
        V, _ = fields.shape(arrays, f"{at}embeddings.token_embedding.weight")
        clip.check_end(config, V)
        encoder = TextTransformer(V, N, D, layers, heads, hidden, **how)
    name = f"{projection}_projection.weight"
    E = fields.shape(arrays, name)[0] if name in arrays else 0
    ours = "image_encoder." if vision else "text_encoder."
    table = {
        f"encoder.{key.removeprefix(ours)}": _without(f"{part}_model.", at, entry)
        for key, entry in clip.hf_table(layers, layers).items()
        if key.startswith(ours)
    }
    table |= {"projection.weight": name} if E else {}
    return Layout(f"Hugging Face ({part} half)", Tower(encoder, E), table, clip.UNUSED)


def _without(prefix, at, entry):
    """An entry of the whole CLIP's table; in a half, `at` stands in the place of `prefix`."""
    if isinstance(entry, str):
        return at + entry.removeprefix(prefix)
    names, transform = entry
    names = (names,) if isinstance(names, str) else names
    return tuple(at + name.removeprefix(prefix) for name in names), transform


def extras(folder, config, model):
    encoder = model.encoder
    if isinstance(encoder, TextTransformer):
        return {"tokenizer": clip.tokenizer(folder, encoder)}
    if encoder.channels != 3:
        return {}
    seen = preprocess.as_clip_processor(encoder.image)
    return {"preprocess": seen.of_folder(folder, square=False)}
