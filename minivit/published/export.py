"""A model of this book in the layout of Hugging Face, so that it can be used everywhere.

    published.export(model, "my-vit", labels=["cat", "dog"])   # config.json, model.safetensors
    transformers.AutoModelForImageClassification.from_pretrained("my-vit")

The tables are those that read such files, inverted: each of their transforms has an inverse here.
`export` refuses settings that the layout has no word for (another pool, LayerScale, own palettes).
"""

import json

import numpy as np

from minivit import files
from minivit.engine.errors import CheckpointError, DtypeError, MinivitError, OptionError
from minivit.models.bert import BERT
from minivit.models.clip import CLIP, TextTransformer, VisionTransformer
from minivit.models.gpt import GPT
from minivit.models.vit import ViT
from minivit.published import bert, clip, fields, gpt2, tables, vit
from minivit.published.preprocess import FILTERS, Preprocess
from minivit.published.weights.tensors import to_bytes
from minivit.text import BPE, CLIPTokenizer, WordPiece

ACTIVATIONS = {  # ours: theirs, the first of its names that transformers has today
    "gelu": "gelu", "gelu_tanh": "gelu_new", "quick_gelu": "quick_gelu", "relu": "relu",
    "silu": "silu",
}  # fmt: skip


def export(model, folder, tokenizer=None, preprocess=None, labels=None):
    """Write a ViT, CLIP, GPT or BERT into `folder`, in the layout that transformers loads: its
    configuration and weights (float32), and what is given beside them: tokenizer (a WordPiece, BPE
    or CLIPTokenizer), preprocess (a Preprocess), labels (names of a ViT's classes).

    Returns the folder; all its files change in one step."""
    folder = files.path_of("export: folder", folder)
    if type(model) not in KINDS:
        raise DtypeError(
            f"export: model is a {type(model).__name__}, expected one of "
            f"{', '.join(kind.__name__ for kind in KINDS)}"
        )
    config, table, patch = KINDS[type(model)](model)
    if labels is not None:
        config |= _labels(model, labels)
    arrays = inverted(model, table, patch)
    said = None if preprocess is None else described(preprocess)
    try:
        with files.writing_folder(folder) as new:
            _write_json(new / "config.json", config)
            arrays = {name: np.asarray(a, np.float32) for name, a in arrays.items()}
            content = to_bytes(arrays, metadata={"format": "pt"})
            (new / "model.safetensors").write_bytes(content)
            if said is not None:
                _write_json(new / "preprocessor_config.json", said)
            if tokenizer is not None:
                write_tokenizer(tokenizer, new)
    except OSError as reason:
        if isinstance(reason, MinivitError):
            raise
        why = reason.strerror or reason
        raise CheckpointError(f"export: {folder}: cannot be written ({why})") from reason
    return folder


def _write_json(path, content):
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


# -- tables, inverted ------------------------------------------------------------------------------
def inverted(model, table, patch=None):
    """{their name: array} of a model; patch: (P, C) of its patches."""
    found = {}
    for ours, tensor in model.named_tensors():
        names, transform = table[ours] if isinstance(table[ours], tuple) else (table[ours], None)
        names = (names,) if isinstance(names, str) else names
        array = tensor.numpy()
        if transform is tables.conv_patches:
            P, C = patch
            parts = [array.reshape(len(array), P, P, C).transpose(0, 3, 1, 2)]
        else:
            parts = INVERSE[transform](array, len(names))
        found |= dict(zip(names, parts))
    return found


INVERSE = {  # each from an array, and into how many
    None: lambda array, n: [array],
    fields.tied: lambda array, n: [array] * n,
    tables.transposed: lambda array, n: [array.T],
    tables.rows: np.split,
    clip.scalar: lambda array, n: [array],
}


# -- configurations --------------------------------------------------------------------------------
def _need(model, **expected):
    """Refuse what the layout has no word for."""
    for name, value in expected.items():
        if model.config[name] != value:
            raise OptionError(
                f"export: {name} is {model.config[name]!r}; Hugging Face's layout of a "
                f"{type(model).__name__} has {value!r} alone"
            )


def _hidden(layers):
    return layers[0].mlp.fc1.weight.shape[0]


def of_vit(model):
    _need(model, pool="class", positions="learned", layer_scale=0.0)
    said, headed, pooled = model.config, model.head is not None, model.pre_logits is not None
    if headed and pooled:
        raise OptionError("export: a ViT has pre_logits and a head; the layout has one of them")
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification" if headed else "ViTModel"],
        "hidden_size": said["width"], "num_hidden_layers": said["layers"],
        "num_attention_heads": said["heads"], "intermediate_size": _hidden(model.layers),
        "hidden_act": ACTIVATIONS[said["activation"]], "layer_norm_eps": said["eps"],
        "image_size": model.image[0] if len(set(model.image)) == 1 else list(model.image),
        "patch_size": model.patch, "num_channels": model.channels, "qkv_bias": True,
        "hidden_dropout_prob": said["dropout"], "attention_probs_dropout_prob": said["dropout"],
        "dtype": "float32",
    }  # fmt: skip
    if headed:
        config |= _labels(model, [f"LABEL_{i}" for i in range(len(model.head.bias))])
    if pooled:
        config |= {"pooler_output_size": len(model.pre_logits.bias), "pooler_act": "tanh"}
    table = vit.hf_table("vit." if headed else "", len(model.layers), headed, pooled)
    return config, table, (model.patch, model.channels)


def _labels(model, labels):
    labels, classes = list(labels), getattr(getattr(model, "head", None), "bias", ())
    if not isinstance(model, ViT) or len(labels) != len(classes):
        raise OptionError(f"export: {len(labels)} labels for a head of {len(classes)} classes")
    return {
        "id2label": {str(i): str(name) for i, name in enumerate(labels)},
        "label2id": {str(name): i for i, name in enumerate(labels)},
    }


def of_clip(model):
    image, text = model.image_encoder, model.text_encoder
    if type(image) is not VisionTransformer or type(text) is not TextTransformer:
        raise OptionError(
            f"export: a CLIP of {type(image).__name__} and {type(text).__name__}; Hugging Face's "
            "layout has VisionTransformer and TextTransformer alone"
        )
    vision, reader = (
        {
            "hidden_size": encoder.width, "num_hidden_layers": len(encoder.layers),
            "num_attention_heads": encoder.layers[0].attn.num_heads,
            "intermediate_size": _hidden(encoder.layers),
            "hidden_act": ACTIVATIONS[encoder.config["activation"]],
            "layer_norm_eps": encoder.config["eps"], "projection_dim": model.d_e,
        }
        for encoder in (image, text)
    )  # fmt: skip
    patch = image.config["patch"]
    vision |= {"model_type": "clip_vision_model", "image_size": image.image,
               "patch_size": patch, "num_channels": image.channels}  # fmt: skip
    V = text.vocabulary
    reader |= {"model_type": "clip_text_model", "vocab_size": V, "eos_token_id": V - 1,
               "max_position_embeddings": text.context, "bos_token_id": max(0, V - 2),
               "pad_token_id": 0}  # fmt: skip
    config = {
        "model_type": "clip", "architectures": ["CLIPModel"], "projection_dim": model.d_e,
        "vision_config": vision, "text_config": reader, "dtype": "float32",
    }  # fmt: skip
    table = clip.hf_table(len(image.layers), len(text.layers))
    return config, table, (patch, image.channels)


def of_gpt(model):
    said = model.config
    config = {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"],
        "vocab_size": model.vocabulary, "n_positions": model.context, "n_embd": said["width"],
        "n_layer": said["layers"], "n_head": said["heads"], "n_inner": _hidden(model.layers),
        "activation_function": ACTIVATIONS[said["activation"]],
        "layer_norm_epsilon": said["eps"], "tie_word_embeddings": True,
        **{f"{part}_pdrop": said["dropout"] for part in ("embd", "attn", "resid")},
        "bos_token_id": model.vocabulary - 1, "eos_token_id": model.vocabulary - 1,
        "dtype": "float32",
    }  # fmt: skip
    return config, gpt2.table_of("transformer.", len(model.layers)), None


def of_bert(model):
    said, kinds = model.config, 0 if model.segments is None else model.segments.weight.shape[0]
    if not kinds:
        raise OptionError("export: a BERT without segments; Hugging Face's layout has one or more")
    head, following = model.head is not None, model.next is not None
    names = {
        (True, True): "BertForPreTraining", (True, False): "BertForMaskedLM",
        (False, True): "BertForNextSentencePrediction", (False, False): "BertModel",
    }  # fmt: skip
    config = {
        "model_type": "bert", "architectures": [names[head, following]],
        "vocab_size": model.vocabulary, "max_position_embeddings": model.context,
        "hidden_size": said["width"], "num_hidden_layers": said["layers"],
        "num_attention_heads": said["heads"], "intermediate_size": _hidden(model.layers),
        "hidden_act": ACTIVATIONS[said["activation"]], "layer_norm_eps": said["eps"],
        "type_vocab_size": kinds, "pad_token_id": 0, "tie_word_embeddings": True,
        "hidden_dropout_prob": said["dropout"], "attention_probs_dropout_prob": said["dropout"],
        "dtype": "float32",
    }  # fmt: skip
    at = "bert." if head or following else ""
    table = bert.table_of(at, len(model.layers), model.pooler is not None, head, following)
    return config, table, None


KINDS = {ViT: of_vit, CLIP: of_clip, GPT: of_gpt, BERT: of_bert}


# -- what stands beside ----------------------------------------------------------------------------
def described(seen):
    """preprocessor_config.json of a Preprocess."""
    if type(seen) is not Preprocess or seen.resample not in FILTERS:
        raise OptionError(
            f"export: preprocess is {seen!r}; Hugging Face's processors have a Preprocess with one "
            f"of the filters {', '.join(FILTERS)}"
        )
    if seen.shows_hidden or (seen.rounds and seen.shortest):
        raise OptionError(
            "export: preprocess crops or shows what is transparent as OpenAI's does, which Hugging "
            "Face's does not. Say so: dataclasses.replace(preprocess, rounds=False, "
            "shows_hidden=False)"
        )
    height_width = dict(zip(("height", "width"), seen.size))
    squashed = dict(zip(("height", "width"), seen.squashed or seen.size))
    crops = seen.shortest is not None or seen.squashed is not None
    kind = "ViT" if seen.shortest is None else "CLIP"
    return {
        "image_processor_type": f"{kind}ImageProcessor", "do_resize": True,
        "size": {"shortest_edge": seen.shortest} if seen.shortest else squashed,
        "resample": FILTERS.index(seen.resample), "do_center_crop": crops,
        "crop_size": height_width, "do_rescale": True, "rescale_factor": seen.scale,
        "do_normalize": True, "image_mean": list(seen.mean), "image_std": list(seen.std),
        "do_convert_rgb": True,
    }  # fmt: skip


def write_tokenizer(tokenizer, folder):
    """The files of a tokenizer that transformers reads."""
    if isinstance(tokenizer, CLIPTokenizer):
        said = {"tokenizer_class": "CLIPTokenizer", "model_max_length": tokenizer.context_length}
        tokenizer.save(folder)
    elif type(tokenizer) is BPE:
        said = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False}
        said |= {k: tokenizer.symbols[-1] for k in ("bos_token", "eos_token", "unk_token")}
        tokenizer.save(folder)
    elif isinstance(tokenizer, WordPiece):
        said = {"tokenizer_class": "BertTokenizer", "do_lower_case": tokenizer.lower,
                "strip_accents": None, "tokenize_chinese_chars": True}  # fmt: skip
        tokenizer.save(folder / "vocab.txt")
    else:
        raise OptionError(
            f"export: tokenizer is a {type(tokenizer).__name__}, expected a WordPiece, a BPE or a "
            "CLIPTokenizer"
        )
    _write_json(folder / "tokenizer_config.json", said)
