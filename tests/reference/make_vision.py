"""PyTorch's results with small random ViTs and CLIPs: the fixtures of
tests/published/test_vision.py, which reads them with NumPy alone.

    pip install torch==2.13.0 && pip install transformers==5.23.0 pillow
    python tests/reference/make_vision.py [folder]

One npz file a layout: "config" (JSON), "w" the weights as the file of a checkpoint has them
(float32, of few bits, so that they compress), "in/NAME" inputs, "out/NAME" outputs (float64), "g"
the loss's gradient of every parameter, "moved" where one step of AdamW moved it, (new - (1 - lr
decay) old) / lr. The three are one flat array each, with names and shapes in "shapes": a zip of
hundreds of arrays would be mostly headers. No parameter is left at its initial value: biases of
zero and gains of one would hide errors. The models of transformers are transformers'; the others
are written down here with the names of their files, from what their code computes.

preprocess.npz: cuttings of photographs as transformers' processors (those on Pillow) make them, and
for vit_jax, which has no processor there, as PyTorch's interpolation does.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file

STEP = dict(lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)


# -- transformers ----------------------------------------------------------------------------------
def vit_hf(seed=0, layers=2, width=16, heads=4, image=8, **options):
    """ViTForImageClassification: GELU by erf, eps 1e-12."""
    config = transformers.ViTConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=2 * width, image_size=image, patch_size=4, num_labels=5, **options,
    )  # fmt: skip
    model = perturbed(transformers.ViTForImageClassification(config), seed)
    images, labels = pictures(seed, 3, image), np.array([0, 3, 4])
    logits = model(first(images)).logits
    loss = F.cross_entropy(logits, torch.tensor(labels))
    return found(model, {"images": images, "labels": labels}, {"logits": logits, "loss": loss})


def vit_hf_pooler(seed=0, layers=1, width=12, heads=3, image=8):
    """ViTModel: no head, but a pooler, which is the paper's pre_logits."""
    config = transformers.ViTConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=2 * width, image_size=image, patch_size=4, layer_norm_eps=1e-6,
        hidden_act="gelu_pytorch_tanh",
    )  # fmt: skip
    model = perturbed(transformers.ViTModel(config), seed)
    images = pictures(seed, 3, image)
    pooled = model(first(images)).pooler_output
    return found(model, {"images": images}, {"pooled": pooled, "loss": (pooled**2).sum()})


def clip_hf(seed=0, layers=(1, 2), width=16, heads=4, image=8, act="quick_gelu", legacy=False):
    """CLIPModel with its own loss; texts end in the largest id and are padded with it (`legacy`:
    by the argmax of the ids, as configurations that say eos_token_id 2 are read)."""
    model = clip_model(seed, layers, width, heads, image, act, legacy)
    images, ids = pictures(seed, 3, image), texts(24, padding=0 if legacy else 23)
    out = model(input_ids=torch.tensor(ids), pixel_values=first(images), return_loss=True)
    outputs = {"logits": out.logits_per_image, "loss": out.loss,
               "I_e": out.image_embeds, "T_e": out.text_embeds}  # fmt: skip
    return found(model, {"images": images, "ids": ids}, outputs)


def clip_model(seed=0, layers=(1, 2), width=16, heads=4, image=8, act="quick_gelu", legacy=False):
    ends = dict(bos_token_id=22, eos_token_id=2 if legacy else 23, pad_token_id=1)
    config = transformers.CLIPConfig(
        text_config=dict(
            vocab_size=24, hidden_size=width // 2, intermediate_size=2 * width, hidden_act=act,
            num_hidden_layers=layers[1], num_attention_heads=heads // 2, **ends,
            max_position_embeddings=9,
        ),
        vision_config=dict(
            hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers[0],
            num_attention_heads=heads, image_size=image, patch_size=4, hidden_act=act,
        ),
        projection_dim=6,
    )  # fmt: skip
    return perturbed(transformers.CLIPModel(config), seed)


def perturbed(model, seed):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.tensor(drawn(name, p.shape, seed)))
    return model.double().eval()


def found(model, given, outputs):
    """Arguments of `fixture` for a model of transformers, by the names in its saved files."""
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    before = saved(model)
    outputs["loss"].backward()
    torch.optim.AdamW(model.parameters(), **STEP).step()
    after = saved(model)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.grad)
    return fixture(config, before, given, outputs, saved(model), after)


def saved(model):
    """{name: float64 array} as `save_pretrained` writes them: not the names of the live modules."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tensors = load_file(Path(folder) / "model.safetensors")
    return {k: v.numpy().copy() for k, v in tensors.items()}


# -- google's ViT ----------------------------------------------------------------------------------
def vit_google(seed=0, layers=2, width=16, heads=4, image=8, classes=5):
    """vision_transformer, as first published: class token, pre_logits, head; names of old flax."""
    D, M, h = width, 2 * width, heads
    shapes = {
        "cls": (1, 1, D), "embedding/kernel": (4, 4, 3, D), "embedding/bias": (D,),
        "Transformer/posembed_input/pos_embedding": (1, (image // 4) ** 2 + 1, D),
        "Transformer/encoder_norm/scale": (D,), "Transformer/encoder_norm/bias": (D,),
        "pre_logits/kernel": (D, D), "pre_logits/bias": (D,),
        "head/kernel": (D, classes), "head/bias": (classes,),
    }  # fmt: skip
    names = ("LayerNorm_0", "MultiHeadDotProductAttention_1", "LayerNorm_2", "MlpBlock_3")
    for i in range(layers):
        shapes |= flax_layer(f"Transformer/encoderblock_{i}/", names, D, h, M)
    p = leaves(shapes, seed)
    images, labels = pictures(seed, 3, image), np.array([0, 3, 4])
    x = flax_patches(p, images)
    x = torch.cat([p["cls"].expand(len(x), 1, D), x], dim=1)
    x = x + p["Transformer/posembed_input/pos_embedding"]
    for i in range(layers):
        x = flax_forward(p, f"Transformer/encoderblock_{i}/", names, x)
    x = flax_norm(p, "Transformer/encoder_norm", x)[:, 0]
    x = torch.tanh(x @ p["pre_logits/kernel"] + p["pre_logits/bias"])
    logits = x @ p["head/kernel"] + p["head/bias"]
    loss = F.cross_entropy(logits, torch.tensor(labels))
    return stepped({}, p, {"images": images, "labels": labels}, {"logits": logits, "loss": loss})


def vit_big_vision(seed=0, layers=2, width=12, heads=3, image=8, classes=5):
    """big_vision, as Scaling ViT: no class token, positions at the top, attention pooling."""
    D, M, h = width, 2 * width, heads
    names = ("LayerNorm_0", "MultiHeadDotProductAttention_0", "LayerNorm_1", "MlpBlock_0")
    shapes = {
        "embedding/kernel": (4, 4, 3, D), "embedding/bias": (D,),
        "pos_embedding": (1, (image // 4) ** 2, D),
        "Transformer/encoder_norm/scale": (D,), "Transformer/encoder_norm/bias": (D,),
        "MAPHead_0/probe": (1, 1, D), "head/kernel": (D, classes), "head/bias": (classes,),
    }  # fmt: skip
    for i in range(layers):
        shapes |= flax_layer(f"Transformer/encoderblock_{i}/", names, D, h, M)
    pool = ("unused", names[1], names[0], names[3])
    shapes |= {k: v for k, v in flax_layer("MAPHead_0/", pool, D, h, M).items() if pool[0] not in k}
    p = leaves(shapes, seed)
    images, labels = pictures(seed, 3, image), np.array([0, 3, 4])
    x = flax_patches(p, images) + p["pos_embedding"]
    for i in range(layers):
        x = flax_forward(p, f"Transformer/encoderblock_{i}/", names, x)
    x = flax_norm(p, "Transformer/encoder_norm", x)
    probe = p["MAPHead_0/probe"].expand(len(x), 1, D)
    a = flax_attention(p, f"MAPHead_0/{pool[1]}", probe, x)
    x = (a + flax_mlp(p, f"MAPHead_0/{pool[3]}", flax_norm(p, f"MAPHead_0/{pool[2]}", a)))[:, 0]
    logits = x @ p["head/kernel"] + p["head/bias"]
    loss = F.cross_entropy(logits, torch.tensor(labels))
    return stepped({}, p, {"images": images, "labels": labels}, {"logits": logits, "loss": loss})


def flax_layer(prefix, names, D, heads, M):
    """The shapes of one layer: matrices are (in, out), heads have axes of their own."""
    ln_1, attn, ln_2, mlp = (prefix + name for name in names)
    shapes = {f"{ln}/{k}": (D,) for ln in (ln_1, ln_2) for k in ("scale", "bias")}
    for k in ("query", "key", "value"):
        shapes[f"{attn}/{k}/kernel"] = (D, heads, D // heads)
        shapes[f"{attn}/{k}/bias"] = (heads, D // heads)
    return shapes | {
        f"{attn}/out/kernel": (heads, D // heads, D), f"{attn}/out/bias": (D,),
        f"{mlp}/Dense_0/kernel": (D, M), f"{mlp}/Dense_0/bias": (M,),
        f"{mlp}/Dense_1/kernel": (M, D), f"{mlp}/Dense_1/bias": (D,),
    }  # fmt: skip


def flax_patches(p, images):
    kernel = p["embedding/kernel"].permute(3, 2, 0, 1)
    x = F.conv2d(first(images), kernel, p["embedding/bias"], stride=4)  # (B, D, h, w)
    return x.flatten(2).transpose(1, 2)


def flax_norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}/scale"], p[f"{name}/bias"], 1e-6)


def flax_attention(p, name, x, memory):
    q, k, v = (
        torch.einsum("bnd,dhe->bhne", y, p[f"{name}/{part}/kernel"])
        + p[f"{name}/{part}/bias"][:, None, :]
        for y, part in ((x, "query"), (memory, "key"), (memory, "value"))
    )
    A = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)
    return torch.einsum("bhne,hed->bnd", A @ v, p[f"{name}/out/kernel"]) + p[f"{name}/out/bias"]


def flax_mlp(p, name, x):
    x = F.gelu(x @ p[f"{name}/Dense_0/kernel"] + p[f"{name}/Dense_0/bias"], approximate="tanh")
    return x @ p[f"{name}/Dense_1/kernel"] + p[f"{name}/Dense_1/bias"]


def flax_forward(p, prefix, names, x):
    ln_1, attn, ln_2, mlp = (prefix + name for name in names)
    y = flax_norm(p, ln_1, x)
    x = x + flax_attention(p, attn, y, y)
    return x + flax_mlp(p, mlp, flax_norm(p, ln_2, x))


# -- OpenAI's CLIP, and OpenCLIP's -----------------------------------------------------------------
def clip_openai(seed=0, width=16, text_width=8, layers=1, image=8):
    """A ViT by OpenAI's names, from whose shapes the configuration follows (a head for 64)."""
    vision = vision_shapes(width, layers, 6, image=image)
    heads, text_heads = (max(1, D // 64) for D in (width, text_width))
    return openai({}, seed, vision, text_shapes(text_width, 2, 6), heads, text_heads, image)


def clip_openai_resnet(seed=2, width=2, layers=(1, 1, 1, 1), grid=1, heads=1):
    """A ResNet of the smallest width that can be: 2, so the attention pool has 64 and one head. (A
    seed with which its few ReLUs leave the images different and float32 enough.)"""
    vision = resnet_shapes(width, layers, grid, 6)
    return openai({}, seed, vision, text_shapes(8, 1, 6), heads, 1, 32 * grid)


def clip_open_clip(seed=0, image=8, width=16, head=4, quick=False):
    """The same names with OpenCLIP's configuration: GELU, and heads of another width."""
    config = {
        "model_cfg": {
            "embed_dim": 6, **({"quick_gelu": True} if quick else {}),
            "vision_cfg": {"image_size": image, "layers": 1, "width": width, "head_width": head,
                           "patch_size": 4, "mlp_ratio": 3.0},
            "text_cfg": {"context_length": 9, "vocab_size": 24, "width": 8, "heads": 2,
                         "layers": 1},
        }
    }  # fmt: skip
    vision, act = vision_shapes(width, 1, 6, 3 * width, image), quick_gelu if quick else F.gelu
    return openai(config, seed, vision, text_shapes(8, 1, 6), width // head, 2, image, act)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def openai(config, seed, vision, text, heads, text_heads, image, act=quick_gelu):
    p = leaves(vision | text, seed)
    images, ids = pictures(seed, 3, image), texts(24, padding=0)
    see = openai_vit if "visual.proj" in p else openai_resnet
    I_e, T_e = see(p, first(images), heads, act), openai_text(p, ids, text_heads, act)
    I_e, T_e = (x / x.norm(dim=1, keepdim=True) for x in (I_e, T_e))
    logits = p["logit_scale"].exp() * I_e @ T_e.T
    n = torch.arange(len(images))
    loss = (F.cross_entropy(logits, n) + F.cross_entropy(logits.T, n)) / 2
    outputs = {"logits": logits, "loss": loss, "I_e": I_e, "T_e": T_e}
    return stepped(config, p, {"images": images, "ids": ids}, outputs)


def vision_shapes(D, layers, E, M=None, image=8):
    N = (image // 4) ** 2
    return {
        "visual.class_embedding": (D,), "visual.positional_embedding": (N + 1, D),
        "visual.proj": (D, E), "visual.conv1.weight": (D, 3, 4, 4),
        **norm_shapes("visual.ln_pre", D), **norm_shapes("visual.ln_post", D),
        **block_shapes("visual.transformer.", D, layers, M or 4 * D),
    }  # fmt: skip


def text_shapes(D, layers, E):
    return {
        "positional_embedding": (9, D), "text_projection": (D, E), "logit_scale": (),
        "token_embedding.weight": (24, D), **norm_shapes("ln_final", D),
        **block_shapes("transformer.", D, layers, 4 * D),
    }  # fmt: skip


def norm_shapes(name, D):
    return {f"{name}.weight": (D,), f"{name}.bias": (D,)}


def block_shapes(prefix, D, layers, M):
    shapes = {}
    for i in range(layers):
        at = f"{prefix}resblocks.{i}."
        shapes |= {
            f"{at}attn.in_proj_weight": (3 * D, D), f"{at}attn.in_proj_bias": (3 * D,),
            f"{at}attn.out_proj.weight": (D, D), f"{at}attn.out_proj.bias": (D,),
            f"{at}mlp.c_fc.weight": (M, D), f"{at}mlp.c_fc.bias": (M,),
            f"{at}mlp.c_proj.weight": (D, M), f"{at}mlp.c_proj.bias": (D,),
            **norm_shapes(f"{at}ln_1", D), **norm_shapes(f"{at}ln_2", D),
        }  # fmt: skip
    return shapes


def resnet_shapes(width, layers, grid, E):
    shapes = {}

    def conv(name, channels_in, channels, kernel, norm):
        shapes[f"{name}.weight"] = (channels, channels_in, kernel, kernel)
        shapes.update({f"{norm}.{k}": (channels,) for k in ("weight", "bias", "running_mean",
                                                             "running_var")})  # fmt: skip
        shapes[f"{norm}.num_batches_tracked"] = ()

    for i, (a, b) in enumerate(((3, width // 2), (width // 2, width // 2), (width // 2, width)), 1):
        conv(f"visual.conv{i}", a, b, 3, f"visual.bn{i}")
    before = width
    for i, n in enumerate(layers):
        inner = width << i
        for j in range(n):
            at = f"visual.layer{i + 1}.{j}."
            conv(f"{at}conv1", before, inner, 1, f"{at}bn1")
            conv(f"{at}conv2", inner, inner, 3, f"{at}bn2")
            conv(f"{at}conv3", inner, 4 * inner, 1, f"{at}bn3")
            if not j:
                conv(f"{at}downsample.0", before, 4 * inner, 1, f"{at}downsample.1")
            before = 4 * inner
    shapes["visual.attnpool.positional_embedding"] = (grid * grid + 1, before)
    for k, out in (("q", before), ("k", before), ("v", before), ("c", E)):
        shapes |= {f"visual.attnpool.{k}_proj.weight": (out, before),
                   f"visual.attnpool.{k}_proj.bias": (out,)}  # fmt: skip
    return shapes


def norm(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[f"{name}.weight"], p[f"{name}.bias"], 1e-5)


def attend(q, k, v, heads, causal=False):
    """(B, N, D), each already projected; heads own neighbouring columns."""
    q, k, v = (x.unflatten(2, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    S = q @ k.mT / q.shape[-1] ** 0.5
    if causal:
        S = S + torch.full(S.shape[-2:], -torch.inf, dtype=S.dtype).triu(1)
    return (torch.softmax(S, dim=-1) @ v).transpose(1, 2).flatten(2)


def blocks(p, prefix, x, heads, act, causal=False):
    for i in range(sum(k.startswith(prefix) and k.endswith("ln_1.bias") for k in p)):
        at = f"{prefix}resblocks.{i}."
        y = F.linear(norm(p, f"{at}ln_1", x), p[f"{at}attn.in_proj_weight"],
                     p[f"{at}attn.in_proj_bias"])  # fmt: skip
        y = attend(*y.chunk(3, dim=2), heads, causal)
        x = x + F.linear(y, p[f"{at}attn.out_proj.weight"], p[f"{at}attn.out_proj.bias"])
        y = norm(p, f"{at}ln_2", x)
        y = act(F.linear(y, p[f"{at}mlp.c_fc.weight"], p[f"{at}mlp.c_fc.bias"]))
        x = x + F.linear(y, p[f"{at}mlp.c_proj.weight"], p[f"{at}mlp.c_proj.bias"])
    return x


def openai_vit(p, x, heads, act):
    x = F.conv2d(x, p["visual.conv1.weight"], stride=4).flatten(2).transpose(1, 2)
    x = torch.cat([p["visual.class_embedding"].expand(len(x), 1, -1), x], dim=1)
    x = norm(p, "visual.ln_pre", x + p["visual.positional_embedding"])
    x = blocks(p, "visual.transformer.", x, heads, act)
    return norm(p, "visual.ln_post", x[:, 0]) @ p["visual.proj"]


def openai_text(p, ids, heads, act):
    ids = torch.tensor(ids)
    x = p["token_embedding.weight"][ids] + p["positional_embedding"]
    x = norm(p, "ln_final", blocks(p, "transformer.", x, heads, act, causal=True))
    return x[torch.arange(len(x)), ids.argmax(dim=1)] @ p["text_projection"]


def openai_resnet(p, x, heads, act):
    def conv(name, normed, x, **how):
        y = F.conv2d(x, p[f"visual.{name}.weight"], **how)
        mean, var = (p[f"visual.{normed}.running_{k}"] for k in ("mean", "var"))
        return F.batch_norm(y, mean, var, p[f"visual.{normed}.weight"], p[f"visual.{normed}.bias"])

    x = F.relu(conv("conv1", "bn1", x, stride=2, padding=1))
    x = F.relu(conv("conv2", "bn2", x, padding=1))
    x = F.avg_pool2d(F.relu(conv("conv3", "bn3", x, padding=1)), 2)
    for i in range(1, 5):
        for j in range(sum(k.startswith(f"visual.layer{i}.") and "conv1" in k for k in p)):
            at, stride = f"layer{i}.{j}.", 2 if i > 1 and not j else 1
            y = F.relu(conv(f"{at}conv1", f"{at}bn1", x))
            y = F.relu(conv(f"{at}conv2", f"{at}bn2", y, padding=1))
            y = conv(f"{at}conv3", f"{at}bn3", F.avg_pool2d(y, stride))
            if not j:
                x = conv(f"{at}downsample.0", f"{at}downsample.1", F.avg_pool2d(x, stride))
            x = F.relu(x + y)
    x = x.flatten(2).transpose(1, 2)  # (B, h w, C)
    x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1)
    x = x + p["visual.attnpool.positional_embedding"]
    q, k, v = (
        F.linear(y, p[f"visual.attnpool.{s}_proj.weight"], p[f"visual.attnpool.{s}_proj.bias"])
        for s, y in (("q", x[:, :1]), ("k", x), ("v", x))
    )
    x = attend(q, k, v, heads)[:, 0]
    return F.linear(x, p["visual.attnpool.c_proj.weight"], p["visual.attnpool.c_proj.bias"])


# -- photographs -----------------------------------------------------------------------------------
PHOTOS = Path(__file__).parents[2] / "data" / "photos"
CUTTINGS = {  # photograph, then left, top, right, bottom
    "wide": ("chelsea", 0, 30, 211, 180), "tall": ("coffee", 40, 3, 135, 220),
    "small": ("chelsea", 50, 60, 79, 83),
}  # fmt: skip


def preprocessed():
    """{cutting/settings: (H, W, 3)}, and the settings as preprocessor_config.json has them; and of
    each cutting the unit vector that the CLIP of clip_hf.npz makes of it, in float32."""
    from PIL import Image
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    crop = dict(size={"shortest_edge": 41}, crop_size={"height": 32, "width": 30})
    processors = {
        "clip": CLIPImageProcessorPil(**crop),
        "clip bilinear": CLIPImageProcessorPil(**crop, resample=2, do_normalize=False),
        "vit": ViTImageProcessorPil(size={"height": 32, "width": 40}),
        "vit lanczos": ViTImageProcessorPil(size={"height": 32, "width": 32}, resample=1,
                                            image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.1]),
    }  # fmt: skip
    shown = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    model = clip_model().float()
    found = {f"said/{k}": np.array(v.to_json_string()) for k, v in processors.items()}
    found["cuttings"] = np.array(json.dumps(CUTTINGS))
    for cutting, (name, *box) in CUTTINGS.items():
        photo = Image.open(PHOTOS / f"{name}.png").crop(box)
        for k, processor in processors.items():
            out = processor(photo, return_tensors="np")["pixel_values"][0]
            found[f"out/{cutting}/{k}"] = out.transpose(1, 2, 0)
        with torch.no_grad():
            x = model.get_image_features(**shown(photo, return_tensors="pt")).pooler_output[0]
        found[f"embedding/{cutting}"] = (x / x.norm()).numpy()
        x = first(np.asarray(photo)[None])
        x = F.interpolate(x, (32, 32), mode="bilinear", align_corners=False, antialias=False)
        found[f"out/{cutting}/vit_jax"] = ((x - 127.5) / 127.5)[0].permute(1, 2, 0).float().numpy()
    return found


# -- what they share -------------------------------------------------------------------------------
def pictures(seed, B, side):
    """Images (B, side, side, 3) of large coloured squares, 8 by 8 of them: noise would be the same
    to a convolutional network, whatever its seed."""
    squares = np.random.default_rng([seed, 1]).uniform(-2, 2, (B, 8, 8, 3))
    return few_bits(squares.repeat(side // 8, axis=1).repeat(side // 8, axis=2))


def texts(V, padding):
    """Three texts of unequal length that begin with V - 2 and end with V - 1."""
    ids = np.array([[V - 2, 5, 9, 5, V - 1, 0, 0, 0, 0], [V - 2, 3, V - 1, 0, 0, 0, 0, 0, 0],
                    [V - 2, 1, 7, 2, 4, 11, 8, 6, V - 1]])  # fmt: skip
    return np.where(ids == 0, padding, ids)


def first(images):
    """Channels first, as PyTorch has them."""
    return torch.tensor(images, dtype=torch.float64).permute(0, 3, 1, 2)


def drawn(name, shape, seed):
    """A parameter by its name: gains and variances about 1, all else about 0; in a ResNet so that
    features keep their size, or its attention would be all or nothing."""
    std = 0.3
    if ("visual" in name and len(shape) == 4) or ("attnpool" in name and len(shape) == 2):
        std = (len(shape) / 2 / np.prod(shape[1:])) ** 0.5
    values = std * np.random.default_rng([seed, *name.encode()]).standard_normal(shape)
    if name.endswith("running_var"):
        return few_bits(np.exp(values))
    gain = name.endswith(("scale", "weight")) and len(shape) == 1
    return few_bits(values + gain)


def few_bits(x):
    """Rounded to 8 binary digits: float32 and float64 agree, and a file of them is small."""
    m, e = np.frexp(x)
    return np.ldexp(np.round(m * 256) / 256, e).astype(np.float32)


def leaves(shapes, seed):
    """{name: tensor} in float64; running statistics have no gradient, and counters are integers."""
    return {
        name: torch.tensor(1000) if name.endswith("tracked")
        else torch.tensor(drawn(name, shape, seed), dtype=torch.float64,
                          requires_grad="running" not in name)
        for name, shape in shapes.items()
    }  # fmt: skip


def stepped(config, p, given, outputs):
    """Arguments of `fixture`, of leaf tensors by the names of the file."""
    before = {k: v.detach().numpy().copy() for k, v in p.items()}
    outputs["loss"].backward()
    learnt = {k: v for k, v in p.items() if v.requires_grad}
    torch.optim.AdamW(learnt.values(), **STEP).step()
    gradients = {k: v.grad.numpy() for k, v in learnt.items()}
    return fixture(config, before, given, outputs, gradients,
                   {k: v.detach().numpy() for k, v in learnt.items()})  # fmt: skip


def fixture(config, before, given, outputs, gradients, after):
    lr, shrink = STEP["lr"], 1 - STEP["lr"] * STEP["weight_decay"]
    moved = {k: (v - shrink * before[k]) / lr for k, v in after.items()}
    tables = {"w": before, "g": gradients, "moved": moved}
    shapes = {kind: {k: v.shape for k, v in table.items()} for kind, table in tables.items()}
    w, g, m = (np.concatenate([v.ravel() for v in table.values()]) for table in tables.values())
    return {
        "config": np.array(json.dumps(config, default=str)),
        "shapes": np.array(json.dumps(shapes)),
        "w": w.astype(np.float32), "g": rounded(g), "moved": np.round(m, 6).astype(np.float32),
        **{f"in/{k}": np.asarray(v) for k, v in given.items()},
        **{f"out/{k}": v.detach().numpy() for k, v in outputs.items()},
    }  # fmt: skip


def rounded(x, bits=28):
    """float64 with its last digits zero, to 2e-9 of each number: the file is a third smaller."""
    m, e = np.frexp(x)
    return np.ldexp(np.round(m * 2.0**bits) / 2.0**bits, e)


LAYOUTS = {
    "vit_hf": vit_hf, "vit_hf_pooler": vit_hf_pooler, "vit_google": vit_google,
    "vit_big_vision": vit_big_vision, "clip_hf": clip_hf, "clip_openai": clip_openai,
    "clip_openai_resnet": clip_openai_resnet, "clip_open_clip": clip_open_clip,
}  # fmt: skip


def main(folder):
    for name, make in LAYOUTS.items():
        path = Path(folder) / f"{name}.npz"
        np.savez_compressed(path, **make())
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
    np.savez_compressed(Path(folder) / "preprocess.npz", **preprocessed())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
