"""ViT: an image is worth 16x16 words (Dosovitskiy et al. 2020, arXiv 2010.11929).

The five steps of the lecture are the five statements of `tokens`. Its options: how it
knows positions, how it reads out its tokens (with MAP of Zhai et al. 2022, arXiv 2106.04560),
which layers it skips in training.
"""

import numpy as np

from minivit import functions, nn
from minivit.attention import SeparateProjections
from minivit.engine import backend, ops
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.modes import no_grad
from minivit.engine.record import function
from minivit.images.patches import check_images, patchify
from minivit.transformer import MLP, TransformerLayer

# name: (layers, width D, MLP width, heads), Table 1 of the paper
SIZES = {
    "Ti": (12, 192, 768, 3),
    "S": (12, 384, 1536, 6),
    "B": (12, 768, 3072, 12),
    "L": (24, 1024, 4096, 16),
    "H": (32, 1280, 5120, 16),
}


class MAPHead(SeparateProjections):
    """Multi-head attention pooling: one learned query looks at all tokens: (B, N, D) -> (B, D).

    a = MHA(query, X, X),  out = a + mlp(LayerNorm(a))      (no residual from the query to a)

    A ViT draws q_proj, k_proj, v_proj and out_proj as the paper does: Xavier of (D, D) each.
    """

    def __init__(self, width, heads, hidden=None, activation="gelu_tanh", eps=1e-6):
        nn.check_sizes(self, width=width, heads=heads)
        self.probe = nn.Parameter(nn.xavier_uniform(1, width)[None])  # (1, 1, D)
        super().__init__(width, heads)
        self.out_proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps)
        self.mlp = MLP(width, 4 * width if hidden is None else hidden, activation)

    def forward(self, x):
        probe = ops.broadcast_to(self.probe, (x.shape[0], 1, x.shape[2]))
        a = self.out_proj(self.attend(probe, x))  # (B, 1, D)
        return (a + self.mlp(self.norm(a)))[:, 0]


class ViT(nn.Module):
    """Images (B, H, W, C) to class logits (B, classes).

    image: the side in pixels, or (H, W); patch: the side P. Initialisation as in the paper's code:
    Xavier-uniform matrices, LayerNorm eps 1e-6, GELU by tanh (ports to PyTorch have others:
    `activation`, `eps`), positions N(0, 0.02^2), class token and head zero.

    pool: "class" (a token in front that collects), "mean" of all tokens, or "map" (MAPHead).
    positions: "learned" (one vector a place), "sincos" (fixed, of row and column) or "none".
    drop_path: stochastic depth (Huang et al. 2016): in training an image skips the last layer with
    this probability, the earlier ones with less, the first one never.
    pre_logits: width of a Linear and tanh before the head, as in the paper's pre-training; 0: none.
    classes: 0 makes no head, and the features are what comes out. layer_scale: as TransformerLayer.
    """

    def __init__(
        self, image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4, hidden=None,
        dropout=0.0, pool="class", positions="learned", drop_path=0.0, activation="gelu_tanh",
        eps=1e-6, pre_logits=0, layer_scale=0.0,
    ):  # fmt: skip
        nn.check_sizes(self, patch=patch, channels=channels, width=width, heads=heads)
        nn.check_sizes(self, least=0, classes=classes, layers=layers, pre_logits=pre_logits)
        nn.check_choice(self, ("class", "mean", "map"), pool=pool)
        nn.check_choice(self, ("learned", "sincos", "none"), positions=positions)
        nn.check_share(self, dropout=dropout, drop_path=drop_path)
        H, W = image if isinstance(image, (tuple, list)) and len(image) == 2 else (image, image)
        nn.check_sizes("ViT: image", height=H, width=W)
        if H % patch or W % patch:
            raise ShapeError(
                f"ViT: an image of {H} x {W} does not divide into patches of {patch} x {patch}"
            )
        if width % heads:
            raise ShapeError(f"ViT: width {width} does not divide into {heads} heads")
        self.image, self.patch, self.channels = (H, W), patch, channels
        self.grid = H // patch, W // patch
        self.pool, self.positions, self.drop_path = pool, positions, drop_path
        N = self.grid[0] * self.grid[1] + (pool == "class")
        self.projection = nn.Linear(patch * patch * channels, width)
        if pool == "class":
            self.class_token = nn.Parameter(np.zeros((1, 1, width), np.float32))
        if positions == "learned":
            self.position = nn.Parameter(nn.normal((1, N, width), 0.02))
        elif positions == "sincos":
            self.position = nn.Buffer(sincos_2d(self.grid, width, pool == "class"))
        self.layers = [
            TransformerLayer(
                width,
                heads,
                hidden,
                activation=activation,
                eps=eps,
                dropout=dropout,
                layer_scale=layer_scale,
            )
            for _ in range(layers)
        ]
        self.norm = nn.LayerNorm(width, eps)
        if pool == "map":
            self.map = MAPHead(width, heads, hidden, activation, eps)
        self.pre_logits = nn.Linear(width, pre_logits) if pre_logits else None
        self.head = nn.Linear(pre_logits or width, classes) if classes else None
        self.drop = nn.Dropout(dropout)
        self._initialise()

    def _initialise(self):
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.assign(nn.xavier_uniform(*module.weight.shape))
                module.bias.data[...] = 0
        if self.head is not None:
            self.head.weight.data[...] = 0

    def tokens(self, images):
        """The input of the first layer: (B, H, W, C) -> (B, N + 1, D)."""
        check_images("ViT", images, *self.image, self.channels)
        x = patchify(images, self.patch)  # 1. patches, 2. a sequence: (B, N, P P C)
        x = self.projection(x)  # 3. a trainable linear projection: (B, N, D)
        if self.pool == "class":  # 5. the class token in front: (B, N + 1, D)
            cls = ops.broadcast_to(self.class_token, (x.shape[0], 1, x.shape[2]))
            x = ops.concatenate([cls, x], axis=1)
        if self.positions != "none":
            x = x + self.position  # 4. learned 1-D positions
        return self.drop(x)

    def features(self, images, keep=None):
        """The input of the head: the class token after the last layer and LayerNorm (or the mean of
        all tokens, or what MAP makes of them), through `pre_logits` if there is one: (B, D)."""
        x = self.tokens(images)
        if keep is not None:
            keep["tokens"] = x
        for i, layer in enumerate(self.layers):
            inside = None if keep is None else {}
            share = i / max(1, len(self.layers) - 1)
            x = self._maybe_skip(layer, x, self.drop_path * share, inside)
            for name, array in (inside or {}).items():
                keep[f"{i + 1}.{name}"] = array
        x = self._read_out(x)  # (B, D)
        return x if self.pre_logits is None else ops.tanh(self.pre_logits(x))

    def _read_out(self, x):
        if self.pool == "class":
            return self.norm(x[:, 0])
        x = self.norm(x)
        return self.map(x) if self.pool == "map" else x.mean(axis=1)

    def _maybe_skip(self, layer, x, p, keep=None):
        if not self.training or not p:
            return layer(x, keep=keep)
        xp = backend.MODULES[x.device]
        kept = functions.dropout(xp.ones((x.shape[0], 1, 1), x.dtype), p)  # 0, or 1 / (1 - p)
        return x + (layer(x, keep=keep) - x) * kept

    def forward(self, images, keep=None):
        """keep: a dict to be filled with what is on the way: "tokens", then of layer 1, 2 ... what
        TransformerLayer keeps, as "1.attention", "features", "logits"."""
        x = self.features(images, keep)
        logits = x if self.head is None else self.head(x)  # (B, D) -> (B, classes)
        if keep is not None:
            keep |= {"features": x, "logits": logits}
        return logits

    def adapted(self, image=None, classes=None):
        """The same network for other images or classes, to be fine-tuned: positions interpolated
        where the resolution is another one; where `classes` is given, a new head of zeros (0: no
        head). Frozen parameters stay frozen; the new head is not."""
        changes = {"image": image, "classes": classes}
        changes = {name: value for name, value in changes.items() if value is not None}
        new, old = type(self)(**self.config | changes), dict(self.named_tensors())
        state = new.state_dict()
        for name, tensor in new.named_tensors():
            tensor.data = tensor.data.astype(self.projection.weight.dtype)
            if classes is not None and name.startswith("head."):
                continue
            if name == "position" and self.positions == "learned":
                state[name] = resize_positions(old[name].numpy(), self.grid, new.grid)
            elif name != "position":
                state[name] = old[name].numpy()
            tensor.requires_grad = old[name].requires_grad
        new.load_state_dict(state)
        return new.to(self.projection.weight.device)

    @no_grad()
    def attention(self, images):
        """The attention weights of every layer: a list of arrays (B, heads, N + 1, N + 1)."""
        kept = {}
        self(images, keep=kept)
        return [kept[f"{i + 1}.attention"].numpy() for i in range(len(self.layers))]


@function
def sincos_2d(grid, width, class_token=False):
    """Fixed positions (1, N, D): sines and cosines of the row in one half, of the column in the
    other, wavelengths from 2 pi to 10,000 · 2 pi; zeros for a class token in front."""
    if width % 4:
        raise ShapeError(f"sincos_2d: width {width} is not divisible by 4")
    h, w = grid
    frequency = 10_000.0 ** -(np.arange(width // 4) / max(1, width // 4 - 1))  # (D/4,)
    row, column = (np.outer(a.ravel(), frequency) for a in np.mgrid[:h, :w])  # (N, D/4)
    parts = [np.sin(column), np.cos(column), np.sin(row), np.cos(row)]
    position = np.concatenate(parts, axis=1).astype(np.float32)
    return np.pad(position, ((int(class_token), 0), (0, 0)))[None]


@function
def resize_positions(position, old, new):
    """Positions (1, N, D) of a grid `old` = (h, w), interpolated for a grid `new`; what is in front
    of the N places (the class token's) stays.

    Bilinear, corners on corners: new row i reads old row i (h - 1) / (h' - 1), as in the paper's
    code. (transformers' `interpolate_pos_encoding` is bicubic, timm's too: other numbers.)
    """
    front, places = position[:, : -old[0] * old[1]], position[:, -old[0] * old[1] :]
    if position.shape[1] < old[0] * old[1]:
        raise ShapeError(f"resize_positions: {position.shape[1]} positions are no {old} grid")
    places = places.reshape(*old, -1)  # (h, w, D)
    rows, columns = (_between(n, m) for n, m in zip(old, new))  # (h', h), (w', w)
    places = np.einsum("ih,hwd,jw->ijd", rows, places, columns, optimize=True)
    places = places.reshape(1, -1, position.shape[2]).astype(position.dtype)
    return np.concatenate([front, places], axis=1)


def _between(n, m):
    """(m, n): row i holds the weights of n values, at i (n - 1) / (m - 1) between them."""
    at = np.linspace(0, n - 1, m)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))


@function
def vit(name, image=224, channels=3, classes=1000):
    """A published configuration, such as vit("B/16"): size B, and 16 is the *patch* side (the
    slide calls it the input size)."""
    size, _, patch = name.partition("/")
    if size not in SIZES or not patch.isdigit():
        raise OptionError(f"vit: got {name!r}, expected e.g. 'B/16', with one of {list(SIZES)}")
    layers, width, hidden, heads = SIZES[size]
    return ViT(image, int(patch), channels, classes, width, layers, heads, hidden)
