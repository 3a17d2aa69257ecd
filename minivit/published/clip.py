"""CLIP: OpenAI's names, ViT and ResNet (OpenCLIP has the same), and Hugging Face's.

No tensor tells the rest; a configuration does: OpenCLIP's open_clip_config.json (its models have
GELU unless it says quick_gelu) or Hugging Face's config.json. Without one, OpenAI's own files are
known by what their archive holds, and have QuickGELU and a head for every 64 of the width; others
of these names may be anybody's, and are refused. Sources: clip/model.py of
openai/CLIP, src/open_clip/model.py of mlfoundations/open_clip, modeling_clip.py of transformers.
"""

import math

from minivit.engine.errors import CheckpointError
from minivit.models.clip import CLIP, TextTransformer, VisionTransformer
from minivit.models.resnet import ModifiedResNet
from minivit.published import Layout, fields, preprocess, read_json, tables
from minivit.published.tables import conv_patches, rows, transposed
from minivit.text import CLIPTokenizer
from minivit.text.clip import EOS, SOS

MODEL_TYPES = ("clip",)
HUGGING_FACE = "text_model.embeddings.token_embedding.weight"
UNUSED = ("input_resolution", "context_length", "vocab_size", "attn_mask", "*.attn_mask",
          "*position_ids", "*.num_batches_tracked")  # fmt: skip


def recognises(names):
    return "logit_scale" in names and (HUGGING_FACE in names or "visual.conv1.weight" in names)


def build(config, arrays):
    if HUGGING_FACE in arrays:
        return hugging_face(config, arrays)
    if not any(name.startswith("visual.") for name in arrays):
        half = "text" if any(name.startswith("vision_model.") for name in arrays) else "image"
        raise CheckpointError(
            f"the file has no {half} encoder, which a CLIP has (a half of one has the model_type "
            "clip_vision_model or clip_text_model)"
        )
    return openai(config, arrays)


def extras(folder, config, model):
    return {
        "tokenizer": tokenizer(folder, model.text_encoder),
        "preprocess": image_preprocess(model.image_encoder, folder, config),
    }


def image_preprocess(encoder, folder, config):
    """The image encoder's preprocessing; None if its input is not photographs of three colours."""
    if encoder.channels != 3:
        return None
    side = encoder.image
    if "model_cfg" in config:
        return preprocess.as_open_clip(side, section(config, "preprocess_cfg"))
    if config.get("model_type") in MODEL_TYPES:
        return preprocess.as_clip_processor(side).of_folder(folder, square=False)
    return preprocess.as_openai(side)


# -- OpenAI's names --------------------------------------------------------------------------------
BLOCK = {"ln_1": "ln_1", "ln_2": "ln_2", "attn.out_proj": "attn.out_proj", "mlp.c_fc": "mlp.fc1",
         "mlp.c_proj": "mlp.fc2"}  # theirs: ours  # fmt: skip


def openai(config, arrays):
    """Widths, depths and sizes follow from the shapes."""
    vision, text, act, name = openai_settings(config, arrays)
    at = fields.prefix_of(arrays, "text.")  # OpenCLIP's, where custom_text is true
    V, D_t = fields.shape(arrays, f"{at}token_embedding.weight")
    context, _ = fields.shape(arrays, f"{at}positional_embedding")
    _, E = fields.shape(arrays, f"{at}text_projection")
    hidden, _ = fields.shape(arrays, f"{at}transformer.resblocks.0.mlp.c_fc.weight")
    layers = tables.count_layers(arrays, f"{at}transformer.resblocks.")
    encoder = TextTransformer(V, context, D_t, layers, heads(text, "heads", D_t, 64), hidden, act)
    image, table, D_i = (openai_vit if "visual.proj" in arrays else openai_resnet)(
        arrays, vision, act, E
    )
    table |= {
        "text_encoder.token_embedding.weight": f"{at}token_embedding.weight",
        "text_encoder.positional_embedding": f"{at}positional_embedding",
        **same("text_encoder.ln_final", f"{at}ln_final"),
        **blocks("text_encoder.", f"{at}transformer.", layers),
        "W_t": f"{at}text_projection", "t": ("logit_scale", scalar),
    }  # fmt: skip
    return Layout(name, CLIP(image, encoder, D_i, D_t, E), table, UNUSED)


ARCHIVE = {"input_resolution", "context_length", "vocab_size"}  # in OpenAI's archives alone
UNTOLD = (
    "no configuration beside the tensors: OpenAI's CLIPs have QuickGELU, OpenCLIP's mostly GELU, "
    "under the same names, and no tensor tells. Put open_clip_config.json (or config.json) beside "
    'them. Of OpenAI\'s own weights {"model_cfg": {"quick_gelu": true}} in it says enough'
)


def openais_own(arrays):
    """Is it a file of OpenAI's? Its archives hold three numbers more, and half-precision matrices
    beside norms in full."""
    kinds = getattr(arrays, "stored", {})
    mixed = [str(kinds[name].dtype).upper() if name in kinds else "" for name in MIXED]
    return set(arrays) >= ARCHIVE or tuple(mixed) in (("F16", "F32"), ("FLOAT16", "FLOAT32"))


MIXED = ("text_projection", "ln_final.weight")


def openai_settings(config, arrays):
    """(vision, text, activation, name of the layout) of what configuration there is."""
    if config.get("model_type") in MODEL_TYPES:  # Hugging Face's config.json
        vision, text = hf_settings(config)
        act = fields.activation(text, "hidden_act", "quick_gelu")
        heads = {"heads": text.get("num_attention_heads", 8)}
        return {"heads": vision.get("num_attention_heads", 12)}, heads, act, "OpenAI"
    if "model_cfg" not in config:
        if not openais_own(arrays):
            raise CheckpointError(UNTOLD)
        return (
            {},
            {},
            "quick_gelu",
            "OpenAI (no configuration; by its file: QuickGELU, heads of 64)",
        )
    config = section(config, "model_cfg")
    vision, text = section(config, "vision_cfg"), section(config, "text_cfg")
    for said, usual in ((config, {}), (vision, VISION), (text, TEXT)):
        for key in said.keys() - READ:
            if said[key] not in (None, False, {}, usual.get(key)):
                raise CheckpointError(
                    f"open_clip_config.json: {key} is {said[key]!r}, which is not built here"
                )
    quick = config.get("quick_gelu") or False
    if type(quick) is not bool:
        raise CheckpointError(f"open_clip_config.json: quick_gelu is {quick!r}, not true or false")
    return vision, text, "quick_gelu" if quick else "gelu", "OpenCLIP"


# of OpenCLIP's settings those that are read, that the tensors tell, or that matter in training
# alone; and of others the value with which the network is the one that is built here
READ = {
    "embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text", "cast_dtype", "output_dict",
    "init_logit_scale", "layers", "width", "heads", "head_width", "mlp_ratio", "patch_size",
    "image_size", "context_length", "vocab_size", "patch_dropout", "output_tokens", "pad_id",
    "attn_pooler_queries", "attn_pooler_heads", "timm_model_pretrained", "timm_pool", "timm_proj",
    "timm_proj_bias", "timm_drop", "timm_drop_path", "hf_model_pretrained", "hf_proj_type",
    "hf_pooler_type", "tokenizer_mode", "eos_id", "proj_type",
}  # fmt: skip
VISION = {"pool_type": "tok", "pos_embed_type": "learnable", "block_type": "default"}
TEXT = {"pool_type": "argmax", "text_arch": "clip", "block_type": "default"}


def openai_vit(arrays, vision, act, E):
    D, C, P, _ = fields.shape(arrays, "visual.conv1.weight", 4)
    N, _ = fields.shape(arrays, "visual.positional_embedding")
    side = grid_side("visual.positional_embedding", N - 1) * P
    if vision.get("image_size", side) not in (None, side, [side, side]):
        raise CheckpointError(
            f"open_clip_config.json: image_size is {vision['image_size']!r}, and the positions are "
            f"those of {side} x {side} pixels"
        )
    hidden, _ = fields.shape(arrays, "visual.transformer.resblocks.0.mlp.c_fc.weight")
    layers = tables.count_layers(arrays, "visual.transformer.resblocks.")
    encoder = VisionTransformer(
        side, P, D, layers,
        heads(vision, "heads", D, vision.get("head_width", 64)), C, hidden, act,
    )  # fmt: skip
    at = "image_encoder."
    table = {
        f"{at}patches.projection.weight": ("visual.conv1.weight", conv_patches),
        f"{at}class_embedding": "visual.class_embedding",
        f"{at}positional_embedding": "visual.positional_embedding",
        **same(f"{at}ln_pre", "visual.ln_pre"),
        **same(f"{at}ln_post", "visual.ln_post"),
        **blocks(at, "visual.transformer.", layers),
        "W_i": "visual.proj",
    }
    return encoder, table, D


def openai_resnet(arrays, vision, act, E):
    """Four stages, whatever their depth; the attention pool projects to E itself."""
    width, C, _, _ = fields.shape(arrays, "visual.layer1.0.conv1.weight", 4)
    _, C, _, _ = fields.shape(arrays, "visual.conv1.weight", 4)
    N, D = fields.shape(arrays, "visual.attnpool.positional_embedding")
    depths = [tables.count_layers(arrays, f"visual.layer{i}.") for i in (1, 2, 3, 4)]
    encoder = ModifiedResNet(
        32 * grid_side("visual.attnpool.positional_embedding", N - 1), width, depths, E, C,
        heads(vision, "heads", D, vision.get("head_width", 64)),
    )  # fmt: skip
    table = {}
    for i in (1, 2, 3):
        table |= conv_and_norm(f"conv{i}", f"bn{i}", f"conv{i}", f"bn{i}")
    for i, depth in enumerate(depths):
        for j in range(depth):
            ours, theirs = f"layers.{i}.{j}.", f"layer{i + 1}.{j}."
            for k in (1, 2, 3):
                names = f"conv{k}", f"bn{k}"
                table |= conv_and_norm(*(ours + n for n in names), *(theirs + n for n in names))
            if f"visual.{theirs}downsample.0.weight" in arrays:
                names = "downsample.0", "downsample.1"
                table |= conv_and_norm(*(ours + n for n in names), *(theirs + n for n in names))
    pool = "attnpool.positional_embedding"
    table[f"image_encoder.{pool}"] = f"visual.{pool}"
    for x in "qkvc":
        table |= same(f"image_encoder.attnpool.{x}_proj", f"visual.attnpool.{x}_proj")
    return encoder, table, None


def conv_and_norm(conv, bn, their_conv, their_bn):
    """A convolution and the BatchNorm after it, with its running statistics."""
    table = {f"image_encoder.{conv}.weight": (f"visual.{their_conv}.weight", channels_last)}
    for part in ("weight", "bias", "running_mean", "running_var"):
        table[f"image_encoder.{bn}.{part}"] = f"visual.{their_bn}.{part}"
    return table


def blocks(ours, theirs, layers):
    """The Transformer layers of an encoder."""
    table = {}
    for i in range(layers):
        here, there = f"{ours}layers.{i}.", f"{theirs}resblocks.{i}."
        for part in ("in_proj_weight", "in_proj_bias"):
            table[f"{here}attn.{part}"] = f"{there}attn.{part}"
        for name, our_name in BLOCK.items():
            table |= same(here + our_name, there + name)
    return table


def same(ours, theirs):
    """A weight and a bias."""
    return {f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}


def channels_last(kernel):
    """(out, in, k, k) -> (out, k, k, in), a view."""
    return kernel.transpose(0, 2, 3, 1)


def scalar(array):
    """() or (1,) -> ()."""
    return array.reshape(())


def heads(config, key, width, head_width):
    """config[key], or one for each `head_width` of the width (but one at least)."""
    tables.integer({"head_width": head_width}, "head_width", 1 << 16)
    return tables.integer(config, key, width, max(1, width // head_width))


def grid_side(name, N):
    """The side of a square grid of N places."""
    if N < 1 or math.isqrt(N) ** 2 != N:
        raise CheckpointError(f"{name}: {N} places are not those of a square image")
    return math.isqrt(N)


# -- Hugging Face ----------------------------------------------------------------------------------
HF_LAYER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
}  # theirs: ours  # fmt: skip


def section(config, key):
    """A part of a configuration, {} where there is none."""
    part = config.get(key)
    if not isinstance(part, (dict, type(None))):
        raise CheckpointError(f"config.json: {key} is {part!r}, expected an object")
    return part or {}


def hf_settings(config):
    """(vision, text): older files say it in vision_config_dict, and mean that if both are there."""
    return tuple(
        section(config, f"{part}_config_dict") or section(config, f"{part}_config")
        for part in ("vision", "text")
    )


def hugging_face(config, arrays):
    """A Linear where OpenAI has a matrix (W_i, W_t), and q, k, v apart. A setting that config.json
    leaves out is as in transformers' CLIPTextConfig and CLIPVisionConfig."""
    fields.need(config, "the number of heads, the activation and eps")
    vision, text = hf_settings(config)
    seen, read = "vision_model.", "text_model."
    patches = f"{seen}embeddings.patch_embedding.weight"
    (D_i, C, P, _), (N, _) = (
        fields.shape(arrays, patches, 4),
        fields.shape(arrays, f"{seen}embeddings.position_embedding.weight"),
    )
    V, D_t = fields.shape(arrays, HUGGING_FACE)
    context, _ = fields.shape(arrays, f"{read}embeddings.position_embedding.weight")
    E, _ = fields.shape(arrays, "text_projection.weight")
    check_end(text, V)
    depths, widths, count, settings = {}, {}, {}, {}
    for at, said, D, H in ((seen, vision, D_i, 12), (read, text, D_t, 8)):
        depths[at], count[at], widths[at], settings[at] = hf_depth(said, arrays, at, D, H)
    image = VisionTransformer(
        grid_side(f"{seen}embeddings.position_embedding.weight", N - 1) * P, P, D_i, depths[seen],
        count[seen], C, widths[seen], **settings[seen],
    )  # fmt: skip
    encoder = TextTransformer(
        V, context, D_t, depths[read], count[read], widths[read], **settings[read]
    )
    table = hf_table(depths[seen], depths[read])
    return Layout("Hugging Face", CLIP(image, encoder, D_i, D_t, E), table, UNUSED)


def hf_depth(said, arrays, at, D, H):
    """(layers, heads, MLP width, activation and eps) of one encoder; H: the default of heads."""
    found = tables.count_layers(arrays, f"{at}encoder.layers.")
    hidden, _ = fields.shape(arrays, f"{at}encoder.layers.0.mlp.fc1.weight")
    return (
        tables.integer(said, "num_hidden_layers", found, found),
        tables.integer(said, "num_attention_heads", D, H),
        hidden,
        dict(
            activation=fields.activation(said, "hidden_act", "quick_gelu"),
            eps=fields.epsilon(said, "layer_norm_eps", 1e-5),
        ),
    )


def check_end(said, V):
    """A text is read at its [EOS], the largest id (older files say 2, and mean that)."""
    if said.get("eos_token_id", V - 1) not in (None, 2, V - 1):
        raise CheckpointError(
            f"config.json: eos_token_id is {said['eos_token_id']!r}, expected the largest id, "
            f"{V - 1}: a text is read where it ends"
        )


def hf_table(image_layers, text_layers):
    seen, read = "vision_model.", "text_model."
    return {
        "image_encoder.patches.projection.weight": (
            f"{seen}embeddings.patch_embedding.weight",
            conv_patches,
        ),
        "image_encoder.class_embedding": f"{seen}embeddings.class_embedding",
        "image_encoder.positional_embedding": f"{seen}embeddings.position_embedding.weight",
        **same("image_encoder.ln_pre", f"{seen}pre_layrnorm"),  # sic
        **same("image_encoder.ln_post", f"{seen}post_layernorm"),
        **hf_layers("image_encoder.", seen, image_layers),
        "text_encoder.token_embedding.weight": HUGGING_FACE,
        "text_encoder.positional_embedding": f"{read}embeddings.position_embedding.weight",
        **same("text_encoder.ln_final", f"{read}final_layer_norm"),
        **hf_layers("text_encoder.", read, text_layers),
        "W_i": ("visual_projection.weight", transposed),
        "W_t": ("text_projection.weight", transposed),
        "t": ("logit_scale", scalar),
    }


def hf_layers(ours, theirs, layers):
    table = {}
    for i in range(layers):
        here, there = f"{ours}layers.{i}.", f"{theirs}encoder.layers.{i}."
        for part in ("weight", "bias"):
            qkv = tuple(f"{there}self_attn.{x}_proj.{part}" for x in "qkv")
            table[f"{here}attn.in_proj_{part}"] = (qkv, rows)
        for name, our_name in HF_LAYER.items():
            table |= same(here + our_name, there + name)
    return table


# -- the vocabulary --------------------------------------------------------------------------------
OPENAI_VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"


def tokenizer(folder, encoder):
    """The CLIPTokenizer of a folder, for the text encoder beside it; None: it has no vocabulary."""
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        found = CLIPTokenizer.load(folder / "vocab.json", folder / "merges.txt", (SOS, EOS))
    elif (folder / OPENAI_VOCABULARY).is_file():
        found = CLIPTokenizer.from_file(folder / OPENAI_VOCABULARY)
    elif (folder / "tokenizer.json").is_file():
        found = from_tokenizer_json(read_json(folder / "tokenizer.json"))
    else:
        return None
    if len(found) != encoder.vocabulary:
        raise CheckpointError(
            f"the vocabulary has {len(found)} tokens, the text encoder {encoder.vocabulary}: they "
            "do not belong together"
        )
    found.context_length = encoder.context
    return found


def from_tokenizer_json(file):
    """The vocabulary and merges in Hugging Face's tokenizer.json."""
    try:
        model = file["model"]
        fields.demand(model, type="BPE", end_of_word_suffix=CLIPTokenizer.end_of_word)
        merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
        return CLIPTokenizer(model["vocab"], merges, (SOS, EOS))
    except (KeyError, TypeError, ValueError, AttributeError, CheckpointError) as reason:
        raise CheckpointError(f"tokenizer.json: not a vocabulary of CLIP ({reason})") from reason
