"""Files as they are published, of any size, with random numbers in them."""

import json

import numpy as np


def vit(width=32, layers=2, hidden=64, side=32, patch=8, classes=5, seed=0):
    """A ViT of Hugging Face: (config.json's content, {name: float32 array})."""
    rng, D, M = np.random.default_rng(seed), width, hidden
    layer = {f"attention.attention.{x}": (D, D) for x in ("query", "key", "value")}
    layer |= {"attention.output.dense": (D, D)}
    layer |= {"intermediate.dense": (M, D), "output.dense": (D, M)}
    shapes = {
        "vit.embeddings.cls_token": (1, 1, D),
        "vit.embeddings.position_embeddings": (1, (side // patch) ** 2 + 1, D),
        "vit.embeddings.patch_embeddings.projection.weight": (D, 3, patch, patch),
        "vit.embeddings.patch_embeddings.projection.bias": (D,),
        "vit.layernorm.weight": (D,), "vit.layernorm.bias": (D,),
        "classifier.weight": (classes, D), "classifier.bias": (classes,),
    }  # fmt: skip
    for i in range(layers):
        at = f"vit.encoder.layer.{i}."
        for name, shape in layer.items():
            shapes |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        for name in ("layernorm_before", "layernorm_after"):
            shapes |= {f"{at}{name}.weight": (D,), f"{at}{name}.bias": (D,)}
    config = {
        "model_type": "vit", "hidden_size": D, "num_hidden_layers": layers,
        "num_attention_heads": D // min(64, D // 2), "intermediate_size": M, "image_size": side,
        "patch_size": patch, "num_channels": 3, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "id2label": {str(i): f"class {i}" for i in range(classes)},
    }  # fmt: skip
    return config, {
        name: 0.02 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()
    }


def google_vit(width=32, layers=2, hidden=64, side=32, patch=8, classes=5, seed=0):
    """A ViT of google-research's vit_jax, as first published: {name: float32 array}."""
    rng, D, M, H = np.random.default_rng(seed), width, hidden, width // min(64, width // 2)
    shapes = {
        "cls": (1, 1, D), "embedding/kernel": (patch, patch, 3, D), "embedding/bias": (D,),
        "Transformer/posembed_input/pos_embedding": (1, (side // patch) ** 2 + 1, D),
        "Transformer/encoder_norm/scale": (D,), "Transformer/encoder_norm/bias": (D,),
        "head/kernel": (D, classes), "head/bias": (classes,),
    }  # fmt: skip
    for i in range(layers):
        at = f"Transformer/encoderblock_{i}/"
        attn, mlp = f"{at}MultiHeadDotProductAttention_1/", f"{at}MlpBlock_3/"
        for x in ("query", "key", "value"):
            shapes |= {f"{attn}{x}/kernel": (D, H, D // H), f"{attn}{x}/bias": (H, D // H)}
        shapes |= {f"{attn}out/kernel": (H, D // H, D), f"{attn}out/bias": (D,)}
        shapes |= {f"{mlp}Dense_0/kernel": (D, M), f"{mlp}Dense_0/bias": (M,)}
        shapes |= {f"{mlp}Dense_1/kernel": (M, D), f"{mlp}Dense_1/bias": (D,)}
        for name in ("LayerNorm_0", "LayerNorm_2"):
            shapes |= {f"{at}{name}/scale": (D,), f"{at}{name}/bias": (D,)}
    return {name: 0.02 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def write(folder, config, arrays):
    """config.json and model.safetensors in `folder`."""
    from safetensors.numpy import save_file

    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(arrays, folder / "model.safetensors")
    return folder
