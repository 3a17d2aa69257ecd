"""Results of timm and torchvision themselves, and timm's list of architectures: the fixtures of
tests/published/test_timm.py, which needs neither.

    pip install torch==2.13.0 timm==1.0.31 torchvision==0.28.0
    python tests/reference/make_relatives.py [folder]

timm_*.npz, torchvision*.npz: small models of random numbers, as make_vision.py's.
timm.json.gz: of every architecture in timm's vision_transformer.py and deit.py the shapes of a
file, once each kind of layer, and what no tensor tells (heads, activation, eps).
pictures.npz: photographs as their transforms for evaluation make them.
"""

import gzip
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from timm.models._hub import save_config_for_hf

try:
    from tests.reference.make_vision import CUTTINGS, PHOTOS, STEP, drawn, first, fixture, pictures
except ImportError:  # run as a script
    from make_vision import CUTTINGS, PHOTOS, STEP, drawn, first, fixture, pictures

SMALL = dict(embed_dim=12, depth=2, num_heads=3, img_size=8, patch_size=4)
TIMM = {  # name of the fixture: (architecture, further arguments)
    "timm": ("vit_tiny_patch16_224", {}),
    "timm_quick": ("vit_tiny_patch16_224", {"act_layer": "quick_gelu", "qkv_bias": False}),
    "timm_deit3": ("deit3_small_patch16_224", {}),
    "timm_dinov2": ("vit_small_patch14_dinov2", {}),
    "timm_siglip": ("vit_so400m_patch16_siglip_256", {"mlp_ratio": 2}),
    "timm_gap": ("vit_base_patch16_siglip_gap_224", {}),
}


# -- small models ----------------------------------------------------------------------------------
def of_timm(name, seed=0):
    architecture, more = TIMM[name]
    arguments = SMALL | more
    model = timm.create_model(architecture, num_classes=5, **arguments)
    with tempfile.TemporaryDirectory() as folder:
        save_config_for_hf(model, f"{folder}/config.json", model_args=arguments)
        config = json.loads(Path(folder, "config.json").read_text())
    return made(model, config, seed)


def of_torchvision(between, seed=0):
    """representation_size: a Linear and tanh before the head."""
    model = torchvision.models.VisionTransformer(
        image_size=8, patch_size=4, num_layers=2, num_heads=3, hidden_dim=12, mlp_dim=20,
        num_classes=5, representation_size=between,
    )  # fmt: skip
    return made(model, {"num_heads": 3}, seed)


def made(model, config, seed):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.tensor(drawn(name, p.shape, seed)))
    model = model.double().eval()
    images, labels = pictures(seed, 3, 8), np.array([0, 3, 4])
    logits = model(first(images))
    loss = F.cross_entropy(logits, torch.tensor(labels))
    before = {k: v.detach().numpy().copy() for k, v in model.named_parameters()}
    loss.backward()
    gradients = {k: v.grad.numpy().copy() for k, v in model.named_parameters()}
    torch.optim.AdamW(model.parameters(), **STEP).step()
    after = {k: v.detach().numpy() for k, v in model.named_parameters()}
    return fixture(config, before, {"images": images, "labels": labels},
                   {"logits": logits, "loss": loss}, gradients, after)  # fmt: skip


FIXTURES = {
    **{name: lambda name=name: of_timm(name) for name in TIMM},
    "torchvision": lambda: of_torchvision(None),
    "torchvision_pre_logits": lambda: of_torchvision(7),
}  # fmt: skip


# -- every architecture ----------------------------------------------------------------------------
def architectures():
    """{name: {"depth", "heads", "act", "eps", "global_pool", "shapes"}}; of the layers, which are
    alike, the shapes of the first."""
    found = {}
    for module in ("vision_transformer", "deit"):
        for name in timm.list_models(module=module):
            model = timm.create_model(name, device="meta")
            block, norm = model.blocks[0], [m for m in model.modules() if hasattr(m, "eps")]
            mlp = getattr(block, "mlp", None)
            act = getattr(mlp, "act", None)
            shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
            found[name] = {
                "depth": len(model.blocks), "heads": getattr(block, "attn", block).num_heads
                if hasattr(getattr(block, "attn", block), "num_heads") else None,
                "act": type(act).__name__, "eps": norm[0].eps, "global_pool": model.global_pool,
                "shapes": {k: v for k, v in shapes.items()
                           if not k.startswith("blocks.") or k.startswith("blocks.0.")},
            }  # fmt: skip
    return found


# -- photographs -----------------------------------------------------------------------------------
SAID = {  # pretrained_cfg of timm's
    "center": {"input_size": [3, 32, 32], "crop_pct": 0.9, "interpolation": "bicubic"},
    "squash": {"input_size": [3, 32, 24], "crop_pct": 0.8, "interpolation": "bilinear",
               "crop_mode": "squash", "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.6, 0.7]},
    "whole": {"input_size": [3, 30, 30], "crop_pct": 1.0, "crop_mode": "center"},
    "default": {"input_size": [3, 28, 28]},
}  # fmt: skip
WEIGHTS = {  # of torchvision: (image, patch, layers), what tells them apart
    "ViT_B_16_Weights.IMAGENET1K_V1": (224, 16, 12),
    "ViT_L_16_Weights.IMAGENET1K_V1": (224, 16, 24),
    "ViT_L_32_Weights.IMAGENET1K_V1": (224, 32, 24),
    "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1": (384, 16, 12),
}  # fmt: skip


def photographs():
    found = {"said": np.array(json.dumps(SAID)), "weights": np.array(json.dumps(WEIGHTS))}
    for cutting, (photo, *box) in CUTTINGS.items():
        image = Image.open(PHOTOS / f"{photo}.png").crop(box)
        for name, said in SAID.items():
            how = timm.data.resolve_data_config({}, pretrained_cfg=said, use_test_size=False)
            out = timm.data.create_transform(**how)(image).numpy().transpose(1, 2, 0)
            found[f"{name}/{cutting}"] = bytes_of(out, how["mean"], how["std"])
        for name in WEIGHTS:
            how = torchvision.models.get_weight(name).transforms()
            out = how(image).numpy().transpose(1, 2, 0)[::7, ::7]  # enough to see each step
            found[f"{name}/{cutting}"] = bytes_of(out, how.mean, how.std)
    return found


def bytes_of(out, mean, std):
    """Before mean and deviation, which the tests know: a small file."""
    return np.rint((out * np.float32(std) + np.float32(mean)) * 255).astype(np.uint8)


def main(folder):
    warnings.simplefilter("ignore")
    for name, make in FIXTURES.items():
        np.savez_compressed(folder / f"{name}.npz", **make())
    np.savez_compressed(folder / "pictures.npz", **photographs())
    text = json.dumps(architectures(), separators=(",", ":"), sort_keys=True)
    (folder / "timm.json.gz").write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
